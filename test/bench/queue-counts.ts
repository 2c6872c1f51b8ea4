/** What went through BullMQ, by BullMQ's own books in Redis. Nothing here asks Baton. */
import { setTimeout as delay } from 'node:timers/promises'
import { redisCommand } from '../harness/redis-command.js'

// Of each queue BullMQ keeps a counter `id`, which rises with every job that is added, and lists of the jobs that have not
// been worked off. What was added and is in none of these has gone through, since nothing else removes jobs here.
const countJobs = `
local added, left = 0, 0
local cursor, seen = '0', {}
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':*', 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local kind = string.match(key, ':([a-z]+)$')
    if seen[key] then kind = nil end
    seen[key] = true
    if kind == 'id' then added = added + tonumber(redis.call('GET', key))
    elseif kind == 'wait' or kind == 'active' or kind == 'paused' then left = left + redis.call('LLEN', key)
    elseif kind == 'prioritized' or kind == 'delayed' or kind == 'failed' then left = left + redis.call('ZCARD', key) end
  end
until cursor == '0'
return {ok = added .. ' ' .. left}`

const settleMs = 10_000

/** From now on: resolves, when asked, with the jobs that workers have fetched and finished since. */
export async function queueCountsSince(redisUrl: string, namespace = 'baton'): Promise<() => Promise<number>> {
  const before = await read(redisUrl, namespace)
  return async () => {
    // A worker finishes its last jobs a moment after their tasks have ended.
    for (const begun = performance.now(); ; await delay(50)) {
      const { added, left } = await read(redisUrl, namespace)
      if (left === 0 || performance.now() - begun > settleMs) return added - left - (before.added - before.left)
    }
  }
}

async function read(redisUrl: string, namespace: string): Promise<{ added: number; left: number }> {
  const [added = Number.NaN, left = Number.NaN] = (await redisCommand(redisUrl, 'EVAL', countJobs, '0', namespace)).split(' ').map(Number)
  return { added, left }
}
