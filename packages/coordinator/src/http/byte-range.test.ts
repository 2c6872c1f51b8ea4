import { expect, test } from 'vitest'
import { rangeOf } from './byte-range.js'

test.each([
  ['bytes=0-3', 10, { from: 0, to: 3 }],
  ['bytes=4-', 10, { from: 4, to: 9 }],
  ['bytes=4-400', 10, { from: 4, to: 9 }],
  ['bytes=-3', 10, { from: 7, to: 9 }],
  ['bytes=-30', 10, { from: 0, to: 9 }],
  ['BYTES = 9 - 9', 10, { from: 9, to: 9 }],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
] as const)('%s of %d bytes', (header, size, range) => {
  expect(rangeOf(header, size)).toEqual(range)
})

test.each([
  undefined,
  '',
  'bytes',
  'bytes=',
  'bytes=-',
  'bytes=5-2',
  'bytes=0-1,3-4',
  'items=0-1',
  'bytes=a-b',
  'bytes=1-9999999999999999',
])('%j asks for the whole', header => {
  expect(rangeOf(header, 10)).toBeUndefined()
})
