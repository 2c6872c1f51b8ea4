// Lets Node run TypeScript of this repository from its source, in the processes and threads that code under test starts:
// they inherit `--import source-loader.mjs` from Vitest's own processes, which transform for themselves and are left alone.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

if (!isMainThread || process.argv[1]?.endsWith('.ts')) register(new URL('source-loader-hooks.mjs', import.meta.url))
