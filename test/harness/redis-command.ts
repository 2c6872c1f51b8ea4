/** One command to Redis, for what the seams do not offer. The driver itself stays behind their doors. */
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { redisEndpoint } from '@baton/shared/node'

/** Sends one command and resolves with the first line of its answer; rejects when that is an error. */
export function redisCommand(url: string, ...command: readonly string[]): Promise<string> {
  const { host, port, username, password, db, tls } = redisEndpoint(url)
  const commands = [
    ...(password === undefined ? [] : [['AUTH', ...(username === undefined ? [] : [username]), password]]),
    ['SELECT', String(db)],
    command,
  ]
  return new Promise((resolve, reject) => {
    const socket = tls ? connectTls({ host, port }) : connect({ host, port })
    let received = ''
    socket.setEncoding('utf8')
    socket.write(commands.map(encode).join(''))
    socket.on('data', chunk => {
      received += chunk
      const lines = received.split('\r\n').slice(0, -1)
      const answer = lines.find(line => line.startsWith('-')) ?? lines[commands.length - 1]
      if (answer === undefined) return
      socket.destroy()
      if (answer.startsWith('-')) reject(new Error(`Redis: ${answer.slice(1)}`))
      else resolve(answer.slice(1))
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('Redis hung up')))
  })
}

/** As RESP, in which a value may hold anything. */
function encode(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}
