/** Whether a server answers in its own protocol: a connection and one exchange, without drivers and without logging in. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export type ServerKind = 'postgres' | 'redis' | 'nats'

interface Protocol {
  readonly port: number
  readonly tls: readonly string[]
  /** What is said first; NATS servers speak first. */
  readonly hello: Buffer | undefined
  /** What the answer says about the server, or undefined when another kind of server answers. `useless`: of the right kind, and why Baton cannot work with it. */
  readonly answer: (text: string) => string | { readonly useless: string } | undefined
}

const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

const protocols: Record<ServerKind, Protocol> = {
  postgres: {
    port: 5432,
    tls: [],
    hello: sslRequest,
    answer: text => (text[0] === 'S' || text[0] === 'N' ? 'PostgreSQL answers' : undefined),
  },
  redis: {
    port: 6379,
    tls: ['rediss:'],
    hello: Buffer.from('ROLE\r\n'),
    answer(text) {
      const [, refusal, role] = /^(?:-(NOAUTH|NOPERM|LOADING)|\*\d+\r\n\$\d+\r\n(master|slave)\r\n)/.exec(text) ?? []
      if (role === 'slave') return { useless: 'is a replica, which takes no writes' }
      return role ? 'Redis answers' : refusal && `Redis answers (${refusal})`
    },
  },
  nats: {
    port: 4222,
    tls: [], // it says INFO in the clear, and only then turns to TLS
    hello: undefined,
    answer(text) {
      const info = /^INFO (\{.*)/s.exec(text)?.[1]
      return info === undefined ? undefined : `NATS ${/"version":"([^"]+)"/.exec(info)?.[1] ?? ''} answers`
    },
  },
}

/** What answers there. Throws, with the place and the reason, when nothing or something else does. */
export function probe(kind: ServerKind, url: string, timeoutMs = 3_000): Promise<string> {
  const protocol = protocols[kind]
  const { hostname, port, protocol: scheme } = new URL(url)
  const at = { host: hostname.replace(/^\[|\]$/g, '') || '127.0.0.1', port: Number(port) || protocol.port }
  const place = `${at.host}:${at.port}`
  return new Promise((resolve, reject) => {
    const socket: Socket = protocol.tls.includes(scheme) ? connectTls({ ...at, servername: at.host }) : connect(at)
    const settle = (end: () => void) => {
      clearTimeout(timer)
      socket.destroy()
      end()
    }
    const timer = setTimeout(() => settle(() => reject(new Error(`${place} did not answer within ${timeoutMs / 1_000} s`))), timeoutMs)
    socket.once('connect', () => protocol.hello && socket.write(protocol.hello))
    socket.once('data', data => {
      const says = protocol.answer(data.toString('latin1'))
      settle(() => {
        if (typeof says === 'string') resolve(`${says} at ${place}`)
        else reject(new Error(`${place} ${says?.useless ?? `answers, but not as a ${kind} server does`}`))
      })
    })
    socket.once('error', error => settle(() => reject(new Error(`${place}: ${reason(error)}`))))
    socket.once('close', () => settle(() => reject(new Error(`${place} closed the connection`))))
  })
}

function reason(error: Error): string {
  const first = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error
  return first.message || ('code' in error ? String(error.code) : error.name)
}
