/**
 * Accepts a result that brings artifacts, chunks or spawned subtasks: in one transaction, spawned subtasks before the
 * decrement, so that nothing that depends on the spawner starts too early.
 */
import {
  BatonError,
  type Failure,
  failure,
  type Outcome,
  outputChunkName,
  parseStrictJson,
  spawnChunkName,
  subtaskRequestSchema,
} from '@baton/shared'
import { z } from 'zod'
import type { Artifacts, Settled } from '../artifacts/artifacts.js'
import { readChunks } from '../store/chunks.js'
import { type Completed, type CompletedItem, completeAttempts } from '../store/complete.js'
import type { Database, Queryable } from '../store/database.js'
import type { Room } from '../store/room.js'
import { insertSpawned, lockSpawner } from '../store/spawn.js'
import { type SpawnPlanner, spawnProblem } from './spawn.js'

interface Means {
  readonly database: Database
  readonly room: Room
  readonly spawner: SpawnPlanner
  readonly artifacts: Artifacts
}

export type ExtrasOutcome =
  | { readonly kind: 'settled'; readonly settled: Completed; readonly spawned: number }
  | { readonly kind: 'rejected'; readonly failure: Failure }

/** How often what was put in place may be swept before its row is committed. */
const maxSettlings = 5

/** Undoes the transaction: a file that was put in place is gone again. */
class Swept extends Error {}

/** Undoes the transaction and says why. */
class Rejection extends Error {
  readonly failure: Failure
  constructor(cause: Failure) {
    super(cause.message)
    this.failure = cause
  }
}

type CompletedOutcome = Extract<Outcome, { kind: 'completed' }>

/** Bytes of artifacts are put in place before the transaction: whoever waits for its rows does not wait for a disk. */
export async function completeWithExtras(means: Means, item: CompletedItem, outcome: CompletedOutcome): Promise<ExtrasOutcome> {
  if (!outcome.artifacts) return complete(means, item, outcome)
  const claim = { subtask: item.id, claimId: item.claim_id }
  for (let n = 1; ; n++) {
    try {
      const done = await complete(means, item, outcome, await means.artifacts.settle(claim, outcome.artifacts))
      await means.artifacts.release(claim)
      return done
    } catch (error) {
      if (error instanceof Swept && n < maxSettlings) continue
      throw error instanceof Swept ? new BatonError('unavailable', 'the bytes of the artifacts could not be kept in place') : error
    }
  }
}

async function complete(
  { database, room, spawner, artifacts }: Means,
  item: CompletedItem,
  outcome: CompletedOutcome,
  settled?: Settled,
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
        if (settled) {
          const { broken, placed } = settled
          if (broken.length > 0)
            throw new Rejection(failure('result_invalid', `these artifacts did not arrive whole: ${broken.join(', ')}`))
          if (!(await artifacts.keep(tx, { subtask: item.id, claimId: item.claim_id }, placed))) throw new Swept()
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
