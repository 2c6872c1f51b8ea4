import { defineConfig, type TestProjectConfiguration } from 'vitest/config'
import { Spread } from './test/harness/sequencer.js'

/** Test files that have a process of their own: they start others, or change what belongs to the whole process. */
const alone = [
  'examples/*/src/**/*.test.ts',
  'packages/cli/src/{fleet,servers}/**/*.test.ts',
  'packages/coordinator/src/store/**/*.test.ts',
  'packages/shared/src/node/{failpoint,service}.test.ts',
  'packages/worker/src/{agents,isolation}/**/*.test.ts',
  'test/docs/readme.test.ts',
  'test/{cli,contract,deploy,faults,flow,harness,model,observe,pages}/**/*.test.ts',
]
/** The others share one: its start, and the modules of Baton, cost more than most of them take. */
const together = ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts']

const project = (name: string, test: { include: string[]; exclude?: string[]; isolate: boolean }): TestProjectConfiguration => ({
  resolve: { conditions: ['baton:source'] },
  ssr: { resolve: { conditions: ['baton:source'], externalConditions: ['node'] } },
  test: {
    name,
    ...test,
    setupFiles: ['test/harness/leaks.ts', 'test/harness/patience.ts'],
    pool: 'forks',
    // Inherited by the processes and threads that the code under test starts.
    execArgv: ['--import', new URL('test/harness/source-loader.mjs', import.meta.url).href],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})

export default defineConfig({
  environments: { __vitest__: { resolve: { conditions: ['baton:source'] } } }, // the global set-up has one of its own
  test: {
    projects: [
      project('alone', { include: alone, isolate: true }),
      project('together', { include: together, exclude: alone, isolate: false }),
    ],
    globalSetup: ['test/harness/global-setup.ts'],
    sequence: { sequencer: Spread },
    // One more than a small machine's cores: much of a fault test is waiting.
    maxWorkers: 3,
    silent: 'passed-only',
  },
})
