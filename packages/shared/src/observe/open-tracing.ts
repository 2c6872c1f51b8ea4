/** The way to tracing: here OpenTelemetry is loaded, when it is asked for. */
import type { Tracing } from './tracing.js'

/** Begins tracing, by the standard variables `OTEL_*` of the environment. */
export async function openTracing(service: string): Promise<Tracing> {
  const { otelTracing } = await import('./otel.js')
  return otelTracing(service)
}
