/** Local mode as a program of its own embeds it: `startLocal` with the no-op agent, in memory or in the directory given. */
import { startLocal } from '@baton/local'
import { agents } from './no-op-agent.js'

const local = await startLocal({ agents, dataDir: process.argv[2] ?? 'memory' })
process.stdout.write(`${JSON.stringify({ url: local.url })}\n`)
process.once('SIGTERM', () => void local.stop().then(() => process.exit()))
