import { request } from 'node:http'
import { beforeAll, expect, test } from 'vitest'
import { folder, type Up, up } from './baton.js'

let running: Up
beforeAll(async () => {
  running = await up(['--data', 'memory'], { cwd: folder(), env: { LOG_LEVEL: 'error' } })
})

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}
/** As curl sends it: these bytes, these headers. */
function post(path: string, body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      `${running.url}${path}`,
      { method: 'POST', agent: false, headers: { 'content-type': 'application/json', ...headers } },
      response => {
        const parts: Buffer[] = []
        response.on('data', part => parts.push(part))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'] ?? '',
            body: Buffer.concat(parts).toString(),
          }),
        )
      },
    )
    asked.on('error', reject)
    asked.end(body)
  })
}
const task = (parts: object = {}) => JSON.stringify({ task_id: 'bad', title: 'x', subtasks: [{ name: 'a', capability: 'echo' }], ...parts })
const steps = (...names: string[]) => names.map(name => ({ name, capability: 'echo' }))
let deep: unknown = 1
for (let i = 0; i < 70; i++) deep = [deep]

const bodies: [string, number, string | Buffer, Record<string, string>?][] = [
  ['an empty body', 400, ''],
  ['a truncated body', 400, task().slice(0, -4)],
  ['__proto__', 400, `{"__proto__":{"a":1},${task().slice(1)}`],
  ['constructor.prototype', 400, `{"constructor":{"prototype":{}},${task().slice(1)}`],
  ['a key twice', 400, `{"title":"y",${task().slice(1)}`],
  ['bytes that are not UTF-8', 400, Buffer.concat([Buffer.from('{"title":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')])],
  ['a NUL', 400, task({ title: 'a\u0000b' })],
  ['half of a surrogate pair', 400, task().replace('"x"', '"\\ud800"')],
  ['1e400', 400, task().replace('"x"', '"x","metadata":{"n":1e400}')],
  ['an integer past 2^53', 400, task().replace('"x"', '"x","metadata":{"n":9007199254740993}')],
  ['nesting past 64', 400, task({ context: { deep } })],
  ['text/plain', 415, task(), { 'content-type': 'text/plain' }],
  ['XML', 415, '<task/>', { 'content-type': 'application/xml' }],
  ['a compressed body', 415, task(), { 'content-encoding': 'gzip' }],
  ['a body that says it is too large', 413, task(), { 'content-length': String(33 * 1024 * 1024) }],
  ['an unknown key', 400, task({ surprise: 1 })],
  ['no title', 400, JSON.stringify({ task_id: 'bad', subtasks: steps('a') })],
  ['neither words nor subtasks', 400, JSON.stringify({ task_id: 'bad', title: 'x' })],
  ['an unknown priority', 400, task({ priority: 'asap' })],
  [
    'a cycle',
    400,
    task({
      subtasks: [
        { name: 'a', capability: 'c', depends_on: ['b'] },
        { name: 'b', capability: 'c', depends_on: ['a'] },
      ],
    }),
  ],
  ['an unknown dependency', 400, task({ subtasks: [{ name: 'a', capability: 'c', depends_on: ['z'] }] })],
  ['a name twice', 400, task({ subtasks: steps('a', 'a') })],
  ['an SLA of 0', 400, task({ subtasks: [{ name: 'a', capability: 'c', sla_seconds: 0 }] })],
  ['a capability that is none', 400, task({ subtasks: [{ name: 'a', capability: '../x' }] })],
  ['look-alike letters', 400, task({ subtasks: [{ name: 'a', capability: 'есho' }] })],
  ['metadata past 64 KiB', 400, task({ metadata: { a: 'x'.repeat(70_000) } })],
]

test.each(bodies)('%s is refused with %i, as a problem document, and nothing is stored', async (_, status, body, headers) => {
  const answer = await post('/orchestrate', body, headers)
  expect(answer).toMatchObject({ status, type: expect.stringMatching(/^application\/problem\+json/) })
  const problem = JSON.parse(answer.body) as { status: number; code: string; detail: string; request_id: string; fields?: unknown[] }
  expect(problem).toMatchObject({
    status,
    code: expect.stringMatching(/^[a-z_]+$/),
    detail: expect.stringMatching(/\S/),
    request_id: expect.any(String),
  })
  if (problem.code === 'invalid_request')
    expect(problem.fields).toEqual(expect.arrayContaining([{ path: expect.any(String), issue: expect.any(String) }]))
  expect(answer.body).not.toMatch(/\bat .*\.js:\d+/)
  expect(await (await fetch(`${running.url}/tasks`)).json()).toMatchObject({ tasks: [] })
})

test('all problems are told at once, each with its place', async () => {
  const answer = await post('/orchestrate', JSON.stringify({ task_id: 'a b', priority: 'asap', subtasks: [{ name: '', capability: 'A' }] }))
  const { fields } = JSON.parse(answer.body) as { fields: { path: string }[] }
  expect(fields.map(field => field.path)).toEqual(
    expect.arrayContaining(['task_id', 'title', 'priority', 'subtasks[0].name', 'subtasks[0].capability']),
  )
})

test('afterwards it still works', async () => {
  expect((await post('/orchestrate', task())).status).toBe(201)
  expect(running.err()).toBe('')
})
