/** PostgreSQL databases for single tests. */
import { randomBytes } from 'node:crypto'
import { maskSecrets, silentLogger } from '@baton/shared/node'
import { openPostgres } from '../../packages/coordinator/src/store/postgres.js' // not its whole package, for speed
import { cleanUp } from './clean-up.js'
import { servers } from './servers.js'

/** A server that was given and is not there fails the test. */
const connectMs = 3_000

/** The URL of an empty database of its own; dropped when the test (or the file) ends, with whoever is still connected. */
export async function freshDatabase(): Promise<string> {
  const { databaseUrl } = await servers()
  const name = `test_${randomBytes(6).toString('hex')}`
  await onServer(databaseUrl, `create database ${name}`)
  cleanUp(() => onServer(databaseUrl, `drop database if exists ${name} with (force)`))
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  return url.href
}

async function onServer(url: string, statement: string): Promise<void> {
  const signal = AbortSignal.timeout(connectMs)
  const admin = await openPostgres({ url, log: silentLogger(), max: 1, signal }).catch(error => {
    throw signal.aborted ? new Error(`no PostgreSQL answers at ${maskSecrets(url)}`, { cause: error }) : error
  })
  try {
    await admin.script(statement)
  } finally {
    await admin.close()
  }
}
