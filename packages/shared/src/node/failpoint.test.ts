import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { armFailpoints, failpoint, failpointAfter, failpoints, parseFailpoints } from './failpoint.js'

afterEach(() => armFailpoints([]))
const arm = (text: string) => armFailpoints(parseFailpoints(text).points)

describe('what the variable says', () => {
  test('is a list of points, actions and passes', () => {
    expect(parseFailpoints('dispatch.after-enqueue:kill, watch.mid-sweep:stop:3,')).toEqual({
      points: [
        { name: 'dispatch.after-enqueue', action: 'kill', nth: 1 },
        { name: 'watch.mid-sweep', action: 'stop', nth: 3 },
      ],
      problems: [],
    })
  })

  test('an unknown point is refused with those that are known', () => {
    const { problems } = parseFailpoints('dispatch.nowhere:kill,constructor:kill')
    expect(problems).toHaveLength(2)
    for (const name of Object.keys(failpoints)) expect(problems[0]).toContain(name)
  })

  test.each(['migrate.mid', 'migrate.mid:explode', 'migrate.mid:kill:0', 'migrate.mid:kill:x', 'migrate.mid:kill:1:2'])(
    '%s is refused',
    text => {
      expect(parseFailpoints(text).problems).toHaveLength(1)
      expect(parseFailpoints(text).points).toEqual([])
    },
  )
})

describe('a point', () => {
  test('does nothing unless it is armed', () => {
    failpoint('migrate.mid')
    arm('watch.mid-sweep:throw')
    failpoint('migrate.mid')
  })

  test('acts on the pass that was named, and on no other', () => {
    arm('migrate.mid:throw:2')
    failpoint('migrate.mid')
    expect(() => failpoint('migrate.mid')).toThrow(expect.objectContaining({ code: 'ECONNRESET' }))
    failpoint('migrate.mid')
  })

  test('in the middle of something does the first part only when it acts', async () => {
    const done: string[] = []
    const half = async () => done.push('half')
    await failpointAfter('dispatch.mid-enqueue', half)
    arm('dispatch.mid-enqueue:deadlock:2')
    await failpointAfter('dispatch.mid-enqueue', half)
    expect(done).toEqual([])
    await expect(failpointAfter('dispatch.mid-enqueue', half)).rejects.toMatchObject({ code: '40P01' })
    expect(done).toEqual(['half'])
  })
})

test('every point of the table stands in the code, and the code names no other', () => {
  const packages = new URL('../../../', import.meta.url)
  const files = readdirSync(packages, { recursive: true, encoding: 'utf8' }).filter(
    file => /^[a-z]+\/src\/.*\.ts$/.test(file) && !file.endsWith('.test.ts'),
  )
  const text = files.map(file => readFileSync(new URL(file, packages), 'utf8')).join('\n')
  const placed = [...text.matchAll(/\bfailpoint(?:After)?\('([^']+)'/g)].map(match => match[1])
  expect([...new Set(placed)].sort()).toEqual(Object.keys(failpoints).sort())
})
