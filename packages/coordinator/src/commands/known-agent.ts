/** Work is given to agents that somebody declared or hosted: a slip of the pen must not take it from who has it. */
import { BatonError } from '@baton/shared'
import type { Database } from '../store/database.js'
import { isAgentKnown } from '../store/subtask-route.js'

/** Throws `agent_not_found`. */
export async function requireAgent(database: Database, tenantId: number, name: string): Promise<void> {
  if (!(await isAgentKnown(database, tenantId, name)))
    throw new BatonError('agent_not_found', `there is no agent ${name}; GET /agents lists those that there are`, {
      fields: [{ path: 'agent', issue: `there is no agent ${JSON.stringify(name)}` }],
    })
}
