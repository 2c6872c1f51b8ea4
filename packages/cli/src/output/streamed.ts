/**
 * What agents stream, made lines for people: an agent sends pieces as they come, often parts of words. Each subtask's are put
 * together until a line is whole, or long enough, or the subtask is done.
 */
import type { EventView, TaskView } from '@baton/shared'
import { z } from 'zod'
import { type Paint, plain } from './style.js'
import { visible } from './text.js'

/** What a `subtask.output` carries. */
const outputSchema = z.object({ from: z.number(), chunks: z.array(z.string()) })

const longEnough = 500

interface Pending {
  readonly name: string
  text: string
}

export class StreamedLines {
  private readonly paint: Paint
  /** By subtask and attempt: what is not a line yet. */
  private readonly pending = new Map<string, Pending>()

  constructor(paint: Paint = plain) {
    this.paint = paint
  }

  /** The lines that are whole now. */
  take({ subtask_id, subtask, attempt, data }: EventView): string[] {
    const parsed = outputSchema.safeParse(data)
    if (!parsed.success || subtask_id === null) return []
    const key = `${subtask_id}#${attempt}`
    const pending = this.pending.get(key) ?? { name: subtask ?? subtask_id, text: '' }
    this.pending.set(key, pending)
    const parts = (pending.text + parsed.data.chunks.join('')).split(/\r\n|\n|\r(?!$)/)
    pending.text = parts.pop() ?? ''
    if (pending.text.length >= longEnough) {
      parts.push(pending.text)
      pending.text = ''
    }
    return parts.map(part => this.line(pending.name, part))
  }

  /** What is left of subtasks that run no more. */
  ended(task: TaskView): string[] {
    const running = new Set(
      task.subtasks.filter(({ state }) => state === 'running').map(({ subtask_id, attempt }) => `${subtask_id}#${attempt}`),
    )
    return this.flush(key => !running.has(key))
  }

  /** What is left of all. */
  rest(): string[] {
    return this.flush(() => true)
  }

  private flush(which: (key: string) => boolean): string[] {
    const lines: string[] = []
    for (const [key, { name, text }] of this.pending) {
      if (!which(key)) continue
      this.pending.delete(key)
      if (text !== '') lines.push(this.line(name, text))
    }
    return lines
  }

  private line(name: string, text: string): string {
    return `  ${this.paint('dim', `${visible(name)} │`)} ${visible(text)}`
  }
}
