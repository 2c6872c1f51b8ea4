import { subjects } from '@baton/shared'
import { MemoryBusHub } from '@baton/shared/node'
import { expect, test } from 'vitest'
import { Pulses } from './pulses.js'

test('the other coordinators are told, and nobody tells himself', async () => {
  const hub = new MemoryBusHub()
  const told: unknown[] = []
  const pulsesOf = async (coordinatorId: string) => {
    const pulses = new Pulses({
      bus: hub.connect(),
      subjects: subjects('test'),
      coordinatorId,
      onReady: () => told.push([coordinatorId, 'ready']),
      onFleet: () => told.push([coordinatorId, 'fleet']),
      onChanged: (topic, taskPks) => told.push([coordinatorId, topic, taskPks]),
    })
    await pulses.start()
    return pulses
  }
  const [a, b] = [await pulsesOf('a'), await pulsesOf('b')]
  a.send({ fleet: true })
  b.send({ ready: true, changed: ['1', '2'], statuses: ['2'] })
  await new Promise(setImmediate)
  expect(told).toEqual([
    ['b', 'fleet'],
    ['a', 'ready'],
    ['a', 'change', ['1', '2']],
    ['a', 'status', ['2']],
  ])
  await a.stop()
  await b.stop()
})
