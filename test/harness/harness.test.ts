import { test, expect } from 'vitest'
import { openPostgres } from '@baton/coordinator'
import { silentLogger } from '@baton/shared/node'
import { freshDatabase, freshNamespace, redisCommand, servers, startSource } from './index.js'
test('x', async () => {
  console.time('db')
  const url = await freshDatabase()
  console.timeEnd('db')
  const db = await openPostgres({url, log: silentLogger()})
  console.log((await db.query({text:'select version()'})).rows)
  await db.close()
  console.time('db')
  await freshDatabase()
  console.timeEnd('db')
  const ns = await freshNamespace()
  const {redisUrl} = await servers()
  console.log(await redisCommand(redisUrl, 'SET', ns+':x', '1'), await redisCommand(redisUrl, 'GET', ns+':x'))
  expect(1).toBe(1)
})
