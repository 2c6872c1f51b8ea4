import { describe, expect, test } from 'vitest'
import { createLogger, maskSecrets, silentLogger } from './logger.js'

function logged(write: (log: ReturnType<typeof createLogger>) => void, level?: 'debug' | 'info'): Record<string, unknown>[] {
  const lines: string[] = []
  write(createLogger({ destination: { write: line => void lines.push(line) }, ...(level && { level }) }))
  return lines.map(line => JSON.parse(line))
}

describe('a line', () => {
  test('is JSON with level, time, message and what was given along', () => {
    const [line] = logged(log => log.info({ task_id: 't-1' }, 'task stored'))
    expect(line).toMatchObject({ level: 'info', msg: 'task stored', task_id: 't-1', time: expect.stringMatching(/^\d{4}-.*Z$/) })
  })

  test('stays one line, whatever is in it', () => {
    const [line] = logged(log => log.info({ name: 'a\nb\u001b[31m' }, 'two\nlines'))
    expect(line).toMatchObject({ name: 'a\nb\u001b[31m', msg: 'two\nlines' })
  })

  test('below the level is not written', () => {
    expect(logged(log => log.debug('x'))).toEqual([])
    expect(logged(log => log.debug('x'), 'debug')).toHaveLength(1)
    silentLogger().fatal('x')
  })
})

describe('secrets', () => {
  test.each([
    ['postgres://me:secret@db/x', 'postgres://me:***@db/x'],
    ['redis://:secret@cache', 'redis://:***@cache'],
    ['two: nats://a:secret@b and redis://c:secret@d', 'two: nats://a:***@b and redis://c:***@d'],
    ['http://localhost:7420/a@b', 'http://localhost:7420/a@b'],
    ['nothing', 'nothing'],
  ])('in %j are masked', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked)
  })

  test('do not reach the log in messages, fields, errors or headers', () => {
    const url = 'postgres://me:secret@db/x'
    const lines = logged(log => {
      log.info(`connecting to ${url}`)
      log.info({ url, nested: { deep: [url] } }, 'connecting')
      log.error({ err: new Error(`cannot connect to ${url}`) }, 'failed')
      log.info({ headers: { authorization: 'secret' }, api_key: 'secret', apiKey: 'secret', password: 'secret' }, 'asked')
    })
    expect(JSON.stringify(lines)).not.toContain('secret')
  })
})

test('what is too long is cut, and the length is told', () => {
  const [line] = logged(log => log.info({ output: 'x'.repeat(100_000), many: Array(1_000).fill(1) }, 'y'.repeat(100_000)))
  expect(JSON.stringify(line).length).toBeLessThan(20_000)
  expect(line?.output).toMatch(/… \(100000 characters\)$/)
})

test('a circle is logged all the same', () => {
  const circle: Record<string, unknown> = { name: 'round' }
  circle.self = circle
  expect(logged(log => log.info(circle, 'x'))).toHaveLength(1)
})
