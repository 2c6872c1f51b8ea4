import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { rules } from './architecture/rules.js'
import { type Package, parseSource, type Repository, readRepository } from './architecture/source.js'

const repository = readRepository(fileURLToPath(new URL('..', import.meta.url)))

describe('this repository', () => {
  test.each(rules)('$name', ({ offences }) => {
    expect(offences(repository)).toEqual([])
  })

  test('is seen as a whole: every package, and every import that leads to a file', () => {
    expect(repository.packages.map(p => p.name)).toEqual(
      expect.arrayContaining(['shared', 'client', 'coordinator', 'worker', 'local', 'cli'].map(name => `@baton/${name}`)),
    )
    const known = new Set(repository.sources.map(s => s.path))
    const targets = repository.sources.flatMap(({ imports }) => imports.flatMap(({ target }) => target ?? []))
    expect(targets.filter(target => target.endsWith('.ts') && !known.has(target))).toEqual([])
    expect(targets.length).toBeGreaterThan(500)
  })

  test('compiles no package against one that it may not import', () => {
    for (const { folder, dependencies } of repository.packages) {
      const { references = [] } = JSON.parse(readFileSync(new URL(`../${folder}/tsconfig.json`, import.meta.url), 'utf8')) as {
        references?: { path: string }[]
      }
      const referenced = references.map(({ path }) => packageAt(new URL(path, new URL(`../${folder}/`, import.meta.url))))
      expect([folder, referenced.filter(name => !dependencies.has(name))]).toEqual([folder, []])
    }
  })
})

function packageAt(folder: URL): string {
  const { name } = JSON.parse(readFileSync(`${fileURLToPath(folder)}/package.json`, 'utf8')) as { name: string }
  return name
}

