/**
 * The child's side of isolation: loads one agent, and runs its attempts, one at a time, as it is told. What the context
 * asks of the claim goes to the worker and comes back.
 */
import { type ArtifactRef, BatonError, type DependencyView, type NoteReply, toFailure } from '@baton/shared'
import type { Agent, AgentSource } from '../agent.js'
import type { ClaimPort } from '../context.js'
import { runAgent } from '../run-agent.js'
import { markInside } from './inside.js'
import { loadAgent } from './load-agent.js'
import type { Ask, FromChild, ToChild } from './messages.js'
import { remoteLog } from './remote-log.js'
import { revive } from './revive.js'

export interface ParentLink {
  send(message: FromChild): void
  onMessage(listener: (message: ToChild) => void): void
  /** Sends a last word, and ends. */
  end(lastWord?: FromChild): void
}

interface Call {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

export function serve(link: ParentLink): void {
  markInside()
  const calls = new Map<number, Call>()
  let lastCall = 0
  let agent: Agent | undefined
  let current: { readonly run: number; readonly controller: AbortController } | undefined

  const crash = (error: unknown) => link.end({ type: 'crashed', failure: toFailure(error) })
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
  link.onMessage(message => {
    switch (message.type) {
      case 'load':
        void load(message.source, message.as)
        return
      case 'run':
        void attempt(message)
        return
      case 'abort':
        if (current?.run === message.run) current.controller.abort(revive(message.reason))
        return
      case 'answer':
        take(message.call)?.resolve(message.value as never) // the worker answers what was asked
        return
      case 'refusal':
        take(message.call)?.reject(revive(message.failure))
        return
      case 'end':
        link.end()
    }
  })

  async function load(source: AgentSource, as: string): Promise<void> {
    try {
      agent = { ...(await loadAgent(source)), name: as }
      link.send({ type: 'ready' })
    } catch (error) {
      link.end({ type: 'unloadable', failure: toFailure(error, 'agent_crashed') })
    }
  }

  async function attempt({ run, grant, deadlineMs }: Extract<ToChild, { type: 'run' }>): Promise<void> {
    if (!agent) throw new BatonError('internal', 'a run came before the agent was loaded')
    const controller = new AbortController()
    current = { run, controller }
    const ended = await runAgent(agent, {
      grant,
      port: portOf(run),
      signal: controller.signal,
      deadline: new Date(deadlineMs),
      log: remoteLog(line => link.send({ type: 'log', run, ...line })),
    })
    current = undefined
    if (ended.kind === 'returned') link.send({ type: 'returned', run, output: ended.output })
    else link.send({ type: 'failed', run, failure: ended.failure })
  }

  function portOf(run: number): ClaimPort {
    const ask = <T>(what: Ask): Promise<T> =>
      new Promise((resolve, reject) => {
        const call = ++lastCall
        calls.set(call, { resolve, reject })
        link.send({ type: 'call', run, call, ask: what })
      })
    return {
      text: what => ask<string>({ kind: 'text', what }),
      artifact: async (name, artifact) => {
        const bytes = await ask<Uint8Array>({ kind: 'artifact', name, artifact })
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) // as it is inline
      },
      dependencies: after => ask<{ list: DependencyView[]; more: boolean }>({ kind: 'dependencies', after }),
      saveProgress: text => link.send({ type: 'progress', run, text }),
      // As JSON: what would be lost on the way to the coordinator is lost here, and the rest can be sent.
      spawn: subtask => link.send({ type: 'spawn', run, subtask: JSON.parse(JSON.stringify(subtask)) }),
      stream: chunk => ask<void>({ kind: 'stream', chunk }).catch(() => undefined), // the attempt has ended
      note: note => ask<NoteReply>({ kind: 'note', note }),
      // A copy: of a view on a larger buffer the whole buffer would be sent.
      putArtifact: ({ name, mediaType, data }) => ask<ArtifactRef>({ kind: 'put', name, mediaType, data: new Uint8Array(data) }),
    }
  }

  function take(id: number): Call | undefined {
    const call = calls.get(id)
    calls.delete(id)
    return call
  }
}
