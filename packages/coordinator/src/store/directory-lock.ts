/**
 * A lock on a data directory that names its holder. The lock is a listening Unix socket: the kernel lets go of it when
 * the holder dies, however it dies, so there is nothing stale to reason about by process ids.
 */

import { createHash } from 'node:crypto'
import { readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatonError } from '@baton/shared'

/** What the kernel takes as the path of a socket, with some room for the suffix of `removeDead`. */
const longestSocketPath = 90

/** Takes the lock, or throws `data_directory_locked` naming the process that has it. Returns the way to give it back. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const holderFile = join(directory, 'holder.json')
  const path = socketPath(realpathSync(directory))
  const server = (await listen(path)) ?? ((await removeDead(path)) ? await listen(path) : undefined)
  if (!server)
    throw new BatonError(
      'data_directory_locked',
      `the data directory ${directory} is in use by ${describeHolder(holderFile)}; stop that process, or give another directory with --data`,
    )
  writeFileSync(holderFile, `${JSON.stringify({ pid: process.pid, host: hostname(), since: new Date().toISOString() })}\n`)
  return async () => {
    rmSync(holderFile, { force: true })
    await new Promise<void>(done => server.close(() => done()))
  }
}

function socketPath(directory: string): string {
  const path = join(directory, 'lock.sock')
  if (process.platform !== 'win32' && Buffer.byteLength(path) <= longestSocketPath) return path
  const digest = createHash('sha256').update(directory).digest('hex').slice(0, 24)
  return process.platform === 'win32' ? `\\\\.\\pipe\\baton-${digest}` : join(tmpdir(), `baton-${digest}.sock`)
}

/**
 * Takes away a socket file that nobody listens on. It is moved aside first and asked there, so that of two processes
 * that both found it dead, the later one cannot take away what the earlier one has just made.
 */
async function removeDead(path: string): Promise<boolean> {
  if (await answers(path)) return false
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch {
    return true // somebody else has moved it
  }
  if (await answers(aside)) {
    renameSync(aside, path)
    return false
  }
  rmSync(aside, { force: true })
  return true
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolveServer, reject) => {
    const server = createServer(socket => socket.end())
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolveServer(undefined) : reject(error)))
    server.listen(path, () => {
      server.unref()
      resolveServer(server)
    })
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolveAnswer => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolveAnswer(true)
    })
    socket.once('error', () => resolveAnswer(false))
  })
}

function describeHolder(file: string): string {
  try {
    const holder = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; since: string }
    return `process ${holder.pid} (since ${holder.since})`
  } catch {
    return 'another process'
  }
}
