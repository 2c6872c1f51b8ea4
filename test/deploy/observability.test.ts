/** The dashboard and the alert rules in ops/ name metrics and labels that a scrape shows; Prometheus finds what compose starts. */
import { startLocal } from '@baton/local'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { coordinatorMetrics } from '../../packages/coordinator/src/observe/table.js'
import { WorkerMetrics, workerMetrics } from '../../packages/worker/src/metrics.js'
import { repositoryFile } from '../docs/markdown-table.js'
import { scrape } from '../observe/scrape.js'

const dashboard = JSON.parse(repositoryFile('ops/grafana/dashboards/baton.json')) as {
  panels: { title: string; targets: { expr: string; legendFormat: string }[] }[]
}
const alerts = parse(repositoryFile('ops/prometheus/alerts.yml')) as {
  groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[]
}
const prometheus = parse(repositoryFile('ops/prometheus/prometheus.yml')) as {
  rule_files: string[]
  scrape_configs: { job_name: string; authorization?: { credentials_file: string }; dns_sd_configs: { names: string[]; port: number }[] }[]
}
const compose = parse(repositoryFile('docker-compose.yml')) as {
  services: Record<string, { environment?: Record<string, string>; volumes?: string[]; secrets?: string[] }>
  secrets: Record<string, { environment: string }>
}

const expressions = [
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr, legendFormat }) => [title, expr, legendFormat] as const)),
  ...alerts.groups.flatMap(({ rules }) => rules.map(({ alert, expr, annotations }) => [alert, expr, annotations.summary] as const)),
]
const metric = /\b(?:orchestrator|baton_worker|nodejs|process)_\w+/g
const tables: Record<string, { readonly kind: string; readonly labels: readonly string[] }> = { ...coordinatorMetrics, ...workerMetrics }
/** Of the target, not of the metric. */
const targetLabels = ['job', 'instance', 'le']

let shown: Set<string>
let local: Awaited<ReturnType<typeof startLocal>>
beforeAll(async () => {
  local = await startLocal()
  const worker = [...(await new WorkerMetrics([]).render()).text.matchAll(/^# TYPE (\S+)/gm)].map(match => match[1] ?? '')
  shown = new Set([...(await scrape(local.url)).names, ...worker])
})
afterAll(() => local?.stop())

const without = (name: string) => name.replace(/_(?:bucket|sum|count)$/, '')

describe('what is named is there', () => {
  test.each(expressions)('%s', (_, expr, words) => {
    const names = [...expr.matchAll(metric)].map(match => match[0])
    expect(names.length).toBeGreaterThan(0)
    for (const name of names) {
      const [base, kind] = [without(name), tables[without(name)]?.kind]
      expect([name, shown.has(kind === 'histogram' ? base : name)]).toEqual([name, true])
      if (kind === 'histogram') expect(name).not.toBe(base) // only its parts are series
      if (kind === 'counter') expect(expr).toMatch(new RegExp(`(?:rate|increase)\\(${name}`))
      // Of the installation: the same from every coordinator.
      if (kind === 'gauge' && name.startsWith('orchestrator_')) expect(expr).toMatch(/\b(?:max|min|absent)\b/)
    }
    const labels = new Set([...names.flatMap(name => tables[without(name)]?.labels ?? []), ...targetLabels])
    const used = [
      ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(match => (match[1] ?? '').split(',').map(label => label.trim())),
      ...[...expr.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)/g)].map(match => match[1] ?? ''),
      ...[...words.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(match => match[1] ?? ''),
    ]
    expect(used.filter(label => !labels.has(label))).toEqual([])
  })
})

test('Prometheus scrapes every coordinator with its key, and every worker at the port that it is given', () => {
  const { coordinator, worker } = compose.services
  const jobs = Object.fromEntries(prometheus.scrape_configs.map(each => [each.job_name, each]))
  expect(jobs.coordinator?.dns_sd_configs[0]).toMatchObject({ names: ['coordinator'], port: Number(coordinator?.environment?.BATON_PORT) })
  expect(jobs.worker?.dns_sd_configs[0]).toMatchObject({ names: ['worker'], port: Number(worker?.environment?.BATON_METRICS_PORT) })
  expect(jobs.coordinator?.authorization?.credentials_file).toBe(`/run/secrets/${compose.services.prometheus?.secrets?.[0]}`)
  expect(compose.secrets.baton_api_key).toEqual({ environment: 'BATON_API_KEY' })
  expect(prometheus.rule_files).toEqual(['alerts.yml'])
})

test('what compose mounts is there', () => {
  for (const { volumes = [] } of [compose.services.prometheus ?? {}, compose.services.grafana ?? {}])
    for (const volume of volumes) expect(volume).toMatch(/^\.\/ops\/[\w/]+:\/[\w/]+:ro$/)
  for (const file of ['datasources/prometheus.yml', 'dashboards/baton.yml'])
    expect(parse(repositoryFile(`ops/grafana/provisioning/${file}`))).toBeTruthy()
})
