import { expect, test } from 'vitest'
import { hopelessRedisError, redisConnection, redisEndpoint, refusingRedisError } from './redis-url.js'

test.each([
  ['redis://cache', { host: 'cache', port: 6379, db: 0 }],
  ['redis://cache:7000/', { host: 'cache', port: 7000, db: 0 }],
  ['redis://cache/3', { host: 'cache', port: 6379, db: 3 }],
  ['redis://:p%40ss@cache', { host: 'cache', port: 6379, password: 'p@ss', db: 0 }],
  ['redis://me:secret@cache', { host: 'cache', port: 6379, username: 'me', password: 'secret', db: 0 }],
  ['rediss://cache', { host: 'cache', port: 6379, db: 0, tls: {} }],
  ['redis://[::1]:7000', { host: '::1', port: 7000, db: 0 }],
])('%s', (url, endpoint) => {
  expect(redisEndpoint(url)).toEqual(endpoint)
})

test.each([
  ['WRONGPASS invalid username-password pair or user is disabled.', true],
  ['NOAUTH Authentication required.', true],
  ['ERR invalid DB index', true],
  ['ERR DB index is out of range', true],
  ['connect ECONNREFUSED 127.0.0.1:6379', false],
  ['LOADING Redis is loading the dataset in memory', false],
  ["READONLY You can't write against a read only replica.", false],
])('%j is past waiting: %s', (message, hopeless) => {
  expect(hopelessRedisError.test(message)).toBe(hopeless)
})

test.each([
  ["READONLY You can't write against a read only replica.", { refuses: true, anew: true }],
  [
    "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica.",
    { refuses: true, anew: true },
  ],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", { refuses: true, anew: true }],
  ['NOREPLICAS Not enough good replicas to write.', { refuses: true, anew: false }],
  ["OOM command not allowed when used memory > 'maxmemory'.", { refuses: true, anew: false }],
  ['Missing lock for job READONLY. finished', { refuses: false, anew: false }],
  ['connect ECONNREFUSED 127.0.0.1:6379', { refuses: false, anew: false }],
])('%j', (message, { refuses, anew }) => {
  expect(refusingRedisError.test(message)).toBe(refuses)
  expect(redisConnection('redis://cache', 'test').reconnectOnError(new Error(message))).toBe(anew)
})
