import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson, jsonProblem, jsonText, parseStrictJson, plainValue, RawJson } from './json.js'

const refusal = (text: string, options = {}): string => {
  try {
    parseStrictJson(text, options)
    return 'accepted'
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_json' })
    return (error as Error).message
  }
}
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

describe('what is accepted', () => {
  test.each([
    ['{"a":[1,-2.5e3,true,false,null,"x"],"b":{}}', { a: [1, -2500, true, false, null, 'x'], b: {} }],
    [' \t\r\n[ ]\n', []],
    ['"\\u00e4\\n\\"\\\\\\/\\ud83e\\uddea"', 'ä\n"\\/🧪'],
    ['""', ''],
    ['0', 0],
    ['-0', -0],
    ['9007199254740991', 9007199254740991],
    ['1234567890123456', 1234567890123456],
    ['0.1', 0.1],
    ['1E+2', 100],
    ['1e-400', 0],
    ['{"":1}', { '': 1 }],
    ['{"toString":1,"hasOwnProperty":2}', { toString: 1, hasOwnProperty: 2 }],
    ['{"constructor":{"name":"x"}}', { constructor: { name: 'x' } }],
    [nested(64), JSON.parse(nested(64))],
  ])('%s', (text, value) => {
    expect(parseStrictJson(text)).toEqual(value)
  })

  test('whatever JSON.stringify makes comes back as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        fc.pre(!/__proto__|"constructor"|\\u0000|\\ud[89a-f]/i.test(text) && !/\d{16}|e\+/.test(text))
        expect(parseStrictJson(text)).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  test('whatever is accepted, JSON.parse accepts and reads the same way', () => {
    const scraps = fc.array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '\\',
        '"a"',
        '"b":',
        '0',
        '1',
        '-',
        '.',
        'e',
        'true',
        'null',
        ' ',
        '\n',
        '\\u00e4',
        'x',
      ),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(scraps, words => {
        const text = words.join('')
        let value: unknown
        try {
          value = parseStrictJson(text)
        } catch {
          return
        }
        expect(value).toEqual(JSON.parse(text))
      }),
      { numRuns: 5_000 },
    )
  })
})

