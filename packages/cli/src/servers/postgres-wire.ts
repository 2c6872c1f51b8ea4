// As much of the Postgres protocol as it takes to ask one question of a server that trusts us. A driver would be a
// dependency of everything that only wants a server.

import { ask } from './answers.js'

/** `rows` holds the first column of each row, as text. */
export type PostgresAnswer = { kind: 'rows'; rows: string[] } | { kind: 'error'; sqlState: string; message: string }

/** Runs one statement as superuser. Undefined when the server does not answer. */
export function askPostgres(options: { port: number; database: string; sql: string }): Promise<PostgresAnswer | undefined> {
  let asked = false
  return ask({
    port: options.port,
    question: startup({ user: 'postgres', database: options.database }),
    read: (received, send): PostgresAnswer | undefined => {
      const messages = readMessages(received)
      const failed = messages.find(({ type }) => type === 'E')
      if (failed !== undefined) return readError(failed.body)
      const readyCount = messages.filter(({ type }) => type === 'Z').length
      if (readyCount === 1 && !asked) {
        asked = true
        send(frame('Q', `${options.sql}\0`))
      }
      if (readyCount < 2) return undefined
      send(frame('X', ''))
      return { kind: 'rows', rows: messages.flatMap(({ type, body }) => (type === 'D' ? [firstColumn(body)] : [])) }
    },
  })
}

function startup(parameters: Record<string, string>): Buffer {
  const pairs = Object.entries(parameters).map(([name, value]) => `${name}\0${value}\0`)
  const body = Buffer.from(`${pairs.join('')}\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(8 + body.length)
  head.writeInt32BE(3 << 16, 4) // protocol 3.0
  return Buffer.concat([head, body])
}

function frame(type: string, content: string): Buffer {
  const body = Buffer.from(content)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

interface Message {
  readonly type: string
  readonly body: Buffer
}

/** The complete messages at the start of what has arrived. */
function readMessages(received: Buffer): Message[] {
  const messages: Message[] = []
  let at = 0
  while (at + 5 <= received.length) {
    const end = at + 1 + received.readInt32BE(at + 1)
    if (end > received.length) break
    messages.push({ type: String.fromCharCode(received[at] ?? 0), body: received.subarray(at + 5, end) })
    at = end
  }
  return messages
}

function firstColumn(row: Buffer): string {
  const length = row.readInt32BE(2)
  return row.toString('utf8', 6, 6 + Math.max(length, 0))
}

function readError(body: Buffer): PostgresAnswer {
  const fields = body.toString('utf8').split('\0')
  const field = (code: string) => fields.find(text => text.startsWith(code))?.slice(1) ?? ''
  return { kind: 'error', sqlState: field('C'), message: field('M') }
}
