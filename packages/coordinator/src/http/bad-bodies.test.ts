import type { ErrorCode } from '@baton/shared'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseBody } from './body.js'
import { problemOf, testApp } from './testing/test-app.js'

const task = { task_id: 't-1', title: 'A task' }
const text = (body: object) => JSON.stringify(body)
const withInput = (input: string) => `{"task_id":"t-1","title":"A task","subtasks":[{"name":"a","capability":"c","input":${input}}]}`
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`

interface Case {
  readonly body: string | Buffer | undefined
  readonly headers?: Record<string, string>
  readonly status?: number
  readonly code?: ErrorCode
  readonly detail: RegExp
}

const cases: Record<string, Case> = {
  'no body': { body: undefined, detail: /the body is empty/ },
  'an empty body': { body: '', headers: { 'content-type': 'application/json', 'content-length': '0' }, detail: /empty/ },
  'only blanks': { body: '  \n', detail: /empty/ },
  'a truncated body': { body: '{"task_id": "t-1", "ti', detail: /does not end.*line 1/ },
  'text after the end': { body: `${text(task)}x`, detail: /after the end/ },
  __proto__: { body: withInput('{"__proto__":{"a":1}}'), detail: /__proto__/ },
  '__proto__ in escapes': { body: withInput('{"\\u005f_proto__":{"a":1}}'), detail: /__proto__/ },
  '__proto__ at the top': { body: '{"__proto__":{"title":"x"},"task_id":"t-1"}', detail: /__proto__/ },
  'constructor.prototype': { body: withInput('[{"constructor":{"prototype":{}}}]'), detail: /constructor/ },
  'duplicate keys': { body: '{"task_id":"t-1","task_id":"t-2","title":"x","description":"x"}', detail: /task_id.*twice/ },
  'duplicate keys inside input': { body: withInput('{"a":1,"a":2}'), detail: /twice/ },
  'bytes that are not UTF-8': {
    body: Buffer.concat([Buffer.from('{"task_id":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    detail: /UTF-8/,
  },
  'UTF-16': { body: Buffer.from(text(task), 'utf16le'), detail: /./ },
  'an escaped NUL': { body: withInput('"a\\u0000b"'), detail: /NUL/ },
  'a lone surrogate': { body: withInput('"\\ud800"'), detail: /surrogate/ },
  '1e400': { body: withInput('1e400'), detail: /too large/ },
  'an integer past 2^53': { body: withInput('9007199254740993'), detail: /2\^53/ },
  NaN: { body: withInput('NaN'), detail: /not expected/ },
  'depth 65': { body: withInput(nested(65)), detail: /deeper than 64/ },
  'depth 100,000': { body: nested(100_000), detail: /deeper than 64/ },
  'text/plain': {
    body: text(task),
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/json/,
  },
  XML: {
    body: '<task/>',
    headers: { 'content-type': 'application/xml' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/json/,
  },
  'no content type': {
    body: Buffer.from(text(task)),
    headers: { 'content-type': '' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/json/,
  },
  'a content type that is none': {
    body: text(task),
    headers: { 'content-type': 'json' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/json/,
  },
  'JSON in Latin-1': {
    body: text(task),
    headers: { 'content-type': 'application/json; charset=latin1' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/json/,
  },
  gzip: {
    body: Buffer.from([0x1f, 0x8b, 8]),
    headers: { 'content-encoding': 'gzip' },
    status: 415,
    code: 'unsupported_media_type',
    detail: /uncompressed/,
  },
}

for (const url of ['/orchestrate', '/tasks/batch'])
  test.each(Object.entries(cases))(`POST ${url} refuses %s`, async (_, { body, headers, status = 400, code = 'invalid_json', detail }) => {
    const { api, post } = testApp()
    const response = await post(url, body, headers)
    expect(response.statusCode).toBe(status)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(problemOf(response)).toMatchObject({ status, code, type: `/docs#${code}`, request_id: response.headers['x-request-id'] })
    expect(problemOf(response).detail).toMatch(detail)
    expect(api.calls).toEqual([])
  })

test.each([
  ['/orchestrate', 32 * 1024 * 1024],
  ['/tasks/batch', 32 * 1024 * 1024],
  ['/execute/t-1', 1024 * 1024],
])('POST %s refuses a body of more than %d bytes', async (url, limit) => {
  const { api, post } = testApp()
  const response = await post(url, Buffer.alloc(limit + 1, ' '))
  expect(response.statusCode).toBe(413)
  expect(problemOf(response)).toMatchObject({ code: 'body_too_large', detail: expect.stringContaining(String(limit)) })
  expect(api.calls).toEqual([])
})

test('a body of 30 MiB is taken', async () => {
  const { post } = testApp()
  const response = await post('/orchestrate', withInput(JSON.stringify('x'.repeat(30 * 1024 * 1024))))
  expect(response.statusCode).toBe(201)
})

test('POST /execute takes an absent body, an empty one and {} for the same', async () => {
  const { api, post } = testApp()
  await post('/orchestrate', withInput('1'))
  api.calls.length = 0
  for (const [body, headers] of [
    [undefined, {}],
    ['', { 'content-type': 'application/json', 'content-length': '0' }],
    ['{}', {}],
  ] as const)
    expect((await post('/execute/t-1', body, headers)).statusCode).toBe(200)
  expect(api.calls).toEqual(Array.from({ length: 3 }, () => ['execute', 't-1', {}]))
})

test('what a caller sends is handed on and answered byte for byte', async () => {
  const { api, post, get } = testApp()
  const input = '{"b": 1.0, "a": 1e2,\n "c":"\\u00e9"}'
  const metadata = '{ "z": 0.10, "a":[1 ,2] }'
  const response = await post(
    '/orchestrate',
    `{"task_id":"t-1","title":"x","metadata":${metadata},"subtasks":[{"name":"a","capability":"c","input":${input}}]}`,
  )
  expect(api.calls[0]).toMatchObject([
    'submit',
    [{ metadata: { text: metadata }, subtasks: [{ input: { text: input } }] }],
    { dryRun: false },
  ])
  for (const { body } of [response, await get('/tasks/t-1')]) {
    expect(body).toContain(`"metadata":${metadata}`)
    expect(body).toContain(`"outputs":${input}`)
  }
})

test('every JSON value that is taken is read as JSON.parse reads it', () => {
  const refusals = /2\^53|surrogate|NUL|deeper|__proto__|constructor/
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const sent = Buffer.from(JSON.stringify(value))
      try {
        expect(parseBody(sent)).toEqual(JSON.parse(sent.toString()))
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_json', message: expect.stringMatching(refusals) })
      }
    }),
  )
  for (const text of ['0', '-0', '10', '0.5', '1e3', '123456789012345', '9007199254740991', '[1,22 ,3]', '12 '])
    expect(parseBody(Buffer.from(text))).toEqual(JSON.parse(text))
  for (const text of ['01', '00', '1.', '.5', '1x', '+1', '0x1']) expect(() => parseBody(Buffer.from(text))).toThrow()
})
