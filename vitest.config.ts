import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['baton:source'] },
  ssr: { resolve: { conditions: ['baton:source'], externalConditions: ['node'] } },
  environments: { __vitest__: { resolve: { conditions: ['baton:source'] } } }, // the global set-up has one of its own
  test: {
    include: ['packages/*/src/**/*.test.ts', 'examples/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    setupFiles: ['test/harness/leaks.ts', 'test/harness/patience.ts'],
    pool: 'forks',
    // Inherited by the processes and threads that the code under test starts.
    execArgv: ['--import', new URL('test/harness/source-loader.mjs', import.meta.url).href],
    maxWorkers: 2,
    silent: 'passed-only',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
