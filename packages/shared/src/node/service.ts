/** Lifecycle of what lives in a process: started in order, stopped in reverse order, each stop bounded. */
import type { Logger } from './logger.js'

export interface Service {
  readonly name: string
  start(): Promise<void>
  /** Idempotent; resolves when nothing of it is left. */
  stop(): Promise<void>
}

/** How long a service may take to stop before the others are stopped without it. */
const stopMs = 10_000

async function bounded(service: Service): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const overrun = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${service.name} did not stop within ${stopMs} ms`)), stopMs)
  })
  await Promise.race([service.stop(), overrun]).finally(() => clearTimeout(timer))
}

/** Starts services in order; when one fails, it and those before it are stopped, and the error is thrown. */
export async function startAll(services: readonly Service[], log: Logger): Promise<() => Promise<void>> {
  const started: Service[] = []
  let stopping: Promise<void> | undefined
  const stopAll = () => {
    stopping ??= stopStarted()
    return stopping
  }
  const stopStarted = async () => {
    for (let service = started.pop(); service; service = started.pop()) {
      try {
        await bounded(service)
      } catch (error) {
        log.error({ err: error, service: service.name }, 'a service did not stop in order')
      }
    }
  }
  for (const service of services) {
    try {
      started.push(service)
      await service.start()
    } catch (error) {
      await stopAll()
      throw error
    }
  }
  return stopAll
}
