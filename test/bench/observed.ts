/** A fleet that is watched over: its log in a file, its metrics scraped, every tenth of its tasks traced. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const scrapeEveryMs = 5_000

export interface Watch {
  readonly settings: Readonly<Record<string, string>>
  /** Scrapes a coordinator from now on. */
  scrape(url: string): void
  stop(): Promise<void>
}

export async function watchOver(): Promise<Watch> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-bench-log-'))
  const receiver = createServer((request, response) => {
    request.resume().on('end', () => response.end())
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const address = receiver.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  let timer: NodeJS.Timeout | undefined
  return {
    settings: {
      LOG_LEVEL: 'info',
      BATON_LOG_FILE: join(folder, 'orchestrator.log'),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.1',
    },
    scrape(url) {
      timer = setInterval(() => scrapeOnce(url), scrapeEveryMs)
    },
    async stop() {
      clearInterval(timer)
      receiver.closeAllConnections()
      receiver.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The fleet may be about to end. */
function scrapeOnce(url: string): void {
  fetch(`${url}/metrics`)
    .then(answer => answer.text())
    .catch(() => undefined)
}
