/** The servers of the test run, from inside a test. global-setup.ts has them. */
import { get } from 'node:http'
import { inject } from 'vitest'
import type { ServerUrls } from './global-setup.js'

let asked: Promise<ServerUrls> | undefined

/** Where PostgreSQL, Redis and NATS are. The first call of a run starts them; throws when they cannot be had. */
export function servers(): Promise<ServerUrls> {
  asked ??= ask(inject('batonServers'))
  return asked
}

function ask(url: string): Promise<ServerUrls> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(body) as ServerUrls) // as global-setup.ts wrote it
        else reject(new Error(`this test needs PostgreSQL, Redis and NATS.\n${body}`))
      })
    })
    request.on('error', reject)
  })
}
