import { ManualClock } from '@baton/shared/testing'
import { expect, test } from 'vitest'
import type { Ask } from './chat.js'
import { takeTurns } from './turns.js'

const never = new AbortController().signal

function turnsOn(ask: Ask) {
  const clock = new ManualClock()
  return { clock, ask: takeTurns({ ask, clock, atOnce: 2, maxWaiting: 2, restMs: 1_000 }) }
}

test('so many at once, others in turn, and no more than may wait', async () => {
  const ends: ((answer: string) => void)[] = []
  const { ask } = turnsOn(() => new Promise(resolve => ends.push(resolve)))
  const answers = [1, 2, 3, 4].map(() => ask([], never))
  await expect(ask([], never)).rejects.toThrow('has too many plans to make already')
  expect(ends).toHaveLength(2)
  for (let n = 0; n < 4; n++) {
    ends[n]?.(`answer ${n}`)
    expect(await answers[n]).toBe(`answer ${n}`)
    await Promise.resolve()
  }
  expect(ends).toHaveLength(4)
})

test('whoever does not wait any longer leaves the others their turn', async () => {
  const ends: ((answer: string) => void)[] = []
  const { ask } = turnsOn(() => new Promise(resolve => ends.push(resolve)))
  const first = [ask([], never), ask([], never)]
  const impatient = new AbortController()
  const left = ask([], impatient.signal)
  const patient = ask([], never)
  impatient.abort(new Error('too long'))
  await expect(left).rejects.toThrow('too long')
  ends[0]?.('one')
  ends[1]?.('two')
  await Promise.all(first)
  ends[2]?.('three')
  expect(await patient).toBe('three')
})

test('after three failures in a row it is left alone, then tried once', async () => {
  let asked = 0
  let works = false
  const { ask, clock } = turnsOn(async () => {
    asked++
    if (!works) throw new Error('could not be reached')
    return 'fine'
  })
  for (let n = 0; n < 3; n++) await expect(ask([], never)).rejects.toThrow('could not be reached')
  await expect(ask([], never)).rejects.toThrow('is left alone for a while, because it failed 3 times in a row')
  clock.advance(1_000)
  await expect(ask([], never)).rejects.toThrow('could not be reached')
  await expect(ask([], never)).rejects.toThrow('is left alone')
  expect(asked).toBe(4)
  works = true
  clock.advance(1_000)
  expect(await ask([], never)).toBe('fine')
  works = false
  await expect(ask([], never)).rejects.toThrow('could not be reached')
  works = true
  expect(await ask([], never)).toBe('fine')
})
