/**
 * Ephemeral notes that the subtasks of a task leave for each other: in Redis, and in local mode in Postgres. They run out
 * by themselves, and nothing breaks when they are lost.
 */

export interface NoteStore {
  /** False: the task has `maxNotes` others already. Replaces a note of that name. `value` is JSON text. */
  set(taskPk: string, name: string, value: string, ttlMs: number): Promise<boolean>
  /** Null: there is none, or it has run out. */
  get(taskPk: string, name: string): Promise<string | null>
  delete(taskPk: string, name: string): Promise<void>
  /** The names of those that are there, in alphabetical order. */
  list(taskPk: string): Promise<string[]>
  close(): Promise<void>
}
