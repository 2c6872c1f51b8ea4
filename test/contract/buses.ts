/** The implementations of the bus seam. Those who connect at one place hear each other. */
import { type Bus, connectNatsBus, type Logger, MemoryBusHub, silentLogger } from '@baton/shared/node'
import { cleanUp, freshNamespace, servers } from '../harness/index.js'

export interface BusPlace {
  /** A participant; closed when the test ends. */
  connect(): Promise<Bus>
  /** A subject that nobody else uses. */
  subject(name: string): string
}

export interface BusKind {
  readonly name: string
  open(): Promise<BusPlace>
}

export async function connectNats(url: string, log: Logger = silentLogger()): Promise<Bus> {
  return closing(await connectNatsBus({ url, name: 'test', log, signal: AbortSignal.timeout(10_000) }))
}

export const busKinds: readonly BusKind[] = [
  {
    name: 'memory',
    open: async () => {
      const hub = new MemoryBusHub()
      return { connect: async () => closing(hub.connect()), subject: name => name }
    },
  },
  {
    name: 'NATS',
    open: async () => {
      const { natsUrl } = await servers()
      const namespace = await freshNamespace()
      return { connect: () => connectNats(natsUrl), subject: name => `${namespace}.${name}` }
    },
  },
]

function closing(bus: Bus): Bus {
  cleanUp(() => bus.close())
  return bus
}
