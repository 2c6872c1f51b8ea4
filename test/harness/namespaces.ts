/** Prefixes for single tests, so that tests share Redis and NATS without meeting each other. */
import { randomBytes } from 'node:crypto'
import { cleanUp } from './clean-up.js'
import { redisCommand } from './redis-command.js'
import { servers } from './servers.js'

/** A prefix of its own for everything in Redis and NATS; its keys are deleted when the test (or the file) ends. */
export async function freshNamespace(): Promise<string> {
  const { redisUrl } = await servers()
  const namespace = `test-${randomBytes(6).toString('hex')}`
  cleanUp(() => flushNamespace(redisUrl, namespace))
  return namespace
}

const deleteByPrefix = `
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do redis.call('UNLINK', key) end
until cursor == '0'
return 'OK'`

/** FLUSHALL for one namespace; harms nobody else on the server. */
export async function flushNamespace(redisUrl: string, namespace: string): Promise<void> {
  await redisCommand(redisUrl, 'EVAL', deleteByPrefix, '0', `${namespace}:*`)
}
