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

  test('shows no control character and no line break of any alphabet as such', () => {
    const raw: string[] = []
    createLogger({ destination: { write: line => void raw.push(line) } }).info(
      { name: 'a\u0085b\u2028c\u009bd\u007fe' },
      'x\r\n\u2029y\u0000z',
    )
    expect(raw.join('')).toMatch(/^[\x20-\x7e]*\n$/)
    expect(JSON.parse(raw.join(''))).toMatchObject({ name: 'a\u0085b\u2028c\u009bd\u007fe', msg: 'x\r\n\u2029y\u0000z' })
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

  test('do not reach it from deep down, nor as parameters, nor where the cut splits them', () => {
    const lines = logged(log => {
      log.info({ a: { b: { c: { request: { 'X-Api-Key': 's3cret', Cookie: 's3cret', token: 's3cret' } } } } }, 'deep')
      log.info({ a: { b: { c: { d: { e: { f: { g: { h: 's3cret' } } } } } } } }, 'too deep')
      log.info('host=db password=s3cret dbname=x')
      log.info({ url: 'https://x/?api_key=s3cret&a=1', said: 'Authorization: Bearer s3cret' }, 'asked')
      log.info({ long: `${'x'.repeat(8_175)} password=s3cret` }, 'cut')
      log.error({ err: new Error('outer', { cause: new Error('redis://:s3cret@cache') }) }, 'nested')
    })
    expect(JSON.stringify(lines)).not.toContain('s3c')
    expect(lines[3]).toMatchObject({ url: 'https://x/?api_key=***&a=1' })
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
