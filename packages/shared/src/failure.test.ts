import { describe, expect, test } from 'vitest'
import { BatonError } from './errors.js'
import { failure, failureSchema, toFailure } from './failure.js'

describe('a failure of the table', () => {
  test('has the retryability of its code, and its cause', () => {
    const cause = failure('worker_lost', 'gone')
    expect(failure('input_invalid', 'no branch', cause)).toEqual({
      code: 'input_invalid',
      message: 'no branch',
      retryable: false,
      cause: { code: 'worker_lost', message: 'gone', retryable: true },
    })
    expect(failure('agent_error', 'x')).not.toHaveProperty('cause')
  })
})

describe('what was thrown', () => {
  const base = { code: 'agent_error', retryable: true }

  test.each<[string, unknown, object]>([
    ['an error', new Error('broken'), { ...base, message: 'broken' }],
    ['an error without a message', new TypeError(), { ...base, message: 'TypeError' }],
    ['an error of Baton', new BatonError('input_invalid', 'no'), { code: 'input_invalid', message: 'no', retryable: false }],
    ['an error with a code', Object.assign(new Error('x'), { code: 'ENOENT' }), { ...base, code: 'ENOENT', message: 'x' }],
    [
      'an error that says not to try again',
      Object.assign(new Error('x'), { retryable: false }),
      { ...base, message: 'x', retryable: false },
    ],
    ['a code that is no code', Object.assign(new Error('x'), { code: 'two words' }), { ...base, message: 'x' }],
    ['a code that is a number', Object.assign(new Error('x'), { code: 7, retryable: 'no' }), { ...base, message: 'x' }],
    ['text', 'broken', { ...base, message: 'broken' }],
    ['nothing', undefined, { ...base, message: 'undefined' }],
    ['a number', 7, { ...base, message: '7' }],
    ['an object with a message', { message: 'broken', code: 'E1' }, { ...base, message: 'broken' }],
    ['an object without one', { status: 500 }, { ...base, message: '{"status":500}' }],
    ['an object without a prototype', Object.create(null), { ...base, message: '{}' }],
    [
      'an object that cannot be shown',
      {
        toJSON() {
          throw new Error('no')
        },
      },
      { ...base, message: 'an object' },
    ],
    ['a symbol', Symbol('x'), { ...base, message: 'Symbol(x)' }],
    ['an error whose message is no text', Object.assign(new Error('x'), { message: 42 }), { ...base, message: '42' }],
    [
      'several errors at once, as of a connection',
      Object.assign(new AggregateError([new Error('connect ::1'), new Error('connect 127.0.0.1')]), { code: 'ECONNREFUSED' }),
      { ...base, code: 'ECONNREFUSED', message: 'connect ::1; connect 127.0.0.1' },
    ],
  ])('%s becomes a failure that can travel', (_, thrown, expected) => {
    const made = toFailure(thrown)
    expect(made).toEqual(expected)
    expect(failureSchema.parse(JSON.parse(JSON.stringify(made)))).toEqual(expected)
  })

  test('takes the fallback with its retryability', () => {
    expect(toFailure(new Error('x'), 'output_invalid')).toMatchObject({ code: 'output_invalid', retryable: true })
    expect(toFailure('x', 'result_invalid')).toMatchObject({ code: 'result_invalid', retryable: false })
  })

  test('keeps its causes, five at most', () => {
    let error = new Error('0')
    for (let n = 1; n < 20; n++) error = new Error(String(n), { cause: error })
    let depth = 0
    for (let cause = toFailure(error).cause; cause; cause = cause.cause) depth++
    expect(depth).toBe(5)
    expect(toFailure(new Error('a', { cause: 'b' })).cause).toMatchObject({ message: 'b' })
  })

  test('that is its own cause ends somewhere', () => {
    const circle = new Error('round')
    circle.cause = circle
    expect(JSON.stringify(toFailure(circle)).length).toBeLessThan(1_000)
  })

  test('is cleaned of what cannot be stored, and cut', () => {
    expect(toFailure(new Error('a\u0000b\ud800c')).message).toBe('ab\ufffdc')
    const long = toFailure(new Error(`${'x'.repeat(7_998)}🧪 and more`)).message
    expect([long.length, long.isWellFormed(), long.at(-1)]).toEqual([8_000, true, '…'])
    expect(failureSchema.safeParse(toFailure(new Error('x'.repeat(100_000)))).success).toBe(true)
  })
})
