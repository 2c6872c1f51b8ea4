import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['baton:source'] },
  ssr: { resolve: { conditions: ['baton:source'], externalConditions: ['node'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'examples/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
})
