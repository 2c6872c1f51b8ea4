// Compiles the command and the agents of the fault tests from their sources into one folder that Node runs by itself: a
// process then starts in a fraction of what compiling on the way takes. The packages that they use are compiled in too:
// finding and reading their hundreds of files takes half of a start. `node build.mjs FOLDER`.
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'vite'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const conditions = ['baton:source']
/** What looks for files of its own beside its code, or is loaded on demand only. */
const external = ['@bull-board/api', '@bull-board/ui', '@electric-sql/pglite', 'jiti', 'testcontainers']
await build({
  root,
  configFile: false,
  logLevel: 'error',
  resolve: { conditions },
  ssr: { noExternal: true, external, resolve: { conditions, externalConditions: ['node'] } },
  // What files lie beside a source (migrations) is looked for where the source is.
  plugins: [
    {
      name: 'source-urls',
      // As an argument only: messages name it too.
      transform: (code, id) => code.replace(/import\.meta\.url(?=\s*[,)])/g, () => JSON.stringify(pathToFileURL(id.split('?')[0]).href)),
    },
  ],
  build: {
    ssr: true,
    target: 'node20',
    outDir: process.argv[2],
    emptyOutDir: true,
    minify: false,
    rollupOptions: {
      input: { baton: join(root, 'packages/cli/src/main.ts'), agents: join(root, 'test/harness/fault-agents.mjs') },
      output: { entryFileNames: '[name].mjs', chunkFileNames: 'chunks/[name]-[hash].mjs' },
    },
  },
})
