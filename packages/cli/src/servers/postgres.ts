// A private Postgres: trusts everybody on the loopback interface, listens nowhere else, and keeps its promises to the
// disk as a production server does (fsync and synchronous_commit stay on).

import { chown, mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { processEnvironment } from '../env.js'
import { findPostgres, type PostgresBinaries } from './find-binaries.js'
import type { ServerHandle, ServerOptions } from './handle.js'
import { type Place, startManaged } from './managed-server.js'
import { askPostgres } from './postgres-wire.js'
import { runTool } from './run-tool.js'

const initTimeoutMs = 120_000

export interface PostgresOptions extends ServerOptions {
  /** Server parameters, for example `{ log_statement: 'all' }`. They win over those of Baton. */
  settings?: Record<string, string>
}

/**
 * Starts Postgres with an empty database `baton` and the superuser `postgres`, who needs no password. Throws when
 * there is no Postgres 14 or newer on this machine, or it does not start.
 *
 * @example
 * const postgres = await startPostgres()
 * const pool = new Pool({ connectionString: postgres.url })
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<ServerHandle> {
  const binaries = await findPostgres()
  if (binaries === undefined) throw new Error('no PostgreSQL 14 or newer on this machine: install postgresql')
  return startManaged(
    {
      name: 'postgres',
      command: binaries.postgres,
      env: environment(),
      user: binaries.user,
      stopSignal: 'SIGINT', // "fast": ends sessions instead of waiting for clients to leave
      endWith: 'QUIT', // "immediate": the postmaster takes its backends along, which SIGKILL would not
      args: ({ port, directory }) => ['-D', cluster(directory), ...flags({ port, settings: options.settings })],
      prepare: context => createCluster({ ...context, binaries }),
      answers: ({ port, directory }) => isReady({ port, directory }),
      url: port => `postgres://postgres@127.0.0.1:${port}/baton`,
    },
    options,
  )
}

function flags(options: { port: number; settings: Record<string, string> | undefined }): string[] {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    unix_socket_directories: '',
    max_connections: '200',
    fsync: 'on',
    synchronous_commit: 'on',
    logging_collector: 'off', // the log is read from the pipe
    ...options.settings,
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

const cluster = (directory: string) => join(directory, 'cluster')

/** initdb works beside the final place, so an interrupted one never looks like a cluster. */
async function createCluster(
  context: Place & { binaries: PostgresBinaries; signal: AbortSignal; onPid: (pid: number) => void },
): Promise<void> {
  const { binaries, directory, temporary, signal, onPid } = context
  if (await exists(cluster(directory))) return
  const draft = join(directory, 'cluster.draft')
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { mode: 0o700 })
  if (binaries.user !== undefined) await chown(draft, binaries.user.uid, binaries.user.gid)
  const created = await runTool({
    command: binaries.initdb,
    args: [
      ...['-D', draft, '-U', 'postgres', '-E', 'UTF8', '--no-locale', '--auth=trust', '--no-instructions'],
      // Data that does not outlive the server need not survive a power cut during its creation.
      ...(temporary ? ['--no-sync'] : []),
    ],
    timeoutMs: initTimeoutMs,
    user: binaries.user,
    cwd: directory,
    env: environment(),
    detached: true,
    signal,
    onPid,
  })
  if (created.kind === 'failed') {
    throw new Error(`initdb did not create a cluster: ${created.reason}. It printed:\n${created.output.trim()}`)
  }
  await rename(draft, cluster(directory))
}

async function isReady({ port, directory }: { port: number; directory: string }): Promise<boolean> {
  const answer = await askPostgres({
    port,
    database: 'postgres',
    sql: "SELECT current_setting('data_directory') UNION ALL SELECT datname FROM pg_database WHERE datname = 'baton'",
  })
  if (answer?.kind !== 'rows' || !answer.rows.includes(cluster(directory))) return false
  if (answer.rows.includes('baton')) return true
  // Missing at the first start, and after one that was interrupted before this point. The next question finds it.
  await askPostgres({ port, database: 'postgres', sql: 'CREATE DATABASE baton' })
  return false
}

/** The environment without what would steer the server past its flags (PGPORT, PGDATA), in a locale that exists. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(processEnvironment()).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_'))
  return { ...Object.fromEntries(kept), LC_ALL: 'C' }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