describe('what is refused, with its place', () => {
  test.each([
    ['', 'the body is empty (line 1, column 1)'],
    [' \n ', 'the body is empty (line 2, column 2)'],
    ['{"a":1}\n x', 'there is text after the end of the JSON value (line 2, column 2)'],
    ['{"a":1,\n"a":2}', 'the key "a" stands twice in one object (line 2, column 4)'],
    ['{"a":1,"\\u0061":2}', /the key "a" stands twice/],
    ['{"__proto__":{}}', /the key "__proto__" is not allowed/],
    ['{"\\u005f_proto__":{}}', /the key "__proto__" is not allowed/],
    ['{"constructor":{"prototype":{}}}', /"constructor" with a "prototype"/],
    ['"a\\u0000b"', /a string holds a NUL character/],
    ['{"\\u0000":1}', /a string holds a NUL character/],
    ['"\\ud800"', /half of a surrogate pair/],
    ['"\\udc00\\ud800"', /half of a surrogate pair/],
    ['9007199254740993', /the integer 9007199254740993 is past 2\^53; send it as a string/],
    ['-12345678901234567890', /is past 2\^53/],
    ['1e400', /the number 1e400 is too large/],
    ['-1e999', /too large/],
    ['NaN', /"N" is not expected here/],
    ['Infinity', /"I" is not expected here/],
    ['01', /text after the end/],
    ['-', /"-" is not expected here/],
    ['+1', /"\+" is not expected here/],
    ['.5', /"\." is not expected here/],
    ['1.', /text after the end/],
    ['tru', /"t" is not expected here/],
    ['[1,]', /"\]" is not expected here/],
    ['[1 2]', /"\]" is expected here/],
    ['[1', 'the JSON ends too early (line 1, column 3)'],
    ['[1,', 'the JSON ends too early (line 1, column 4)'],
    ['{"a":1,}', /a key in double quotes is expected/],
    ["{'a':1}", /a key in double quotes is expected/],
    ['{"a" 1}', /":" is expected here/],
    ['{"a":1', /the JSON ends too early/],
    ['"abc', 'a string does not end (line 1, column 5)'],
    ['{"a":"b\\', 'a string does not end (line 1, column 9)'],
    ['"\\', 'a string does not end (line 1, column 3)'],
    ['"\\"', 'a string does not end (line 1, column 4)'],
    ['"a\nb"', 'a string holds a control character that is not escaped (line 1, column 3)'],
    ['"\\x41"', 'a string holds an escape that JSON does not have (line 1, column 1)'],
    ['"\\u12"', /a string holds an escape that JSON does not have/],
    ['\ufeff{}', /is not expected here/],
    ['/* c */1', /"\/" is not expected here/],
    [nested(65), 'the JSON nests deeper than 64 (line 1, column 65)'],
    [`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, /nests deeper than 64/],
  ])('%j', (text, message) => {
    expect(refusal(text)).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
  })

  test('a depth of 100,000 is refused without using up the stack', () => {
    expect(refusal('['.repeat(100_000))).toMatch(/nests deeper than 64/)
    expect(refusal('{"a":'.repeat(100_000), { maxDepth: 3 })).toMatch(/nests deeper than 3/)
  })
})

describe('values that are kept as they were sent', () => {
  const options = { rawKeys: new Set(['input']) }

  test('keep their text byte for byte, beside their value', () => {
    const parsed = parseStrictJson('{ "input" : { "b":1.0,  "a":[1e2] } , "title":"x"}', options)
    expect(parsed).toEqual({ input: new RawJson('{ "b":1.0,  "a":[1e2] }', { b: 1, a: [100] }), title: 'x' })
  })

  test('are found at any depth, but not inside one another', () => {
    const parsed = parseStrictJson('[{"input":{"input":1}},{"input":null}]', options) as { input: RawJson }[]
    expect(parsed[0]?.input).toEqual(new RawJson('{"input":1}', { input: 1 }))
    expect(parsed[1]?.input).toEqual(new RawJson('null', null))
  })

  test('are as strict inside', () => {
    expect(refusal('{"input":{"a":1,"a":2}}', options)).toMatch(/stands twice/)
    expect(refusal(`{"input":${nested(64)}}`, options)).toMatch(/nests deeper than 64/)
  })

  test('are written as their text where it is asked for, and as their value in JSON', () => {
    const raw = new RawJson('{"b":1.0}', { b: 1 })
    expect(jsonText(raw)).toBe('{"b":1.0}')
    expect(jsonText({ b: 1 })).toBe('{"b":1}')
    expect(JSON.stringify({ raw })).toBe('{"raw":{"b":1}}')
    expect(plainValue(raw)).toEqual({ b: 1 })
    expect(plainValue('x')).toBe('x')
  })
})

describe('the canonical form', () => {
  test('sorts keys at every depth, and leaves arrays and what is undefined', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: undefined, '': null })).toBe('{"":null,"b":[{"c":2,"d":1}]}')
    expect(canonicalJson({ ä: 1, b: 2, B: 3 })).toBe('{"B":3,"b":2,"ä":1}')
    expect(canonicalJson(undefined)).toBe('null')
  })

  test('is one for all texts of a value', () => {
    const texts = ['{"a":1,"b":{"x":[1.0],"y":"\\u0041"}}', '{ "b": {"y":"A","x":[1]}, "a":1e0 }']
    const forms = texts.map(text => canonicalJson(parseStrictJson(text, { rawKeys: new Set(['b']) })))
    expect(forms[0]).toBe(forms[1])
  })

  test('is JSON of the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

describe('what an agent made', () => {
  const circle: Record<string, unknown> = {}
  circle.self = circle

  test.each([
    [{ a: [1, 'x', null, true, undefined] }, undefined],
    [undefined, undefined],
    [JSON.parse(nested(64)), undefined],
    [JSON.parse(nested(65)), 'nests deeper than 64'],
    [circle, 'nests deeper than 64'],
    [{ a: Number.NaN }, 'holds the number NaN, which JSON has no word for'],
    [[Number.POSITIVE_INFINITY], 'holds the number Infinity, which JSON has no word for'],
    [{ n: 1n }, 'holds a BigInt, which JSON has no word for'],
    ['a\u0000', 'holds a NUL character, which cannot be stored'],
    [{ 'a\u0000': 1 }, 'holds a NUL character, which cannot be stored'],
    [['\ud800'], 'holds half of a surrogate pair, which is not text'],
    ['🧪', undefined],
  ])('%o: %s', (value, problem) => {
    expect(jsonProblem(value)).toBe(problem)
  })

  test('is found fit when its text would be accepted', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), value => {
        fc.pre(!/__proto__|"constructor"/.test(JSON.stringify(value)))
        if (jsonProblem(value) === undefined) {
          const verdict = refusal(JSON.stringify(value))
          expect(verdict === 'accepted' || /past 2\^53/.test(verdict)).toBe(true)
        }
      }),
    )
  })
})
