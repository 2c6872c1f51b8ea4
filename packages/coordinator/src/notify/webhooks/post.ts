/**
 * One POST to a receiver that is not trusted.
 *
 * Invariants: P1 the address is judged where it is connected to. P2 redirects are not followed. P3 the answer's head has to
 * be there within `timeoutMs`; of its body at most 64 KiB are read, and not beyond that time. P4 every call has a connection
 * of its own, closed when it is done.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { AddressGuard } from './address-guard.js'
import { hostOf, refusal } from './address-guard.js'

export interface Posted {
  readonly status: number
  /** The beginning of the answer. */
  readonly text: string
}

const maxAnswerBytes = 64 * 1024
const excerptLength = 300

interface Post {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  readonly guard: Pick<AddressGuard, 'permits' | 'lookup'>
  readonly signal: AbortSignal
}

/** Rejects when there is no answer: the connection was not made, was not permitted, broke, or took too long. */
export function post({ url, headers, body, timeoutMs, guard, signal }: Post): Promise<Posted> {
  const host = hostOf(url)
  if ('problem' in host) return Promise.reject(refusal(`the URL ${host.problem}`))
  // Node asks no resolver for what is an address already.
  if (isIP(host.name) !== 0 && !guard.permits(host.name)) return Promise.reject(refusal(`${host.name} is not a public address`))
  return new Promise((resolve, reject) => {
    const send = new URL(url).protocol === 'https:' ? httpsRequest : httpRequest
    const request = send(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      agent: false, // P4
      lookup: guard.lookup, // P1
      signal,
    })
    let answered: (() => void) | undefined
    const timer = setTimeout(() => {
      if (answered) answered()
      else request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`))
    }, timeoutMs)
    request.on('socket', socket => {
      socket.once('connect', () => {
        const { remoteAddress = '' } = socket
        if (!guard.permits(remoteAddress)) request.destroy(refusal(`${remoteAddress} is not a public address`)) // P1, whatever came before
      })
    })
    request.on('error', error => {
      clearTimeout(timer)
      reject(error)
    })
    request.on('response', response => {
      const chunks: Buffer[] = []
      let bytes = 0
      answered = () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, text: excerptOf(Buffer.concat(chunks)) })
        request.destroy()
      }
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= maxAnswerBytes) chunks.push(chunk)
        else answered?.() // P3
      })
      response.on('end', answered)
      response.on('error', answered) // the head was there
    })
    request.end(body)
  })
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