/** For each rule sources that break it, with the lines that do, and sources beside it that keep it. */
const examples: Record<string, { breaks: Record<string, string>; keeps?: Record<string, string> }> = {
  'coordinator, worker and client import shared only; local alone joins them': {
    breaks: {
      'packages/coordinator/src/a.ts': `import { startHost } from '@baton/worker'`,
      'packages/worker/src/a.ts': `import type { Coordinator } from '@baton/coordinator'`,
      'packages/client/src/a.ts': `export { startCore } from '@baton/coordinator'`,
      'packages/shared/src/a.ts': `const later = () => import('@baton/client')`,
      'packages/local/src/a.ts': `import { run } from '@baton/cli'`,
      'packages/worker/src/a.test.ts': `import { startCore } from '@baton/coordinator'`,
    },
    keeps: {
      'packages/local/src/b.ts': `import '@baton/coordinator'\nimport '@baton/worker'`,
      'packages/client/src/b.ts': `import '@baton/shared'`,
    },
  },
  'an example imports what its users would: shared, worker, client': {
    breaks: { 'examples/repo-audit/src/a.ts': `import { startLocal } from '@baton/local'` },
    keeps: { 'examples/repo-audit/src/b.ts': `import { defineAgent } from '@baton/worker'` },
  },
  'the command line imports coordinator, worker and local where it starts them only, and types elsewhere': {
    breaks: {
      'packages/cli/src/commands/status.ts': `import { startCore } from '@baton/coordinator'`,
      'packages/cli/src/doctor/a.ts': `const { startLocal } = await import('@baton/local')`,
    },
    keeps: {
      'packages/cli/src/commands/up.ts': `const { startLocal } = await import('@baton/local')`,
      'packages/cli/src/config/a.ts': `import type { Agent } from '@baton/worker'`,
      'packages/cli/src/commands/b.ts': `import { createClient } from '@baton/client'`,
    },
  },
  'the private servers know nothing of Baton but the environment': {
    breaks: {
      'packages/cli/src/servers/a.ts': `import { silentLogger } from '@baton/shared/node'`,
      'packages/cli/src/servers/b.ts': `import { style } from '../output/style.js'`,
    },
    keeps: { 'packages/cli/src/servers/c.ts': `import '../env.js'\nimport './a.js'` },
  },
  'a package is entered through its exports only': {
    breaks: {
      'packages/coordinator/src/a.ts': `import { json } from '@baton/shared/src/json.js'`,
      'packages/coordinator/src/store/b.ts': `import { json } from '../../../shared/src/json.js'`,
      'packages/worker/src/a.test.ts': `import { json } from '../../shared/src/json.js'`,
      'packages/local/src/a.ts': `type Hidden = import('@baton/worker/dist/host.js').Host`,
    },
    keeps: { 'packages/coordinator/src/store/c.ts': `import '@baton/shared/node'\nimport '../a.js'` },
  },
  'a package declares what it imports': {
    breaks: {
      'packages/worker/src/a.ts': `import { pino } from 'pino'`,
      'packages/shared/src/b.ts': `import type { Redis } from 'ioredis'`,
    },
    keeps: { 'packages/shared/src/c.ts': `import 'zod'\nimport 'node:fs'\nimport { join } from 'path'` },
  },
  'pg has its doors': {
    breaks: { 'packages/coordinator/src/commands/a.ts': `import pg from 'pg'` },
    keeps: { 'packages/coordinator/src/store/b.ts': `import pg from 'pg'` },
  },
  '@electric-sql/ has its doors': {
    breaks: { 'packages/coordinator/src/a.ts': `import { PGlite } from '@electric-sql/pglite/live'` },
    keeps: { 'packages/coordinator/src/store/b.ts': `import { PGlite } from '@electric-sql/pglite'` },
  },
  '(bullmq|ioredis) has its doors': {
    breaks: {
      'packages/coordinator/src/dispatch/dispatcher.ts': `import { Queue } from 'bullmq'`,
      'packages/worker/src/host.ts': `import { Redis } from 'ioredis'`,
    },
    keeps: {
      'packages/coordinator/src/admin/b.ts': `import { Queue } from 'bullmq'`,
      'packages/worker/src/bullmq-consumer.ts': `import { Redis } from 'ioredis'`,
    },
  },
  '(@nats-io/.*|nats) has its doors': {
    breaks: { 'packages/shared/src/node/a.ts': `import { connect } from '@nats-io/transport-node'` },
    keeps: { 'packages/shared/src/node/nats-bus.ts': `import { connect } from '@nats-io/transport-node'` },
  },
  'prom-client has its doors': {
    breaks: { 'packages/shared/src/observe/a.ts': `import { Registry } from 'prom-client'` },
    keeps: { 'packages/shared/src/observe/metrics.ts': `import { Registry } from 'prom-client'` },
  },
  'rotating-file-stream has its doors': {
    breaks: { 'packages/shared/src/observe/a.ts': `import { createStream } from 'rotating-file-stream'` },
    keeps: { 'packages/shared/src/observe/log-file.ts': `import { createStream } from 'rotating-file-stream'` },
  },
  '@bull-board/ has its doors': {
    breaks: { 'packages/coordinator/src/http/a.ts': `import { createBullBoard } from '@bull-board/api'` },
    keeps: { 'packages/coordinator/src/admin/b.ts': `const later = () => import('@bull-board/api')` },
  },
  '@opentelemetry/ has its doors': {
    breaks: { 'packages/shared/src/observe/a.ts': `import { trace } from '@opentelemetry/api'` },
    keeps: { 'packages/shared/src/observe/otel.ts': `import { trace } from '@opentelemetry/api'` },
  },
  '(ai|@ai-sdk/.*) has its doors': {
    breaks: {
      'packages/coordinator/src/commands/a.ts': `import { generateText } from 'ai'`,
      'packages/coordinator/src/mind/b.ts': `const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')`,
    },
    keeps: { 'packages/coordinator/src/mind/chat.ts': `const { generateText } = await import('ai')` },
  },
  'ipaddr.js has its doors': {
    breaks: { 'packages/coordinator/src/http/a.ts': `import ipaddr from 'ipaddr.js'` },
    keeps: { 'packages/coordinator/src/notify/webhooks/address-guard.ts': `import ipaddr from 'ipaddr.js'` },
  },
  'process.env is read in env files only': {
    breaks: {
      'packages/worker/src/a.ts': `const url = process.env.REDIS_URL`,
      'packages/worker/src/b.ts': `const { env } = process`,
      'packages/worker/src/c.ts': `const env = process['env']`,
    },
    keeps: {
      'packages/shared/src/node/env.ts': `const url = process.env.REDIS_URL`,
      'packages/worker/src/d.ts': `const { pid } = process // not process.env\nconst process2 = { process: 1 }`,
    },
  },
  'http, dispatch, collect, watch, notify never import each other': {
    breaks: {
      'packages/coordinator/src/http/a.ts': `import { Dispatcher } from '../dispatch/dispatcher.js'`,
      'packages/coordinator/src/watch/b.ts': `import type { Changes } from '../notify/changes.js'`,
    },
    keeps: { 'packages/coordinator/src/watch/c.ts': `import '../store/due.js'\nimport './calm.js'` },
  },
  'the store imports none of those who use it': {
    breaks: { 'packages/coordinator/src/store/a.ts': `import { Submitter } from '../commands/submit.js'` },
    keeps: { 'packages/coordinator/src/store/b.ts': `import './ids.js'\nimport '../core/rollup.js'` },
  },
  'core and plan are pure': {
    breaks: {
      'packages/coordinator/src/core/a.ts': `import { readFileSync } from 'node:fs'`,
      'packages/coordinator/src/plan/b.ts': `import { submit } from '../store/submit.js'`,
      'packages/coordinator/src/plan/c.ts': `import { systemClock } from '@baton/shared/node'`,
      'packages/coordinator/src/plan/rules/d.ts': `import type { App } from '../../http/app.js'`,
    },
    keeps: {
      'packages/coordinator/src/core/e.ts': `import type { Row } from '../store/submit.js'\nimport { type Other } from '../store/ids.js'`,
      'packages/coordinator/src/plan/f.ts': `import '../core/graph.js'\nimport '@baton/shared'\nimport { createHash } from 'node:crypto'`,
    },
  },
  'the root of shared runs in a browser': {
    breaks: {
      'packages/shared/src/a.ts': `import { createHash } from 'node:crypto'`,
      'packages/shared/src/b.ts': `import { Ticker } from './node/ticker.js'`,
    },
    keeps: { 'packages/shared/src/node/c.ts': `import 'node:fs'`, 'packages/shared/src/d.ts': `import './a.js'` },
  },
  'imports make no cycle': {
    breaks: { 'packages/worker/src/a.ts': `import './b.js'` },
    keeps: {
      'packages/worker/src/b.ts': `import './c.js'`,
      'packages/worker/src/c.ts': `import type { A } from './a.js'`,
      'packages/worker/src/d.ts': `import './a.js'\nimport './b.js'`,
    },
  },
  'there is no export *': {
    breaks: { 'packages/worker/src/a.ts': `export * from './b.js'`, 'packages/worker/src/c.ts': `export * as b from './b.js'` },
    keeps: { 'packages/worker/src/b.ts': `export { c } from './d.js' // not export *` },
  },
  'there is no enum': {
    breaks: { 'packages/worker/src/a.ts': `export enum Colour { Red }`, 'packages/worker/src/b.ts': `const enum Colour { Red }` },
    keeps: { 'packages/worker/src/c.ts': `export const enumerate = 'enum Colour { Red }'` },
  },
}

describe('the rules themselves', () => {
  test('each has its examples', () => {
    expect(Object.keys(examples).sort()).toEqual(rules.map(rule => rule.name).sort())
  })

  test.each(rules)('$name: finds what breaks it, and nothing else', ({ name, offences }) => {
    const { breaks, keeps = {} } = examples[name] ?? { breaks: {} }
    const found = offences(invented(repository.packages, { ...breaks, ...keeps }))
    const files = found.map(line => /^(?:a cycle: )?([^: ]+)/.exec(line)?.[1])
    expect(files.sort()).toEqual(Object.keys(breaks).sort())
  })

  test('an offence names the file, the line and what is imported', () => {
    const rule = rules.find(r => r.name === 'pg has its doors')
    const source = `/** About. */\n\nimport pg from 'pg'`
    expect(rule?.offences(invented(repository.packages, { 'packages/local/src/a.ts': source }))).toEqual([
      'packages/local/src/a.ts:3 imports pg',
    ])
  })
})

function invented(packages: readonly Package[], texts: Readonly<Record<string, string>>): Repository {
  return { packages, sources: Object.entries(texts).map(([path, text]) => parseSource(path, text, packages)) }
}
