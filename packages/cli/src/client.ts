/** The client as a command uses it: URL from `--url`, else from the environment, as the key is. */
import { type Client, createClient } from '@baton/client'
import { readEnvironment } from '@baton/shared/node'
import type { Io } from './io.js'

export interface RemoteOptions {
  readonly url?: string
  readonly json?: boolean
}

export function connect(options: RemoteOptions, io: Io): Client {
  const { url, apiKey } = readEnvironment(io.env)
  return createClient({ url: options.url ?? url, ...(apiKey && { apiKey }) })
}
