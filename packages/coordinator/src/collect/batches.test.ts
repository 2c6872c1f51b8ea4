import { silentLogger } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { runBatch } from './batches.js'

const items = [1, 2, 3, 4, 5]
const failing = (code: string) => Object.assign(new Error(`as ${code}`), { code })

/** Stores what it is given, unless `refuses` says why not; notes how many came at once. */
function storing(refuses: (batch: readonly number[]) => Error | undefined) {
  const sizes: number[] = []
  const run = async (batch: readonly number[]) => {
    sizes.push(batch.length)
    const error = refuses(batch)
    if (error) throw error
    return batch.map(item => item * 10)
  }
  return { sizes, store: (batch: readonly number[]) => runBatch(batch, run, silentLogger()) }
}

test('what is the fault of an item fails that item alone', async () => {
  const { store } = storing(batch => (batch.includes(4) ? failing('22P05') : undefined))
  expect(await store(items)).toEqual([
    ...[10, 20, 30].map(value => ({ ok: true, value })),
    { ok: false, reason: 'as 22P05' },
    { ok: true, value: 50 },
  ])
})

test.each(['40P01', '40001', '57P01', 'ECONNRESET', '53100', '58030'])(
  '%s is nobody’s fault: nothing is refused, all are asked for again',
  async code => {
    const { sizes, store } = storing(() => failing(code))
    await expect(store(items)).rejects.toMatchObject({ code })
    expect(sizes).toEqual([5])
  },
)

test('a batch that takes too long is tried in halves; an item that does so alone is not refused', async () => {
  const tooMuch = storing(batch => (batch.length > 2 ? failing('57014') : undefined))
  expect(await tooMuch.store(items)).toEqual(items.map(item => ({ ok: true, value: item * 10 })))
  const locked = storing(() => failing('57014'))
  await expect(locked.store([1])).rejects.toMatchObject({ code: '57014' })
})
