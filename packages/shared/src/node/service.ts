/** Lifecycle of what lives in a process: started in order, stopped in reverse order, each stop bounded. */
import type { Logger } from './logger.js'

export interface Service {
  readonly name: string
  start(): Promise<void>
  /** Idempotent; resolves when nothing of it is left. */
  stop(): Promise<void>
}

/** Starts services in order; when one fails, those before it are stopped and the error is thrown. */
export async function startAll(services: readonly Service[], log: Logger): Promise<() => Promise<void>> {
  const started: Service[] = []
  const stopAll = async () => {
    for (let service = started.pop(); service; service = started.pop()) {
      try {
        await service.stop()
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
