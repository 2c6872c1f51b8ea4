// A private NATS server. It keeps nothing: Baton uses the bus without JetStream.

import { randomUUID } from 'node:crypto'
import { processEnvironment } from '../env.js'
import { natsAnswers } from './answers.js'
import { findNats } from './find-binaries.js'
import type { ServerHandle, ServerOptions } from './handle.js'
import { startManaged } from './managed-server.js'

/**
 * Starts nats-server. Throws when there is none of version 2.9 or newer on this machine, or it does not start.
 *
 * @example
 * const nats = await startNats()
 * const connection = await connect({ servers: nats.url })
 */
export async function startNats(options: ServerOptions = {}): Promise<ServerHandle> {
  const command = await findNats()
  if (command === undefined) throw new Error('no nats-server 2.9 or newer on this machine: install nats-server')
  const serverName = `baton-${randomUUID()}`
  return startManaged(
    {
      name: 'nats',
      command,
      env: processEnvironment(),
      user: undefined,
      stopSignal: 'SIGTERM',
      endWith: 'KILL',
      args: ({ port }) => ['--addr', '127.0.0.1', '--port', String(port), '--name', serverName],
      answers: ({ port }) => natsAnswers({ port, serverName }),
      url: port => `nats://127.0.0.1:${port}`,
    },
    options,
  )
}
