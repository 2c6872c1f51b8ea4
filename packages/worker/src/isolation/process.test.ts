import { expect, test } from 'vitest'
import { inheritedArguments } from './process.js'

test.each<[string[], string[]]>([
  [[], []],
  [
    ['--import', './a.mjs', '--conditions=x', '--max-old-space-size=100'],
    ['--import', './a.mjs', '--conditions=x', '--max-old-space-size=100'],
  ],
  [['--enable-source-maps', '--input-type=module', '-e', 'code()'], ['--enable-source-maps']],
  [
    ['--inspect-brk=9229', '--watch', '--watch-path=src', '--print', 'code()', '-r', 'b'],
    ['-r', 'b'],
  ],
])('of the flags %j a child inherits %j', (all, inherited) => {
  expect(inheritedArguments(all)).toEqual(inherited)
})
