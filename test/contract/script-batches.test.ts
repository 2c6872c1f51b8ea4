/** Scripts that are called together say what they would have said one by one. */
import { createRequire } from 'node:module'
import { batchScripts } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { cleanUp, freshNamespace, servers } from '../harness/index.js'

// The driver belongs to coordinator and worker; a test of what both put around it uses that of one of them.
const { Redis } = createRequire(new URL('../../packages/worker/package.json', import.meta.url))('ioredis') as typeof import('ioredis')

type Call = (...args: (string | number | Buffer)[]) => Promise<unknown>

async function place(paired?: [string, string]) {
  const namespace = await freshNamespace()
  const redis = new Redis((await servers()).redisUrl)
  cleanUp(() => redis.disconnect())
  await redis.ping()
  batchScripts(redis, {
    batched: name => name !== 'alone',
    exhausted: name => name === 'take' && !paired,
    ...(paired && { paired: [name => name === paired[0], name => name === paired[1]] }),
  })
  const define = (name: string, numberOfKeys: number, lua: string): Call => {
    redis.defineCommand(name, { numberOfKeys, lua })
    return (redis as unknown as Record<string, Call>)[name]?.bind(redis) as Call // defined above
  }
  return { redis, namespace, define }
}

const tell = `return { KEYS[1], KEYS[2], ARGV[1], ARGV[2], #KEYS, #ARGV }`

test('each call has its own keys and arguments, and its own answer, in the order of the calls', async () => {
  const { define } = await place()
  const call = define('tell', 2, tell)
  const calls: [string, string, string | Buffer, string][] = [
    ['a', 'b', 'x', '1'],
    ['a', 'c', 'x', '2'],
    ['a', 'b', Buffer.from('x'), '3'],
    ['d', 'b', Buffer.from('ü 1 2'), '3'],
    ['a', 'b', 'x', '1'],
  ]
  const expected = calls.map(([k, l, x, y]) => [k, l, x.toString(), y, 2, 2])
  expect(await Promise.all(calls.map(args => call(...args)))).toEqual(expected)
  const oneByOne: unknown[] = []
  for (const args of calls) oneByOne.push(await call(...args))
  expect(oneByOne).toEqual(expected)
})

test('calls of one turn share a command, a hundred at most; what was not asked for is left alone', async () => {
  const { redis, namespace, define } = await place()
  const commandsSent: string[] = []
  const send = redis.sendCommand.bind(redis)
  redis.sendCommand = ((command: { name: string }, ...rest: never[]) => {
    if (command.name.startsWith('eval')) commandsSent.push(command.name)
    return send(command as never, ...rest)
  }) as typeof redis.sendCommand
  const count = define('count', 1, `return redis.call('INCR', KEYS[1])`)
  const results = await Promise.all(Array.from({ length: 250 }, () => count(`${namespace}:n`)))
  expect(results).toEqual(Array.from({ length: 250 }, (_, i) => i + 1))
  expect(commandsSent.length).toBe(3)
  const alone = define('alone', 1, `return redis.call('INCR', KEYS[1])`)
  await Promise.all([alone(`${namespace}:n`), alone(`${namespace}:n`)])
  expect(commandsSent.length).toBe(5)
})

test('calls with more arguments than others are made one by one', async () => {
  const { define } = await place()
  const call = define('tell', 2, tell)
  expect(await Promise.all([call('a', 'b', '1'), call('a', 'b', '1', '2')])).toEqual([
    ['a', 'b', '1'], // a table ends for Redis where there is nothing
    ['a', 'b', '1', '2', 2, 2],
  ])
})

test('an answer of nothing is one, and an error of one call is that call’s', async () => {
  const { define } = await place()
  const call = define(
    'judge',
    0,
    `if ARGV[1] == 'no' then return redis.error_reply('not that') elseif ARGV[1] == 'nil' then return nil else return ARGV[1] end`,
  )
  const settled = await Promise.allSettled(['a', 'nil', 'no', 'b'].map(word => call(word)))
  expect(settled.map(each => (each.status === 'fulfilled' ? each.value : String(each.reason)))).toEqual([
    'a',
    null,
    expect.stringContaining('not that'),
    'b',
  ])
})

