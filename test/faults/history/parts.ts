/**
 * The history of a long run, in parts that fit into memory: some hundreds of tasks each, with all that belongs to them.
 * Every invariant but two speaks of one task and what is in it, so that a whole may be judged part by part; what spans
 * parts (tokens and ids that are unique) is asked of Postgres at once.
 *
 * Invariants: W1 each task, operation and line of a journal is in exactly one part; what belongs to no task is in the last.
 */
import { appendFileSync, createReadStream, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { readJobs, readRows, type Sources } from './collect.js'
import type { History, JournalLine, Operation, Violation } from './history.js'

const defaultTasksInPart = 400
/** Lines of journals are kept back until there are this many characters of them. */
const keptBack = 16 * 1024 * 1024

export interface Parts extends AsyncIterable<History> {
  readonly count: number
}

interface PartsOptions {
  /** A folder for the sorted journals; whoever made it removes it. */
  readonly scratch: string
  readonly tasksInPart?: number
}

/** Asked of a fleet at rest. */
export async function historyInParts(sources: Sources, { scratch, tasksInPart = defaultTasksInPart }: PartsOptions): Promise<Parts> {
  const { database, operations, directory } = sources
  const { rows: tasks } = await database.query<{ id: string; task_id: string }>({
    text: 'select id::text, task_id from tasks order by id',
    patient: true,
  })
  const partOf = new Map(tasks.map(({ id }, i) => [id, Math.floor(i / tasksInPart)]))
  const partOfTask = new Map(tasks.map(({ id, task_id }) => [task_id, partOf.get(id) ?? 0]))
  const count = Math.ceil(tasks.length / tasksInPart)
  const { rows: subtasks } = await database.query<{ uuid: string; task_pk: string }>({
    text: 'select uuid::text, task_pk::text from subtasks order by id',
    patient: true,
  })
  const partOfKey = new Map(subtasks.map(({ uuid, task_pk }) => [uuid, partOf.get(task_pk) ?? count]))
  await sortJournals(directory, scratch, key => partOfKey.get(key) ?? count)
  const asked = new Map<number, Operation[]>()
  for (const operation of operations) {
    const part = partOfTask.get(operation.taskId ?? '') ?? count
    const list = asked.get(part)
    if (list) list.push(operation)
    else asked.set(part, [operation])
  }
  const jobs = await readJobs(sources.redisUrl, sources.namespace)
  const part = async (n: number): Promise<History> => {
    const pks = tasks.slice(n * tasksInPart, (n + 1) * tasksInPart).map(task => task.id)
    const { disturbances, open } = sources
    return { ...(await readRows(database, pks)), journal: sorted(scratch, n), operations: asked.get(n) ?? [], disturbances, open, jobs }
  }
  return {
    count: count + 1,
    async *[Symbol.asyncIterator]() {
      for (let n = 0; n <= count; n++) yield await part(n) // W1
    },
  }
}

const fileOf = (scratch: string, part: number) => join(scratch, `${part}.jsonl`)

/** One pass over all journals; nothing is parsed but the key. */
async function sortJournals(directory: string, scratch: string, partOf: (key: string) => number): Promise<void> {
  mkdirSync(scratch, { recursive: true })
  const kept = new Map<number, string[]>()
  let size = 0
  const write = () => {
    for (const [part, lines] of kept) appendFileSync(fileOf(scratch, part), lines.join(''))
    kept.clear()
    size = 0
  }
  for (const file of readdirSync(directory).filter(name => name.endsWith('.jsonl')))
    for await (const line of createInterface({ input: createReadStream(join(directory, file)) })) {
      if (!line.endsWith('}')) continue // a kill cut it off
      const part = partOf(/"key":"([^"]*)"/.exec(line)?.[1] ?? '')
      const lines = kept.get(part)
      if (lines) lines.push(`${line}\n`)
      else kept.set(part, [`${line}\n`])
      size += line.length
      if (size > keptBack) write()
    }
  write()
}

function sorted(scratch: string, part: number): JournalLine[] {
  const file = fileOf(scratch, part)
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as JournalLine) // written by our own agents
}

const repeated = {
  token: {
    text: `select claim_id::text as what, count(*) as times from attempts where claim_id is not null group by 1 having count(*) > 1 limit 20`,
    patient: true,
  },
  task: {
    text: `select tenant_id || '/' || task_id as what, count(*) as times from tasks group by 1 having count(*) > 1 limit 20`,
    patient: true,
  },
}

/** What no part can see: a token in two of them (I15), a task in two of them (I8), a run of what is in none (I15). */
export async function acrossParts({ database }: Pick<Sources, 'database'>, last: History): Promise<Violation[]> {
  const read = async (name: keyof typeof repeated) => (await database.query<{ what: string; times: string }>(repeated[name])).rows
  return [
    ...(await read('token')).map(({ what, times }) => ({
      invariant: 'I15',
      subject: `claim ${what}`,
      problem: `is the token of ${times} attempts`,
    })),
    ...(await read('task')).map(({ what, times }) => ({ invariant: 'I8', subject: `task ${what}`, problem: `has ${times} rows` })),
    ...last.journal.slice(0, 20).map(({ subtask, key, pid }) => ({
      invariant: 'I15',
      subject: `subtask ${subtask}`,
      problem: `was run under the key ${key} in process ${pid}, and is in no task`,
    })),
  ]
}
