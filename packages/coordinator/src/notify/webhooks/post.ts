/**
 * POSTs to receivers that are not trusted.
 *
 * Invariants: P1 the address is judged where it is connected to, and of a kept connection once more before it is used. P2
 * redirects are not followed. P3 the answer's head has to be there within `timeoutMs`; of its body at most 64 KiB are read,
 * and not beyond that time. P4 a connection is kept for the next call to the same origin for a few seconds, when its answer
 * was read to the end, and never longer than `oldestMs`: who moves to another address is followed there. P5 a kept connection
 * that its receiver had just closed costs no try: the call is made again on a new one, within the same time.
 */
import { Agent, type AgentOptions, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type Socket } from 'node:net'
import type { AddressGuard } from './address-guard.js'
import { hostOf, refusal } from './address-guard.js'

export interface Posted {
  readonly status: number
  /** The beginning of the answer. */
  readonly text: string
}

const maxAnswerBytes = 64 * 1024
const excerptLength = 300
/** Less than the five seconds after which servers on Node.js close what is idle: whoever closes first is not surprised. */
const keptMs = 4_000
const keptOfOrigin = 10
const defaultOldestMs = 60_000

interface Post {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export class Poster {
  private readonly guard: Pick<AddressGuard, 'permits' | 'lookup'>
  private readonly agents: { readonly http: Agent; readonly https: HttpsAgent }
  /** When connections were first used. */
  private readonly bornAt = new WeakMap<Socket, number>()

  private readonly oldestMs: number

  /** `oldestMs`: how long a connection may serve; default a minute. */
  constructor(guard: Pick<AddressGuard, 'permits' | 'lookup'>, { oldestMs = defaultOldestMs }: { readonly oldestMs?: number } = {}) {
    this.guard = guard
    this.oldestMs = oldestMs
    const kept: AgentOptions = { keepAlive: true, maxFreeSockets: keptOfOrigin, timeout: keptMs, scheduling: 'lifo' }
    this.agents = { http: new Agent(kept), https: new HttpsAgent(kept) }
  }

  /** Rejects when there is no answer: the connection was not made, was not permitted, broke, or took too long. */
  post(call: Post): Promise<Posted> {
    const { guard } = this
    const host = hostOf(call.url)
    if ('problem' in host) return Promise.reject(refusal(`the URL ${host.problem}`))
    // Node asks no resolver for what is an address already.
    if (isIP(host.name) !== 0 && !guard.permits(host.name)) return Promise.reject(refusal(`${host.name} is not a public address`))
    return this.send(call, performance.now() + call.timeoutMs, true)
  }

  /** Lets the kept connections go. */
  close(): void {
    this.agents.http.destroy()
    this.agents.https.destroy()
  }

  private send(call: Post, endsAt: number, mayReuse: boolean): Promise<Posted> {
    const { url, headers, body, timeoutMs, signal } = call
    const { guard } = this
    return new Promise((resolve, reject) => {
      const secure = new URL(url).protocol === 'https:'
      const request = (secure ? httpsRequest : httpRequest)(url, {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        agent: mayReuse && (secure ? this.agents.https : this.agents.http), // P4
        lookup: guard.lookup, // P1
      })
      let answered: (() => void) | undefined
      // By hand: with its own option `signal`, Node.js 20 keeps listeners of requests that have ended.
      const giveUp = () => request.destroy(new Error('given up: this coordinator stops'))
      const timer = setTimeout(
        () => {
          if (answered) answered()
          else request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`))
        },
        Math.max(0, endsAt - performance.now()),
      )
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', giveUp)
      }
      signal.addEventListener('abort', giveUp, { once: true })
      if (signal.aborted) giveUp()

      let outlived: () => unknown = () => undefined
      request.on('socket', socket => {
        const judge = () => {
          const { remoteAddress = '' } = socket
          if (!guard.permits(remoteAddress)) request.destroy(refusal(`${remoteAddress} is not a public address`)) // P1, whatever came before
        }
        const bornAt = this.bornAt.get(socket) ?? performance.now()
        this.bornAt.set(socket, bornAt)
        outlived = () => performance.now() - bornAt >= this.oldestMs && socket.destroy() // P4
        if (socket.connecting) socket.once('connect', judge)
        else judge()
      })
      request.on('error', error => {
        done()
        if (mayReuse && request.reusedSocket && !answered && !signal.aborted && isBroken(error))
          this.send(call, endsAt, false).then(resolve, reject) // P5
        else reject(error)
      })
      request.on('response', response => {
        const chunks: Buffer[] = []
        let bytes = 0
        const tell = () => {
          done()
          resolve({ status: response.statusCode ?? 0, text: excerptOf(Buffer.concat(chunks)) })
        }
        answered = () => {
          tell()
          request.destroy()
        }
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes <= maxAnswerBytes) chunks.push(chunk)
          else answered?.() // P3
        })
        response.on('end', () => {
          tell()
          outlived()
        })
        response.on('error', answered) // the head was there
      })
      request.end(body)
    })
  }
}

function isBroken(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}

/** Of one line, without what could act on a terminal. */
function excerptOf(bytes: Buffer): string {
  return bytes
    .subarray(0, 4 * excerptLength)
    .toString('utf8')
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
    .trim()
    .slice(0, excerptLength)
}
