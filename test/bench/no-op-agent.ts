/** The agent of the benches: does nothing, as often at once as anybody asks. As `agents` for a fleet, as default for a configuration. */
import { type Agent, defineAgent } from '@baton/worker'

const noOp = defineAgent({ name: 'no-op', concurrency: 2_000, run: () => null })

export const agents: Agent[] = [noOp]
export default noOp
