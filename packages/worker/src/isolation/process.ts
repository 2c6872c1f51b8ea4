/** A child that is a process, in a group of its own: what it starts ends with it. */
import { fork } from 'node:child_process'
import { childEnvironment } from '@baton/shared/node'
import { killGroup, ownGroup } from '../process-group.js'
import { type ChildLink, childEntry, type LinkOptions, readLines } from './link.js'

/** How long to wait for the last words of a process that has ended. Whoever holds its pipes may hold them for ever. */
const lastWordsMs = 500

export function startProcess({ agent, maxHeapMb, onMessage, onLine, onEnd }: LinkOptions): ChildLink {
  const child = fork(childEntry, [agent], {
    detached: ownGroup,
    serialization: 'advanced',
    env: childEnvironment(),
    execArgv: [...inheritedArguments(process.execArgv), ...(maxHeapMb === undefined ? [] : [`--max-old-space-size=${maxHeapMb}`])],
    // The last one is the pipe by which it learns that this process is gone, see child.ts.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
  })
  let timer: NodeJS.Timeout | undefined
  let how = ''
  let ended = false
  const end = () => {
    if (ended) return
    ended = true
    clearTimeout(timer)
    for (const stream of child.stdio ?? []) stream?.destroy()
    if (child.connected) child.disconnect()
    onEnd(how)
  }
  child.on('message', onMessage)
  child.on('error', error => {
    how ||= `failed: ${error.message}`
    if (child.pid === undefined) end() // it never began
  })
  child.on('exit', (code, signal) => {
    how = signal ? `was ended by ${signal}` : `ended with code ${code}`
    killGroup(child, 'SIGKILL') // what it left behind
    timer = setTimeout(end, lastWordsMs)
  })
  child.on('close', end)
  child.stdio?.[4]?.on('error', () => undefined) // it may end while it is watched
  readLines(child.stdout, line => onLine('stdout', line))
  readLines(child.stderr, line => onLine('stderr', line))
  return {
    pid: child.pid,
    threadId: undefined,
    send: message => {
      // A child that is about to end takes no more; that it ended is told by `onEnd`.
      if (child.connected) child.send(message, () => undefined)
    },
    kill: () => killGroup(child, 'SIGKILL'),
  }
}

/** Node's own flags of this process, without those that are about its script or its debugger. */
export function inheritedArguments(all: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < all.length; i++) {
    const flag = all[i] ?? ''
    if (/^(-e|-p|-pe|--eval|--print)$/.test(flag)) i++
    else if (!/^--(inspect|watch|input-type|eval|print|test)\b/.test(flag)) kept.push(flag)
  }
  return kept
}
