/**
 * The words that the rules know: verbs of work, things that work is done on, and the capability that each speaks for.
 * Nothing but tables; `lexicon.ts` looks them up.
 */

export const capabilities = {
  development: 'feature-dev',
  review: 'code-review',
  infrastructure: 'infrastructure',
  delivery: 'cicd',
  documentation: 'documentation',
} as const

/** Verbs that say their capability by themselves, whatever their object. */
export const plainVerbs: Readonly<Record<string, readonly string[]>> = {
  [capabilities.development]: words(
    'implement, fix, refactor, code, develop, rewrite, reimplement, debug, patch, repair, prototype, hotfix, bugfix, hook up, wire up, unit-test',
  ),
  [capabilities.review]: words(
    'review, audit, inspect, code-review, peer-review, peer review, code review, security-review, pen-test, pentest',
  ),
  [capabilities.infrastructure]: words(
    'provision, reprovision, terraform, spin up, stand up, scale up, scale out, scale down, resize, decommission, tear down',
  ),
  [capabilities.delivery]: words(
    'deploy, redeploy, release, roll out, rollout, roll back, rollback, revert the deployment, ship, publish, promote, cut a release, cut the release, go live, push to production, push to staging, push to prod, canary',
  ),
  [capabilities.documentation]: words('document, proofread, write up'),
}

/** Verbs whose object says the capability ("write docs", "create a cluster"); development when it says nothing. */
export const openVerbs: readonly string[] = words(
  'add, build, create, write, migrate, set up, setup, configure, update, upgrade, bump, improve, optimize, optimise, extend, integrate, introduce, replace, remove, delete, drop, rename, move, change, support, enable, disable, expose, convert, design, redesign, redo, rework, clean up, tidy up, adjust, modify, split, extract, generate, simplify, deprecate, prepare, draft, install, automate, speed up, port, switch, correct, connect, let, allow, translate, localize, resolve, handle, provide, restore, rotate, harden, instrument, tune, refresh, produce, compose, put together, scale, restrict, limit, cover, fill in, cache, swap, merge, wire, reduce, address, solve, sort out, get rid of, test, set, archive, encrypt, validate, normalise, normalize, parse, reformat, revise, stop, prevent, cut, patch up, reword, expand, rebuild, modernize, modernise, centralize, consolidate, unify, deduplicate, index, paginate, lint',
)

/** Verbs that say nothing without a thing of work behind them: "do a code review", "run the pipeline". */
export const helperVerbs: readonly string[] = words(
  'do, perform, carry out, conduct, run, execute, make, get, finish, complete, bring, put, record, start, request, schedule, trigger, kick off, ask for, hold',
)

/** Verbs of product behaviour: work at the head of a sentence or item, a detail after "and". */
export const weakVerbs: readonly string[] = words(
  'show, display, hide, store, log, send, sort, filter, render, return, load, save, use, include, highlight, print, collect, track, emit, export, import, accept, reject, redirect, notify, throttle, retry, expire, implement support, mark, warn, report, calculate, compute, persist, sync, check, verify, expect',
)

/** Verbs that are also things ("the release", "build scripts"): before such a thing they are no verbs. */
export const nounLikeVerbs: ReadonlySet<string> = new Set(
  words(
    'build, deploy, release, review, test, document, design, patch, audit, publish, rollout, rollback, set, index, log, report, export, import, change, support, update, cache, record, filter, sort, upgrade, fix, code, release, terraform, canary, hotfix, setup, port, lint, split, schedule, filter, run, drop, limit, cover, address, move',
  ),
)
export const thingsAfterNoun: ReadonlySet<string> = new Set(
  words(
    'button, buttons, page, pages, screen, screens, script, scripts, job, jobs, step, steps, process, processes, notes, date, dates, status, history, queue, queues, flow, flows, tool, tools, form, forms, link, links, log, logs, endpoint, endpoints, time, times, number, numbers, column, columns, field, fields, comments, comment, state, states, action, actions, option, options, menu, type, types, team, branch, label, labels, failed, fails, failures, errors, is, are, was, were, has, should, must',
  ),
)

/** Things whose making or changing belongs to a capability; the last word of a noun phrase decides. */
export const things: Readonly<Record<string, readonly string[]>> = {
  [capabilities.documentation]: words(
    'docs, doc, documentation, readme, readme.md, readmes, guide, guides, changelog, changelog.md, runbook, runbooks, tutorial, tutorials, manual, manuals, handbook, faq, release notes, release note, wiki, wiki page, how-to, howto, user guide, api reference, reference page, walkthrough, docstrings, playbook document, onboarding guide, migration guide, upgrade guide, adr, architecture decision record, quickstart, quick start, cheat sheet, user manual, documentation page, docs page, postmortem, post-mortem, knowledge base article, help article, help page, help pages, glossary, style guide, upgrade notes, migration notes, openapi description, section of the readme',
  ),
  [capabilities.infrastructure]: words(
    'cluster, clusters, database, databases, bucket, buckets, vpc, vpcs, vm, vms, server, servers, load balancer, dns, dns records, dns record, terraform, terraform module, terraform modules, helm chart, helm charts, kubernetes, namespace, namespaces, network, subnet, subnets, firewall, firewall rules, security group, security groups, instance, instances, replica, replicas, read replica, infrastructure, infra, environment, environments, certificate, certificates, tls certificate, ingress, iam role, iam roles, iam policy, autoscaling, auto-scaling, autoscaler, cdn, node pool, node pools, node group, nodes, gpu nodes, redis, kafka, rabbitmq, kafka topic, message broker, broker, vpn, postgres, postgresql, mysql, rds, s3, storage account, machine, machines, disk, disks, volume, volumes, storage, hosting, kubernetes manifests, monitoring, grafana dashboard, grafana dashboards, prometheus, backups, backup, failover, registry, container registry, proxy, reverse proxy, bastion, gateway instance, secrets manager, key vault, database cluster, sandbox account, aws account, capacity, s3 bucket, terraform state, elasticsearch, opensearch, memcached, cloudfront, nat gateway, virtual machine, virtual machines, staging, sandbox, ansible playbook',
  ),
  [capabilities.delivery]: words(
    'pipeline, pipelines, deploy, ci, cd, ci/cd, cicd, ci pipeline, build pipeline, release pipeline, deployment pipeline, github actions, github action, github workflow, github actions workflow, gitlab ci, jenkins, jenkinsfile, jenkins job, deployment, deployments, release, releases, rollout, rollback, canary, canary release, ci job, ci jobs, build job, nightly build, release process, release automation, continuous integration, continuous delivery, continuous deployment, deploy script, deploy scripts, deployment script, actions workflow, deploy job, ci workflow, ci config, build step, ci step, blue-green deployment, staging deployment, production deployment, release candidate, hotfix release, artifact publishing, build cache, ci build, ci builds, ci checks, ci check, release train, release workflow, deploy workflow',
  ),
  [capabilities.review]: words(
    'review, reviews, code review, peer review, security review, audit, security audit, code audit, inspection, accessibility audit, pen test, penetration test, dependency audit, second pair of eyes, code reviews',
  ),
  [capabilities.development]: words(
    'implementation, refactoring, bugfix, bug fix, feature, toggle, button, endpoint, migration script, unit tests, component, prototype, poc',
  ),
}

function words(list: string): string[] {
  return list.split(', ')
}
