/** What a tenant's agents offer, for whoever plans; before any is known, what the rules and the configuration speak of. */
import type { BatonConfig } from '@baton/shared'
import type { Knowledge } from '../plan/model/model-planner.js'
import { capabilities as spokenOf } from '../plan/rules/vocabulary.js'
import type { Queryable } from '../store/database.js'
import { listAgents } from '../store/read-lists.js'

export function createKnowledge(database: Queryable, config: BatonConfig): (tenantId: number) => Promise<Knowledge> {
  const configured = [
    ...(config.rules ?? []).map(rule => rule.capability),
    ...(config.playbooks ?? []).flatMap(playbook => playbook.subtasks.map(subtask => subtask.capability)),
  ]
  return async tenantId => {
    const agents = await listAgents(database, tenantId)
    const offered = agents.flatMap(agent => agent.capabilities)
    return {
      agents: agents.map(({ name, description, capabilities }) => ({ name, description, capabilities })),
      capabilities: new Set(offered.length > 0 ? offered : [...Object.values(spokenOf), ...configured]),
    }
  }
}
