/** Keeps what is known of how agents do: measured by whichever coordinator takes the turn, read by all. */
import { type Logger, type Service, Ticker } from '@baton/shared/node'
import type { Measure } from '../core/score.js'
import type { Queryable } from '../store/database.js'
import { type MeasureRow, measureAgents, readMeasures } from '../store/measures.js'
import type { Directory } from './directory.js'

interface MeasurerOptions {
  readonly database: Queryable
  readonly directory: Pick<Directory, 'setMeasures'>
  readonly everyMs: number
  readonly log: Logger
}

/** How many of the newest events a turn looks at. */
const sample = 2_000

export class Measurer implements Service {
  readonly name = 'measurer'
  private readonly ticker: Ticker

  constructor({ database, directory, everyMs, log }: MeasurerOptions) {
    this.ticker = new Ticker({
      name: 'measurer',
      everyMs,
      log,
      run: async () => {
        await measureAgents(database, { everyMs: Math.round(everyMs * 0.9), sample })
        directory.setMeasures(overTenants(await readMeasures(database, null)))
      },
    })
  }

  start(): Promise<void> {
    return this.ticker.start()
  }

  stop(): Promise<void> {
    return this.ticker.stop()
  }
}

/** An agent serves every tenant of its pool: for the routing all of them count, by the number of their attempts. */
function overTenants(rows: readonly MeasureRow[]): ({ agent: string; capability: string } & Measure)[] {
  const all = new Map<string, { agent: string; capability: string } & Measure>()
  for (const { agent, capability, attempts, success_rate, latency_ms } of rows) {
    const key = `${agent} ${capability}`
    const known = all.get(key)
    const share = known ? attempts / (attempts + known.attempts) : 1
    const mixed = (mine: number, others: number): number => mine * share + others * (1 - share)
    const others = known?.latencyMs ?? null
    all.set(key, {
      agent,
      capability,
      attempts: attempts + (known?.attempts ?? 0),
      successRate: mixed(success_rate, known?.successRate ?? 0),
      latencyMs: latency_ms === null || others === null ? (latency_ms ?? others) : mixed(latency_ms, others),
    })
  }
  return [...all.values()]
}