test('a script that breaks off rejects its batch, and the next one is run', async () => {
  const { namespace, define } = await place()
  const call = define('push', 1, `return redis.call('RPUSH', KEYS[1], ARGV[1])`)
  const wrong = define('spoil', 1, `return redis.call('SET', KEYS[1], 'x')`)
  await wrong(`${namespace}:text`)
  const settled = await Promise.allSettled([call(`${namespace}:list`, 'a'), call(`${namespace}:text`, 'b'), call(`${namespace}:list`, 'c')])
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(await Promise.all([call(`${namespace}:list`, 'd'), call(`${namespace}:list`, 'e')])).toEqual([2, 3])
})

test('taking ends where there is nothing more: what is asked for beyond has no answer either', async () => {
  const { redis, namespace, define } = await place()
  const take = define(
    'take',
    1,
    `redis.call('INCR', KEYS[1] .. ':asked') local job = redis.call('LPOP', KEYS[1]) if job then return { job } end return { 0, 0 }`,
  )
  await redis.rpush(`${namespace}:q`, 'a', 'b')
  expect(await Promise.all(Array.from({ length: 10 }, () => take(`${namespace}:q`)))).toEqual([
    ['a'],
    ['b'],
    [0, 0],
    ...Array(7).fill(null),
  ])
  expect(await redis.get(`${namespace}:q:asked`)).toBe('3')
})

test('what one queue has no more of, another may have', async () => {
  const { redis, namespace, define } = await place()
  const take = define('take', 1, `local job = redis.call('LPOP', KEYS[1]) if job then return { job } end return { 0, 0 }`)
  await redis.rpush(`${namespace}:b`, 'x', 'y')
  const queues = ['a', 'b', 'a', 'b', 'c']
  expect(await Promise.all(queues.map(queue => take(`${namespace}:${queue}`)))).toEqual([[0, 0], ['x'], null, ['y'], [0, 0]])
})

test('nobody comes between two scripts that are paired, and each call gets its own answer', async () => {
  const { redis, namespace, define } = await place(['put', 'take'])
  const put = define('put', 1, `redis.call('RPUSH', KEYS[1], ARGV[1]) return 'put ' .. ARGV[1]`)
  const take = define('take', 2, `return { KEYS[2], redis.call('RPOP', KEYS[1]) or 'nothing', ARGV[1] }`)
  await redis.rpush(`${namespace}:q`, 'old')
  const calls = Array.from({ length: 130 }, (_, i) => [put(`${namespace}:q`, `new ${i}`), take(`${namespace}:q`, 'k', `t${i}`)]).flat()
  const last = [take(`${namespace}:q`, 'l', 'x'), take(`${namespace}:none`, 'm', 'y')]
  expect(await Promise.all(calls)).toEqual(Array.from({ length: 130 }, (_, i) => [`put new ${i}`, ['k', `new ${i}`, `t${i}`]]).flat())
  expect(await Promise.all(last)).toEqual([
    ['l', 'old', 'x'],
    ['m', 'nothing', 'y'],
  ])
  // By themselves they are as ever.
  expect(await Promise.all([put(`${namespace}:q`, 'a'), put(`${namespace}:q`, 'b')])).toEqual(['put a', 'put b'])
  expect(await Promise.all([take(`${namespace}:q`, 'k', '1'), take(`${namespace}:q`, 'k', '2')])).toEqual([
    ['k', 'b', '1'],
    ['k', 'a', '2'],
  ])
})

test('a server that forgot its scripts is told them again', async () => {
  const { define, redis } = await place()
  const call = define('tell', 2, `return { KEYS[1], ARGV[1], '${process.pid}' }`)
  await Promise.all([call('a', 'b', '1'), call('a', 'b', '2')])
  await redis.script('FLUSH')
  expect(await Promise.all([call('a', 'b', '1'), call('a', 'b', '2')])).toEqual([
    ['a', '1', String(process.pid)],
    ['a', '2', String(process.pid)],
  ])
})
