/** What a soak has to hold; each that it does not is one line. */
import type { Slope } from './memory.js'
import type { SoakFindings } from './report.js'
import { longestGapMs } from './throughput.js'

export const slopeMiBPerMinute = 1

/** Either number counts: what the heap gains may be hidden by memory that the process gave back. */
const growsTooFast = ({ rss, heap }: Pick<Slope, 'rss' | 'heap'>): boolean => Math.max(rss ?? 0, heap ?? 0) >= slopeMiBPerMinute

const growthLine = ({ member, pid, rss = 0, heap = 0 }: Slope): string =>
  `${member} (process ${pid}) grows by ${rss.toFixed(2)} MiB per minute, its heap by ${heap.toFixed(2)}; less than ${slopeMiBPerMinute} is allowed`

/** From as many minutes on, the coordinator and the worker that live throughout are judged. */
const judgedFromMinutes = 6

/** At rest: ten connections to Postgres, one for each queue, the bus, HTTP, and what the driver keeps open. */
const mostSockets = 64

export function verdictsOf({ minutes, violationCount, leftovers, memory, sockets, throughput, counts, logged }: SoakFindings): string[] {
  const verdicts: string[] = []
  if (violationCount > 0) verdicts.push(`${violationCount} violations of invariants`)
  if (counts.checkedTasks < counts.tasks) verdicts.push(`${counts.tasks} tasks were accepted, and only ${counts.checkedTasks} are there`)
  for (const what of leftovers) verdicts.push(`left over: ${what}`)
  for (const life of memory) if (growsTooFast(life)) verdicts.push(growthLine(life))
  for (const kind of ['coordinator', 'worker'])
    if (minutes >= judgedFromMinutes && !memory.some(({ member, rss }) => member.startsWith(kind) && rss !== undefined))
      verdicts.push(`the memory of no ${kind} was seen for long enough to be judged`)
  for (const [member, n] of Object.entries(sockets)) if (n > mostSockets) verdicts.push(`${member} has ${n} sockets at rest`)
  if (throughput.longestGapMs > longestGapMs)
    verdicts.push(`nothing was completed for ${throughput.longestGapMs / 1_000} s; ${longestGapMs / 1_000} s are allowed`)
  for (const message of Object.keys(logged)) if (message.includes('MaxListenersExceeded')) verdicts.push(`listeners leak: ${message}`)
  return verdicts
}
