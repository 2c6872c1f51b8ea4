/** What is answered below `/admin/queues`, whoever answers it: Bull Board in a fleet, one page in local mode. */

export interface PageAsk {
  readonly method: string
  /** Behind `/admin/queues`: empty, or with a slash in front. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Of a JSON body; undefined where there was none. */
  readonly body: unknown
}

export interface PageAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly content: string | Buffer
}

export interface QueuePages {
  /** Undefined: there is nothing. */
  answer(ask: PageAsk): Promise<PageAnswer | undefined>
  close(): Promise<void>
}

/** Where the pages are. */
export const queuesPath = '/admin/queues'
