/** `/admin/queues` in local mode: there is no BullMQ to look into; what its own queue holds is told. */
import { createHash } from 'node:crypto'
import type { QueuePages } from './pages.js'

export interface LocalQueue {
  readonly capability: string
  readonly waiting: number
  readonly active: number
  readonly slots: number
}

const style = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 42rem; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8886; }
td + td, th + th { text-align: right; }`
const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

export function localPages(read: () => Promise<readonly LocalQueue[]>): QueuePages {
  return {
    async answer({ method, path }) {
      if (method !== 'GET' || (path !== '' && path !== '/')) return undefined
      const headers = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }
      return { status: 200, headers, content: page(await read()) }
    },
    close: async () => undefined,
  }
}

// Capabilities are names of lower-case letters, digits, dots, dashes and underscores: nothing in them needs escaping.
const page = (queues: readonly LocalQueue[]): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Queues · Baton</title>
<style>${style}</style>
<h1>Queues</h1>
<p>This is local mode: there is no BullMQ, and no Bull Board. Jobs wait in the memory of this process, and are rung again from the
database when it starts. With <code>REDIS_URL</code>, <code>NATS_URL</code> and <code>DATABASE_URL</code> set, Bull Board is here.</p>
<table>
<tr><th>capability</th><th>waiting</th><th>running</th><th>slots</th></tr>
${queues.map(q => `<tr><td>${q.capability}</td><td>${q.waiting}</td><td>${q.active}</td><td>${q.slots}</td></tr>`).join('\n') || '<tr><td>no agent is there</td><td></td><td></td><td></td></tr>'}
</table>
<p><a href="/">Tasks, workers and agents</a></p>
</html>
`
