// Runs a TypeScript file of this repository without a build: `node run-source.mjs FILE ARGS…`. Vite, which Vitest brings
// along, compiles and resolves it as it does for tests.
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const conditions = ['baton:source']
process.argv.splice(1, 1)
await runnerImport(process.argv[1], {
  root: fileURLToPath(new URL('../..', import.meta.url)),
  configFile: false,
  logLevel: 'error',
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ['node'] } },
})
