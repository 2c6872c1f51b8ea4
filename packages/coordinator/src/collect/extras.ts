/**
 * Accepts a result that brings artifacts, chunks or spawned subtasks: in one transaction, spawned subtasks before the
 * decrement, so that nothing that depends on the spawner starts too early.
 */
import { type Failure, failure, type Outcome, outputChunkName, parseStrictJson, spawnChunkName, subtaskRequestSchema } from '@baton/shared'
import { z } from 'zod'
import { brokenArtifacts, keepArtifacts, readChunks } from '../store/chunks.js'
import { type Completed, type CompletedItem, completeAttempts } from '../store/complete.js'
import type { Database, Queryable } from '../store/database.js'
import type { Room } from '../store/room.js'
import { insertSpawned, lockSpawner } from '../store/spawn.js'
import { type SpawnPlanner, spawnProblem } from './spawn.js'

interface Means {
  readonly database: Database
  readonly room: Room
  readonly spawner: SpawnPlanner
}

export type ExtrasOutcome =
  | { readonly kind: 'settled'; readonly settled: Completed; readonly spawned: number }
  | { readonly kind: 'rejected'; readonly failure: Failure }

/** Undoes the transaction and says why. */
class Rejection extends Error {
  readonly failure: Failure
  constructor(cause: Failure) {
    super(cause.message)
    this.failure = cause
  }
}

export async function completeWithExtras(
  { database, room, spawner }: Means,
  item: CompletedItem,
  outcome: Extract<Outcome, { kind: 'completed' }>,
): Promise<ExtrasOutcome> {
  try {
    const requests = outcome.spawn ?? (outcome.spawn_chunked ? await readSpawned(database, item.claim_id) : [])
    const prepared = requests.length > 0 ? await spawner.prepare(requests) : undefined
    return await database.transaction(async tx => {
      const task = await lockSpawner(tx, item.id)
      // A late or repeated report is judged, and adds nothing.
      const current = task?.state === 'running' && task.attempt === item.attempt && task.claim_id === item.claim_id && !task.cancelling
      let spawned = 0
      if (current) {
        if (outcome.output === null) await checkOutput(tx, item.claim_id)
        if (outcome.artifacts) {
          const broken = await brokenArtifacts(tx, item.claim_id, outcome.artifacts)
          if (broken.length > 0)
            throw new Rejection(failure('result_invalid', `these artifacts did not arrive whole: ${broken.join(', ')}`))
          await keepArtifacts(tx, item.id, item.claim_id, outcome.artifacts)
        }
        if (prepared) {
          const rows = await spawner.plan(tx, task, item.id, prepared)
          if (!rows.ok) throw new Rejection(rows.failure)
          await insertSpawned(tx, { spawner: item.id, taskPk: task.task_pk, subtasks: rows.subtasks, edges: rows.edges })
          spawned = rows.subtasks.length
        }
      }
      return { kind: 'settled', settled: await completeAttempts(tx, [item], room), spawned }
    })
  } catch (error) {
    if (error instanceof Rejection) return { kind: 'rejected', failure: error.failure }
    throw error
  }
}

async function checkOutput(tx: Queryable, claimId: string): Promise<void> {
  try {
    parseStrictJson(decode(await readChunks(tx, claimId, outputChunkName)))
  } catch (error) {
    throw new Rejection(failure('result_invalid', `the output cannot be stored: ${error instanceof Error ? error.message : String(error)}`))
  }
}

async function readSpawned(db: Queryable, claimId: string) {
  const text = decode(await readChunks(db, claimId, spawnChunkName))
  const parsed = z.array(subtaskRequestSchema).safeParse(JSON.parse(text))
  if (!parsed.success) throw new Rejection(failure('spawn_invalid', 'the spawned subtasks are not acceptable'))
  const problem = spawnProblem(parsed.data)
  if (problem) throw new Rejection(problem)
  return parsed.data
}

function decode(data: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(data)
}
