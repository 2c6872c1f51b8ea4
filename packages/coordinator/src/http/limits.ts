/** The bounds of the HTTP layer, in one place (I12). */
export interface HttpLimits {
  /** Bodies of all requests but submissions. */
  readonly bodyBytes: number
  /** Bodies of `POST /orchestrate` and `POST /tasks/batch`. */
  readonly submissionBytes: number
  /** Request line and headers together. */
  readonly headerBytes: number
  /** From the first byte of a request to its last. */
  readonly requestTimeoutMs: number
  /** How long `stop` lets requests in flight finish. */
  readonly stopMs: number
  /** Requests that wait for a change at the same time. */
  readonly maxWaits: number
  /** Streams of events at the same time. */
  readonly maxStreams: number
  /** Between two signs of life on a stream. */
  readonly streamCommentMs: number
  /** Between two looks at whether the keys of those who follow streams are still in force. */
  readonly streamCheckMs: number
  /** How long a client of a stream may take nothing before it is let go. */
  readonly streamStallMs: number
  /** Wrong keys of one address in a minute, before it is answered 429. */
  readonly badKeysPerMinute: number
}

export const defaultLimits: HttpLimits = {
  bodyBytes: 1024 * 1024,
  submissionBytes: 32 * 1024 * 1024,
  headerBytes: 16 * 1024,
  requestTimeoutMs: 120_000,
  stopMs: 5_000,
  maxWaits: 1_000,
  maxStreams: 2_000,
  streamCommentMs: 15_000,
  streamCheckMs: 2_000,
  streamStallMs: 30_000,
  badKeysPerMinute: 20,
}

/** Tasks in one `POST /tasks/batch`. */
export const maxBatchTasks = 10_000
/** Items of one page of any list. */
export const maxPage = 1_000
/** The longest `?wait`. */
export const maxWaitSeconds = 60
