/** What the running subtask's dependencies made: inline where the grant had room, else read in pages. */
import { BatonError, type DependencyView, type Grant, type ReadReply, type SubtaskState } from '@baton/shared'
import type { AgentContext, Dependency } from './agent.js'
import type { Uplink } from './uplink.js'

/** Reads on behalf of the claim: by the worker itself, or by an isolated child through its worker. */
export interface DependencyReader {
  text(what: { kind: 'input' } | { kind: 'output'; name: string }): Promise<string>
  artifact(name: string, artifact: string): Promise<Uint8Array>
  /** The dependencies behind this ordinal. */
  dependencies(after: number): Promise<{ list: DependencyView[]; more: boolean }>
}

interface ReaderOptions {
  readonly uplink: Uplink
  readonly workerId: string
  readonly subtask: string
  readonly claimId: string
  readonly signal: AbortSignal
}

/** Reads pages on behalf of one claim. */
export class ClaimReader implements DependencyReader {
  private readonly options: ReaderOptions

  constructor(options: ReaderOptions) {
    this.options = options
  }

  async text(what: { kind: 'input' } | { kind: 'output'; name: string }): Promise<string> {
    let text = ''
    for (let offset: number | null = 0; offset !== null; ) {
      const page: ReadReply = await this.page(what, offset)
      text += page.data
      offset = page.next_offset
    }
    return text
  }

  async artifact(name: string, artifact: string): Promise<Uint8Array> {
    const parts: Buffer[] = []
    for (let n: number | null = 0; n !== null; ) {
      const page: ReadReply = await this.page({ kind: 'artifact', name, artifact }, n)
      parts.push(Buffer.from(page.data, 'base64'))
      n = page.next_offset
    }
    return Buffer.concat(parts)
  }

  async dependencies(after: number): Promise<{ list: DependencyView[]; more: boolean }> {
    const page = await this.page({ kind: 'dependencies', after }, 0)
    return { list: page.dependencies ?? [], more: page.next_offset !== null }
  }

  private async page(what: Extract<Parameters<Uplink['ask']>[0], { type: 'read' }>['what'], offset: number): Promise<ReadReply> {
    const { uplink, workerId, subtask, claimId, signal } = this.options
    const reply = await uplink.ask<ReadReply>({ type: 'read', worker_id: workerId, subtask, claim_id: claimId, what, offset }, signal)
    if (reply.status === 'stale') throw new BatonError('attempt_aborted', "the attempt is no longer this worker's")
    if (reply.status === 'not_found')
      throw new BatonError(
        'artifact_not_found',
        what.kind === 'artifact'
          ? `${what.name} has no artifact ${what.artifact}`
          : `nothing is stored as the ${what.kind} that was asked for`,
      )
    return reply
  }
}

export function createDependencies(grant: Grant, reader: DependencyReader): AgentContext['dependencies'] {
  const toDependency = (view: DependencyView): Dependency => ({
    name: view.name,
    subtaskId: view.subtask_id,
    state: view.state as SubtaskState, // a coordinator's word is trusted
    failure: view.failure,
    artifacts: view.artifacts,
    output: async () => {
      if (view.output_chars === null) return null
      return JSON.parse(view.output ?? (await reader.text({ kind: 'output', name: view.name }))) as unknown
    },
    artifact: name => {
      if (!view.artifacts.includes(name))
        return Promise.reject(
          new BatonError('artifact_not_found', `${view.name} has no artifact ${name}; it has ${view.artifacts.join(', ') || 'none'}`),
        )
      return reader.artifact(view.name, name)
    },
  })
  async function* all(): AsyncGenerator<Dependency> {
    let page = { list: grant.dependencies, more: grant.more_dependencies }
    for (;;) {
      for (const view of page.list) yield toDependency(view)
      const last = page.list[page.list.length - 1]
      if (!page.more || !last) return
      page = await reader.dependencies(last.ordinal)
    }
  }
  return {
    [Symbol.asyncIterator]: () => all(),
    get: async name => {
      for await (const dependency of all()) if (dependency.name === name) return dependency
      throw new BatonError('subtask_not_found', `this subtask does not depend on ${name}`)
    },
  }
}
