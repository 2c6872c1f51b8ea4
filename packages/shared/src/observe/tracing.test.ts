import { describe, expect, test } from 'vitest'
import { parseTraceparent } from './tracing.js'

const ids = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'] as const

describe('a traceparent', () => {
  test('says the trace, the span and the flags', () => {
    expect(parseTraceparent(`00-${ids[0]}-${ids[1]}-01`)).toEqual({ traceId: ids[0], spanId: ids[1], flags: 1 })
  })

  test.each([
    undefined,
    '',
    'x',
    `00-${'0'.repeat(32)}-${ids[1]}-01`,
    `00-${ids[0]}-${'0'.repeat(16)}-01`,
    `00-${ids[0].toUpperCase()}-${ids[1]}-01`,
    `00-${ids[0]}-${ids[1]}-01-more`,
    `00-${ids[0]}-${ids[1]}-01\n`,
    `ff-${ids[0]}-${ids[1]}-01`,
  ])('%j is none', text => {
    expect(parseTraceparent(text)).toBeUndefined()
  })
})
