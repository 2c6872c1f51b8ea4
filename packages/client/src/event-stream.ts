/** Server-Sent Events, as the HTML standard has them: blocks of lines, an empty line behind each. */
import { BatonError } from '@baton/shared'

export interface StreamedEvent {
  /** Undefined: as it was before. */
  readonly id: string | undefined
  readonly event: string
  /** Undefined: only the position was told. */
  readonly data: string | undefined
}

/** The events of an answer. Throws `unreachable` when nothing at all arrives for `silenceMs`, or the connection breaks. */
export async function* readEventStream(response: Response, silenceMs: number): AsyncGenerator<StreamedEvent, void, undefined> {
  const reader = response.body?.getReader()
  if (!reader) return
  const decoder = new TextDecoder()
  const block = new Block()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await within(silenceMs, reader.read())
      if (done) return
      const text = rest + decoder.decode(value, { stream: true })
      // A carriage return at the end may be the first half of a line break.
      const lines = text.split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const whole = block.take(line)
        if (whole) yield whole
      }
    }
  } catch (error) {
    throw error instanceof BatonError
      ? error
      : new BatonError('unreachable', `a stream of events broke off (${error instanceof Error ? error.message : String(error)})`, {
          cause: error,
        })
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

/** Gathers lines until a block is whole. */
class Block {
  private id: string | undefined
  private event = ''
  private data: string[] = []

  take(line: string): StreamedEvent | undefined {
    if (line === '') return this.end()
    const colon = line.indexOf(':')
    const [field, value] = colon === -1 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
    if (field === 'id' && !value.includes('\0')) this.id = value
    else if (field === 'event') this.event = value
    else if (field === 'data') this.data.push(value)
    return undefined // comments and unknown fields are passed over
  }

  private end(): StreamedEvent | undefined {
    const { id, event, data } = this
    this.id = undefined
    this.event = ''
    this.data = []
    if (id === undefined && data.length === 0) return undefined
    return { id, event: event || 'message', data: data.length === 0 ? undefined : data.join('\n') }
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new BatonError('unreachable', `nothing arrived on a stream of events for ${ms / 1_000} s`)), ms)
  })
  return Promise.race([work, silence]).finally(() => clearTimeout(timer))
}
