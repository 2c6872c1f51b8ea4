// Takes a TCP port of the loopback interface that nobody listens on.
//
// Ports that the kernel hands out to outgoing connections are avoided where possible: a server that is down for a
// restart would lose its port to one of them, and a client that keeps dialling a dead port of that range can even
// end up connected to itself.

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const lowest = 15_000
const aboveHighest = 32_000
const attempts = 20

/** A port that was free a moment ago. Whoever binds it must be ready to find it taken. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = await takeAndRelease(randomInt(lowest, aboveHighest)).catch(() => undefined)
    if (port !== undefined) return port
  }
  return takeAndRelease(0)
}

function takeAndRelease(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : wanted
      server.close(() => resolve(port))
    })
  })
}
