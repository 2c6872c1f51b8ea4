/** A `curl` that works against what runs, and how to look at what it did. */
import type { AgentConfig } from '@baton/shared'

export interface TryIt {
  readonly url: string
  readonly agents: readonly (Pick<AgentConfig, 'name'> & Partial<Pick<AgentConfig, 'capabilities'>>)[]
  /** Whether requests need a key. */
  readonly keyed: boolean
  /** Makes the id new, so that it never meets an older task. */
  readonly suffix: string
  /** Whether the commands need to be told the URL. */
  readonly defaultUrl: boolean
  readonly input?: unknown
}

export function tryItLines({ url, agents, keyed, suffix, defaultUrl, input = { text: 'hello' } }: TryIt): string[] {
  const [agent] = agents
  if (!agent) return ['no agents are configured; `baton init` writes a configuration with one']
  const taskId = `hello-${suffix}`
  const body = {
    task_id: taskId,
    title: 'Hello',
    subtasks: [{ name: 'hello', capability: agent.capabilities?.[0] ?? agent.name, input }],
    execute: true,
  }
  return [
    'try it:',
    `  curl -s ${url}/orchestrate -H 'content-type: application/json'${keyed ? ' -H "authorization: Bearer $BATON_API_KEY"' : ''} -d ${shellQuoted(JSON.stringify(body))}`,
    `  baton status ${taskId}${defaultUrl ? '' : ` --url ${url}`}`,
  ]
}

/** One word for a POSIX shell. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
