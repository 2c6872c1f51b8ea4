/** The agent of the benches: does nothing, as often at once as anybody asks: W2 has 4,200 subtasks under way. As `agents` for a fleet, as default for a configuration. */
import { type Agent, defineAgent } from '@baton/worker'

const noOp = defineAgent({ name: 'no-op', concurrency: 5_000, run: () => null })

export const agents: Agent[] = [noOp]
export default noOp
