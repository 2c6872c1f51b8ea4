// Health of a worker's container: exits 0 while a connection to Redis and one to NATS stand. A worker listens nowhere and
// has no key to ask a coordinator with; so the kernel is asked. Whether its heartbeats arrive, `baton workers` says.
// Linux only. Node's own modules only.
import { readFileSync } from 'node:fs'

const established = '01'

const wanted = ['REDIS_URL', 'NATS_URL'].map(name => ({ name, port: portOf(process.env[name], name === 'REDIS_URL' ? 6379 : 4222) }))
const connected = new Set([...remotePorts('/proc/net/tcp'), ...remotePorts('/proc/net/tcp6')])
const missing = wanted.filter(({ port }) => !connected.has(port))
if (missing.length > 0) {
  process.stderr.write(`no connection to the server of ${missing.map(({ name, port }) => `${name} (port ${port})`).join(' and ')}\n`)
  process.exit(1)
}

function portOf(url, standard) {
  return Number((url && new URL(url).port) || standard)
}

/** Remote ports of the connections of this network namespace. Lines read `0: local:port remote:port state …` in hexadecimal. */
function remotePorts(file) {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return [] // no IPv6
  }
  return text
    .split('\n')
    .slice(1)
    .map(line => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === established)
    .map(([, , remote]) => Number.parseInt(remote.split(':').at(-1), 16))
}
