import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Member, type MemberOptions } from './member.js'

let dir: string
let member: Member | undefined
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'baton-member-'))
})
afterEach(async () => {
  await member?.kill()
  member = undefined
  await rm(dir, { recursive: true, force: true })
})

const sayReady = `console.log(JSON.stringify({ id: 'w', pid: process.pid }));`
const stay = `setInterval(() => {}, 1000);`

/** Lines of the log, and a way to wait for one. */
function logbook() {
  const lines: string[] = []
  let look = () => undefined as unknown
  return {
    lines,
    log: (line: string) => {
      lines.push(line)
      look()
    },
    line: (text: string) =>
      new Promise<void>(resolve => {
        look = () => lines.some(line => line.includes(text)) && resolve()
        look()
      }),
  }
}

function options(script: string, more: Partial<MemberOptions> = {}): MemberOptions {
  return {
    name: 'worker 1',
    command: [process.execPath, '-e', script],
    env: {},
    cwd: dir,
    log: () => undefined,
    restartAfterMs: 0,
    ...more,
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('a member of a fleet', () => {
  test('is started when its first line says so, and stopped in order', async () => {
    const { log, lines } = logbook()
    member = await Member.start(
      options(`console.error('hello'); ${sayReady} process.on('SIGTERM', () => { console.log('bye'); process.exit(0) }); ${stay}`, { log }),
    )
    const { pid } = member
    expect(member.ready).toEqual({ id: 'w', pid })
    await member.stop()
    expect(lives(pid ?? 0)).toBe(false)
    expect(member.pid).toBeUndefined()
    expect(lines).toContain('worker 1: hello')
    expect(lines.some(line => line.includes('ended'))).toBe(false)
  })

  test('that does not listen is killed after its grace', async () => {
    member = await Member.start(options(`process.on('SIGTERM', () => {}); ${sayReady} ${stay}`, { graceMs: 50 }))
    const pid = member.pid ?? 0
    await member.stop()
    expect(lives(pid)).toBe(false)
  })

  test('that asks for a restart is started again', async () => {
    const { log, line } = logbook()
    member = await Member.start(
      options(
        `const fs = require('fs'); const again = fs.existsSync('once'); fs.writeFileSync('once', ''); ${sayReady} if (again) { console.log('here again'); ${stay} } else setTimeout(() => process.exit(75), 10)`,
        { log },
      ),
    )
    const first = member.ready.pid
    await line('here again')
    expect(member.pid).toBeDefined()
    expect(member.pid).not.toBe(first)
  })

  test('that was killed by somebody else stays down, and the log says so', async () => {
    const { log, line } = logbook()
    member = await Member.start(options(`${sayReady} ${stay}`, { log }))
    process.kill(member.pid ?? 0, 'SIGKILL')
    await line('worker 1: ended by SIGKILL')
    expect(member.pid).toBeUndefined()
  })

  test('that ends before it is ready says why', async () => {
    await expect(Member.start(options(`console.error('no Redis'); process.exitCode = 2`))).rejects.toThrow(
      'worker 1 ended with code 2 before it was ready; it said: no Redis',
    )
  })

  test('that is never ready is given up', async () => {
    await expect(Member.start(options(stay, { readyMs: 100 }))).rejects.toThrow('worker 1 was not ready within 0.1 s')
  })

  test('whose start is interrupted is gone', async () => {
    const controller = new AbortController()
    const starting = Member.start(options(stay, { signal: controller.signal }))
    controller.abort(new Error('enough'))
    await expect(starting).rejects.toThrow('enough')
  })
})
