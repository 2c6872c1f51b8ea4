// Asks a server on the loopback interface whether it is the one we started, and ready. Without drivers.
//
// An answer alone proves little: on a port that two processes chose at the same moment the other one's server
// answers just as well. So each question carries something that only our server knows.

import { connect } from 'node:net'

const answerTimeoutMs = 2_000

/**
 * Connects, sends `question` and collects what comes back until `read` makes a result of it. Undefined when nobody
 * listens, the server hangs up, or two seconds pass.
 */
export function ask<Result>(options: {
  port: number
  question?: string | Uint8Array
  /** Called with all bytes so far; undefined asks for more. May send a further question. */
  read: (received: Buffer, send: (question: Uint8Array) => void) => Result | undefined
}): Promise<Result | undefined> {
  const { port, question, read } = options
  return new Promise(resolve => {
    let received: Buffer = Buffer.alloc(0)
    const socket = connect({ port, host: '127.0.0.1' })
    const finish = (result?: Result) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(finish, answerTimeoutMs)
    socket.on('connect', () => question !== undefined && socket.write(question))
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      const result = read(received, next => socket.write(next))
      if (result !== undefined) finish(result)
    })
    socket.on('error', () => finish())
    socket.on('close', () => finish())
  })
}

/** True when the Redis on `port` is the process `pid` and has loaded its data. */
export async function redisAnswers({ port, pid }: { port: number; pid: number }): Promise<boolean> {
  const answer = await ask({
    port,
    question: 'PING\r\nINFO server\r\n',
    read: received => {
      const text = received.toString('latin1')
      if (text.startsWith('-')) return 'not ready' // still loading, says so instead of +PONG
      return /\r\nprocess_id:(\d+)\r\n/.exec(text)?.[1]
    },
  })
  return answer === String(pid)
}

/** True when the NATS server on `port` introduces itself as `serverName`. */
export async function natsAnswers({ port, serverName }: { port: number; serverName: string }): Promise<boolean> {
  const answer = await ask({
    port,
    read: received => /^INFO (\{.*\})\s*\r\n/.exec(received.toString('utf8'))?.[1],
  })
  return answer?.includes(`"server_name":${JSON.stringify(serverName)}`) ?? false
}
