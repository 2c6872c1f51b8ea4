import { afterEach, describe, expect, test, vi } from 'vitest'
import { silentLogger } from './logger.js'
import { type Service, startAll } from './service.js'

afterEach(() => {
  vi.useRealTimers()
})

function services(events: string[], names: readonly string[], overrides: Record<string, Partial<Service>> = {}): Service[] {
  return names.map(name => ({
    name,
    start: async () => void events.push(`start ${name}`),
    stop: async () => void events.push(`stop ${name}`),
    ...overrides[name],
  }))
}

describe('services', () => {
  test('are started in order and stopped in reverse order, once', async () => {
    const events: string[] = []
    const stopAll = await startAll(services(events, ['a', 'b', 'c']), silentLogger())
    await stopAll()
    await stopAll()
    expect(events).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
  })

  test('each starts when the one before is there', async () => {
    const events: string[] = []
    const slow = async () => {
      await new Promise(resolve => setImmediate(resolve))
      events.push('start a')
    }
    const stopAll = await startAll(services(events, ['a', 'b'], { a: { start: slow } }), silentLogger())
    expect(events).toEqual(['start a', 'start b'])
    await stopAll()
  })

  test('when one cannot start, those before it are stopped and it may tidy up; the error is thrown', async () => {
    const events: string[] = []
    const broken = async () => {
      throw new Error('the port is taken')
    }
    const starting = startAll(services(events, ['a', 'b', 'c'], { b: { start: broken } }), silentLogger())
    await expect(starting).rejects.toThrow('the port is taken')
    expect(events).toEqual(['start a', 'stop b', 'stop a'])
  })

  test('one that fails to stop is logged and does not keep the others', async () => {
    const events: string[] = []
    const log = { ...silentLogger(), error: vi.fn() }
    const broken = async () => {
      throw new Error('stuck')
    }
    const stopAll = await startAll(services(events, ['a', 'b'], { b: { stop: broken } }), log)
    await stopAll()
    expect(events.at(-1)).toBe('stop a')
    expect(log.error).toHaveBeenCalledWith(expect.objectContaining({ service: 'b' }), expect.any(String))
  })

  test('one that does not end is given up after ten seconds', async () => {
    vi.useFakeTimers()
    const events: string[] = []
    const log = { ...silentLogger(), error: vi.fn() }
    const stopAll = await startAll(services(events, ['a', 'b'], { b: { stop: () => new Promise(() => undefined) } }), log)
    const stopping = stopAll()
    await vi.advanceTimersByTimeAsync(9_999)
    expect(events).not.toContain('stop a')
    await vi.advanceTimersByTimeAsync(1)
    await stopping
    expect(events.at(-1)).toBe('stop a')
    expect(String(log.error.mock.calls[0]?.[0]?.err)).toContain('b did not stop within 10000 ms')
  })

  test('whoever asks for the stop a second time waits for it too', async () => {
    const events: string[] = []
    let end = () => {}
    const slow = () =>
      new Promise<void>(resolve => {
        end = resolve
      })
    const stopAll = await startAll(services(events, ['a', 'b'], { b: { stop: slow } }), silentLogger())
    void stopAll()
    let stopped = false
    const second = stopAll().then(() => {
      stopped = true
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(stopped).toBe(false)
    end()
    await second
    expect(events.at(-1)).toBe('stop a')
  })
})
