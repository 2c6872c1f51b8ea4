/** `GET /metrics`: what Prometheus scrapes. It shows names of capabilities and how much there is to do, hence needs a key. */
import { defineRoute, type Route } from '../route.js'

/** What is counted, as text. */
export interface MetricsSource {
  render(): Promise<{ readonly contentType: string; readonly text: string }>
}

export function metricsRoutes(metrics: MetricsSource): Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/metrics',
      id: 'metrics',
      summary: 'Metrics of this coordinator, and of the installation as it sees it, for Prometheus.',
      answers: { 200: { description: 'The metrics.', mediaType: 'text/plain' } },
      errors: [],
      async answer() {
        const { contentType, text } = await metrics.render()
        return { headers: { 'content-type': contentType }, content: text }
      },
    }),
  ]
}
