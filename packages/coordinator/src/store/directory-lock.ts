/**
 * A lock on a data directory that names its holder. The lock is a listening Unix socket: the kernel lets go of it when
 * the holder dies, however it dies, so there is nothing stale to reason about by process ids.
 *
 * Invariants: L1 whoever wants the lock listens on a socket with a name of its own, and then asks all others; so of two
 * who want it at the same time at least one learns of the other. L2 a holder keeps the lock; of several contenders the
 * one whose name sorts first goes on, and the others yield. L3 a name is seen only while its socket listens and is
 * never used again; so one that refuses is dead and may be removed, whoever finds it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatonError } from '@baton/shared'

/** What the kernel takes as the path of a socket, with some room for `.draft`. */
const longestSocketPath = 95
/** Who accepts and says nothing is frozen or busy, and not dead. */
const answerMs = 1_000
const patienceMs = 5_000

type Standing = 'contender' | 'holder'

/** A listening socket that answers with its standing. */
class Flag {
  standing: Standing = 'contender'
  private path: string
  private readonly askers = new Set<Socket>()
  private readonly server = createServer(socket => {
    this.askers.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.askers.delete(socket))
    socket.end(this.standing)
  })

  constructor(path: string) {
    this.path = path
  }

  async raise(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(this.path, resolve)
    })
    this.server.unref()
    return this
  }

  rename(path: string): void {
    renameSync(this.path, path)
    this.path = path
  }

  async lower(): Promise<void> {
    rmSync(this.path, { force: true })
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    for (const asker of this.askers) asker.destroy()
    await closed
  }
}

/** Where the sockets of one directory are. */
interface Place {
  readonly directory: string
  readonly prefix: string
}

/** Takes the lock, or throws `data_directory_locked` naming the process that has it. Returns the way to give it back. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const holderFile = join(directory, 'holder.json')
  const flag = process.platform === 'win32' ? await takePipe(directory) : await contend(placeOf(realpathSync(directory)))
  if (!flag)
    throw new BatonError(
      'data_directory_locked',
      `the data directory ${directory} is in use by ${describeHolder(holderFile)}; stop that process, or give another directory with --data`,
    )
  writeFileSync(holderFile, `${JSON.stringify({ pid: process.pid, host: hostname(), since: new Date().toISOString() })}\n`)
  return async () => {
    rmSync(holderFile, { force: true })
    await flag.lower()
  }
}

function placeOf(directory: string): Place {
  const prefix = 'lock.'
  if (Buffer.byteLength(join(directory, newName(prefix))) <= longestSocketPath) return { directory, prefix }
  return { directory: tmpdir(), prefix: `baton-${digest(directory)}.` }
}

const newName = (prefix: string): string => `${prefix}${randomBytes(6).toString('hex')}.sock`
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 24)

/** The lock of a place, or undefined when somebody holds it. */
async function contend({ directory, prefix }: Place): Promise<Flag | undefined> {
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline) {
    const name = newName(prefix)
    const flag = await new Flag(join(directory, `${name}.draft`)).raise() // L1
    flag.rename(join(directory, name)) // L3
    const outcome = await compare(name, { directory, prefix })
    if (outcome === 'alone') {
      flag.standing = 'holder'
      return flag
    }
    await flag.lower()
    if (outcome === 'held') return undefined
    await delay(20)
  }
  return undefined
}

async function compare(own: string, { directory, prefix }: Place): Promise<'alone' | 'held' | 'yield'> {
  for (;;) {
    const names = readdirSync(directory).filter(name => name.startsWith(prefix) && name.endsWith('.sock') && name !== own)
    const others = await Promise.all(names.map(async name => ({ name, standing: await ask(join(directory, name)) })))
    for (const { name, standing } of others) if (standing === 'dead') rmSync(join(directory, name), { force: true }) // L3
    if (others.some(({ standing }) => standing === 'holder')) return 'held' // L2
    const contenders = others.filter(({ standing }) => standing === 'contender')
    if (contenders.length === 0) return 'alone'
    if (contenders.some(({ name }) => name < own)) return 'yield' // L2
    await delay(5)
  }
}

/** Windows lets one process at a time have a pipe of that name, and takes it away with the process. */
async function takePipe(directory: string): Promise<Flag | undefined> {
  return new Flag(`\\\\.\\pipe\\baton-${digest(realpathSync(directory))}`).raise().catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') return undefined
    throw error
  })
}

function ask(path: string): Promise<Standing | 'dead'> {
  return new Promise(resolve => {
    const socket = connect(path)
    let answer = ''
    const timer = setTimeout(() => finish('holder'), answerMs)
    const finish = (standing: Standing | 'dead') => {
      clearTimeout(timer)
      socket.destroy()
      resolve(standing)
    }
    socket.setEncoding('utf8').on('data', chunk => {
      answer += chunk
    })
    // One that hangs up without a word is about to go.
    socket.on('end', () => finish(answer === 'holder' ? 'holder' : 'contender'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') finish('dead')
      else finish(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'contender' : 'holder')
    })
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

function delay(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
