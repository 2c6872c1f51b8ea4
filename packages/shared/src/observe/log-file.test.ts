import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { LogFile, type LogFileOptions } from './log-file.js'

function place(): string {
  const folder = mkdtempSync(join(tmpdir(), 'baton-log-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function logFile(path: string, options: Partial<LogFileOptions> = {}) {
  const said: string[] = []
  const file = new LogFile({
    path,
    maxBytes: 1_000_000,
    keep: 2,
    retryMs: 20,
    onTrouble: error => said.push(`trouble: ${error.message}`),
    onRecovery: dropped => said.push(`recovered: ${dropped}`),
    ...options,
  })
  onTestFinished(() => file.close())
  return { file, said }
}

test('lines are appended to what is there, in folders that are made', async () => {
  const path = join(place(), 'a', 'b', 'orchestrator.log')
  for (const n of [1, 2]) {
    const { file, said } = logFile(path)
    file.write(`line ${n}\n`)
    await file.close()
    expect(said).toEqual([])
  }
  expect(readFileSync(path, 'utf8')).toBe('line 1\nline 2\n')
})

test('what has gathered is in the file at once when the process is about to end', async () => {
  const path = join(place(), 'orchestrator.log')
  const { file } = logFile(path)
  await vi.waitFor(() => expect(readdirSync(join(path, '..'))).toHaveLength(1))
  file.write('the last word\n')
  file.writeNow()
  expect(readFileSync(path, 'utf8')).toBe('the last word\n')
})

test('a file that is full is renamed, and no more are kept than asked for', async () => {
  const folder = place()
  const { file } = logFile(join(folder, 'orchestrator.log'), { maxBytes: 500 })
  const line = (n: number) => `${String(n).padStart(9)}\n`
  for (let n = 0; n < 300; n++) {
    file.write(line(n))
    if (n % 10 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await file.close()
  const names = readdirSync(folder).sort()
  expect(names).toEqual(['orchestrator.1.log', 'orchestrator.2.log', 'orchestrator.log'])
  for (const name of names) expect(statSync(join(folder, name)).size).toBeLessThan(1_500)
  expect(readFileSync(join(folder, 'orchestrator.log'), 'utf8') || readFileSync(join(folder, 'orchestrator.1.log'), 'utf8')).toContain(
    line(299),
  )
})

test('while it cannot be written nobody fails or waits; lines are dropped and counted, until it can', async () => {
  const folder = place()
  const inTheWay = join(folder, 'logs')
  writeFileSync(inTheWay, '')
  const { file, said } = logFile(join(inTheWay, 'orchestrator.log'))
  await vi.waitFor(() => expect(said).toEqual([expect.stringMatching(/^trouble: /)]))
  for (let n = 0; n < 10; n++) file.write('lost\n')
  await vi.waitFor(() => expect(file.dropped).toBe(10))
  rmSync(inTheWay)
  mkdirSync(inTheWay)
  await vi.waitFor(
    () => {
      file.write('kept\n')
      expect(said).toEqual([expect.stringMatching(/^trouble: /), expect.stringMatching(/^recovered: 1\d/)])
    },
    { timeout: 5_000, interval: 10 },
  )
  file.write('last\n')
  await file.close()
  expect(readFileSync(join(inTheWay, 'orchestrator.log'), 'utf8')).toMatch(/kept\nlast\n$/)
})

test('what a slow disk has not taken is bounded', () => {
  const { file } = logFile(join(place(), 'orchestrator.log'))
  const line = `${'x'.repeat(99_999)}\n`
  for (let n = 0; n < 200; n++) file.write(line) // nothing is written before this turn ends
  expect(file.dropped).toBeGreaterThan(100)
})
