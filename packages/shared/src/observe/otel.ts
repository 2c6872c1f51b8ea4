/** Tracing by OpenTelemetry's SDK, sent by OTLP over HTTP. The one file that imports it; loaded when tracing is on only. */
import { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { atMost } from '../node/at-most.js'
import { openTelemetryProtocol } from '../node/env.js'
import { parseTraceparent, type Span, type SpanOptions, type Tracing } from './tracing.js'

/** How long a stop waits for a receiver that does not answer. */
const farewellMs = 2_000

/** `service`: its name where `OTEL_SERVICE_NAME` says none. Sampler, address and batches are as `OTEL_*` say. */
export async function otelTracing(service: string): Promise<Tracing> {
  const { OTLPTraceExporter } = await (openTelemetryProtocol() === 'http/json'
    ? import('@opentelemetry/exporter-trace-otlp-http')
    : import('@opentelemetry/exporter-trace-otlp-proto'))
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }).merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  })
  const tracer = provider.getTracer('baton')
  let closed: Promise<void> | undefined
  return {
    start(name: string, { parent, attributes, startedAt }: SpanOptions = {}): Span {
      const ids = parseTraceparent(parent)
      const context = ids
        ? trace.setSpanContext(ROOT_CONTEXT, { traceId: ids.traceId, spanId: ids.spanId, traceFlags: ids.flags, isRemote: true })
        : ROOT_CONTEXT
      const options = { ...(attributes && { attributes }), ...(startedAt !== undefined && { startTime: startedAt }) }
      const span = tracer.startSpan(name, options, context)
      const { traceId, spanId, traceFlags } = span.spanContext()
      const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0
      return {
        traceparent: sampled ? `00-${traceId}-${spanId}-01` : undefined,
        end(ending) {
          if (ending?.attributes) span.setAttributes(ending.attributes)
          if (ending?.failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: ending.failure })
          span.end()
        },
      }
    },
    close: () => (closed ??= atMost(farewellMs, provider.shutdown()).then(() => undefined)),
  }
}
