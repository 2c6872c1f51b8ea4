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

/** What the kernel takes as the path of a socket. */
const longestSocketPath = 100
/** Who accepts and says nothing is frozen or busy, and not dead. */
const answerMs = 1_000
const patienceMs = 5_000

type Standing = 'contender' | 'holder'

/** A listening socket; it answers with its standing. */
interface Flag {
  readonly name: string
  standing: Standing
  lower(): Promise<void>
}

/** Where the sockets of one directory are. */
interface Place {
  readonly directory: string
  readonly prefix: string
}

/** Takes the lock, or throws `data_directory_locked` naming the process that has it. Returns the way to give it back. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const holderFile = join(directory, 'holder.json')
  const flag = process.platform === 'win32' ? await raisePipe(directory) : await contend(placeOf(realpathSync(directory)))
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
async function contend(place: Place): Promise<Flag | undefined> {
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline) {
    const flag = await raise(place) // L1
    const outcome = await compare(flag, place)
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

async function compare(flag: Flag, place: Place): Promise<'alone' | 'held' | 'yield'> {
  for (;;) {
    const names = readdirSync(place.directory).filter(
      name => name.startsWith(place.prefix) && name.endsWith('.sock') && name !== flag.name,
    )
    const others = await Promise.all(names.map(async name => ({ name, standing: await ask(join(place.directory, name)) })))
    for (const { name, standing } of others) if (standing === 'dead') rmSync(join(place.directory, name), { force: true }) // L3
    if (others.some(({ standing }) => standing === 'holder')) return 'held' // L2
    const contenders = others.filter(({ standing }) => standing === 'contender')
    if (contenders.length === 0) return 'alone'
    if (contenders.some(({ name }) => name < flag.name)) return 'yield'
    await delay(5)
  }
}

async function raise({ directory, prefix }: Place): Promise<Flag> {
  const name = newName(prefix)
  const path = join(directory, name)
  const draft = `${path}.`
  const flag = await listen(draft)
  renameSync(draft, path) // L3
  return {
    name,
    get standing() {
      return flag.standing
    },
    set standing(standing) {
      flag.standing = standing
    },
    lower: () => {
      rmSync(path, { force: true })
      return flag.lower()
    },
  }
}

/** Windows lets one process at a time have a pipe of that name, and takes it away with the process. */
async function raisePipe(directory: string): Promise<Flag | undefined> {
  return listen(`\\\\.\\pipe\\baton-${digest(realpathSync(directory))}`).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') return undefined
    throw error
  })
}

function listen(path: string): Promise<Flag> {
  return new Promise((resolve, reject) => {
    const askers = new Set<Socket>()
    const server = createServer(socket => {
      askers.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => askers.delete(socket))
      socket.end(flag.standing)
    })
    const flag: Flag = {
      name: path,
      standing: 'contender',
      lower: () =>
        new Promise(done => {
          server.close(() => done())
          for (const socket of askers) socket.destroy()
        }),
    }
    server.once('error', reject)
    server.listen(path, () => {
      server.unref()
      resolve(flag)
    })
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
    socket.on('end', () => finish(answer === 'contender' ? 'contender' : 'holder'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') finish('dead')
      else if (error.code === 'ECONNRESET' || error.code === 'EPIPE') finish('contender') // it went while it was asked; look again
      else finish('holder')
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
