/**
 * Traces, as the rest of Baton knows them: a few named spans that are tied together by W3C `traceparent` texts, which
 * travel with jobs, words and requests. Off, nothing of OpenTelemetry is loaded: whoever traces is `undefined`.
 */

export interface SpanOptions {
  /** The `traceparent` that it belongs to; without one it begins a trace. */
  readonly parent?: string | undefined
  readonly attributes?: Readonly<Record<string, string | number>>
  /** Milliseconds since 1970; default now. */
  readonly startedAt?: number
}

export interface Span {
  /** For what comes of it. Undefined where the sampler left the trace out. */
  readonly traceparent: string | undefined
  /** `failure`: why it came to nothing. */
  end(ending?: { readonly attributes?: Readonly<Record<string, string | number>>; readonly failure?: string }): void
}

export interface Tracing {
  start(name: string, options?: SpanOptions): Span
  /** Sends what has gathered. Idempotent. */
  close(): Promise<void>
}

const pattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/

export interface SpanIds {
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
}

/** What a `traceparent` of version 00 says; undefined for anything else. */
export function parseTraceparent(text: string | undefined): SpanIds | undefined {
  const [, traceId, spanId, flags] = (text !== undefined && pattern.exec(text)) || []
  return traceId && spanId && flags ? { traceId, spanId, flags: Number.parseInt(flags, 16) } : undefined
}
