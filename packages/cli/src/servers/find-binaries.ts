// Finds server binaries on this machine and says which are missing.
//
// F1  A binary counts when it answers `--version` as the server it is named after, in a version that Baton supports.
//     What lies on the PATH under the right name proves nothing.
// F2  It must answer to the user that will run it: Postgres refuses root.

import { readdir, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path'
import { processEnvironment } from '../env.js'
import { type ServerName, serverNames } from './handle.js'
import { type RunAs, runTool } from './run-tool.js'

export interface PostgresBinaries {
  readonly postgres: string
  readonly initdb: string
  /** Whom to run it as; undefined means as the current user. */
  readonly user: RunAs | undefined
}

interface Version {
  readonly major: number
  readonly minor: number
}

/** The servers that no binary on this machine can provide. */
export async function missingServers(): Promise<ServerName[]> {
  const found = await Promise.all([findPostgres(), findRedis(), findNats()])
  return serverNames.filter((_, index) => found[index] === undefined)
}

/** PostgreSQL 14 or newer with initdb beside it, and the user to run both as. */
export async function findPostgres(): Promise<PostgresBinaries | undefined> {
  const user = await unprivilegedUser()
  if (user === 'none') return undefined
  for (const folder of [...pathFolders(), ...(await postgresFolders())]) {
    const server = await askVersion({ command: join(folder, 'postgres'), pattern: postgresVersion, user })
    if (server === undefined || !isAtLeast(server, { major: 14, minor: 0 })) continue
    // The link is followed because initdb lies beside the real file, and looks for `postgres` there itself.
    const real = dirname(await realpath(join(folder, 'postgres')))
    const initdb = await askVersion({ command: join(real, 'initdb'), pattern: postgresVersion, user })
    if (initdb?.major !== server.major) continue
    return { postgres: join(real, 'postgres'), initdb: join(real, 'initdb'), user }
  }
  return undefined
}

/** Redis 6.2 or newer, or Valkey, which speaks the same protocol and takes the same settings. */
export function findRedis(): Promise<string | undefined> {
  return findAnswering({
    names: ['redis-server', 'valkey-server'],
    pattern: /^(?:Redis|Valkey) server v=(\d+)\.(\d+)/,
    oldest: { major: 6, minor: 2 },
  })
}

/** nats-server 2.9 or newer. */
export function findNats(): Promise<string | undefined> {
  return findAnswering({
    names: ['nats-server'],
    pattern: /^nats-server: v(\d+)\.(\d+)/,
    oldest: { major: 2, minor: 9 },
  })
}

async function findAnswering(wanted: { names: readonly string[]; pattern: RegExp; oldest: Version }): Promise<string | undefined> {
  for (const name of wanted.names) {
    for (const folder of [...pathFolders(), ...systemFolders]) {
      const command = join(folder, name)
      const version = await askVersion({ command, pattern: wanted.pattern })
      if (version !== undefined && isAtLeast(version, wanted.oldest)) return command
    }
  }
  return undefined
}

const postgresVersion = /\(PostgreSQL\) (\d+)()/

// F1
async function askVersion(asked: { command: string; pattern: RegExp; user?: RunAs }): Promise<Version | undefined> {
  const { command, pattern, user } = asked
  if (!(await isFile(command))) return undefined
  // The user may not be allowed to enter the current directory, and then the tool fails before it answers.
  const result = await runTool({ command, args: ['--version'], timeoutMs: 5_000, user, cwd: '/' })
  const match = result.kind === 'done' ? pattern.exec(result.output) : null
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) }
}

function isAtLeast(version: Version, oldest: Version): boolean {
  return version.major > oldest.major || (version.major === oldest.major && version.minor >= oldest.minor)
}

// F2
async function unprivilegedUser(): Promise<RunAs | undefined | 'none'> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = await Promise.all(['-u', '-g'].map(flag => runTool({ command: 'id', args: [flag, name], timeoutMs: 5_000 })))
    if (uid?.kind === 'done' && gid?.kind === 'done') return { uid: Number(uid.output), gid: Number(gid.output) }
  }
  return 'none'
}

const brewPrefixes = ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew'] as const

// Debian puts nats-server in /usr/sbin, which is not on the PATH of ordinary users.
const systemFolders = [
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
  ...brewPrefixes.map(prefix => join(prefix, 'bin')),
  join(homedir(), 'go/bin'),
]

function pathFolders(): string[] {
  return (processEnvironment().PATH ?? '').split(delimiter).filter(isAbsolute)
}

async function postgresFolders(): Promise<string[]> {
  const debian = await newestFirst('/usr/lib/postgresql')
  const brewed = await Promise.all(brewPrefixes.map(prefix => newestFirst(join(prefix, 'opt'))))
  return [
    ...[...debian, '/usr/local/pgsql'].map(folder => join(folder, 'bin')),
    ...brewed
      .flat()
      .filter(folder => basename(folder).startsWith('postgresql'))
      .map(folder => join(folder, 'bin')),
    '/Applications/Postgres.app/Contents/Versions/latest/bin',
  ]
}

/** The entries of a folder, the greatest number in their name first; none when there is no such folder. */
async function newestFirst(parent: string): Promise<string[]> {
  const names = await readdir(parent).catch(() => [])
  const number = (name: string) => Number(/\d+/.exec(name)?.[0] ?? 0)
  return names.sort((a, b) => number(b) - number(a)).map(name => join(parent, name))
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isFile(),
    () => false,
  )
}
