/** What a soak has to hold; each that it does not is one line. */
import type { SoakFindings } from './report.js'
import { longestGapMs } from './throughput.js'

export const slopeMiBPerMinute = 1
/** At rest: ten connections to Postgres, one for each queue, the bus, HTTP, and what the driver keeps open. */
const mostSockets = 64

export function verdictsOf({ violationCount, leftovers, memory, sockets, throughput, counts, logged }: SoakFindings): string[] {
  const verdicts: string[] = []
  if (violationCount > 0) verdicts.push(`${violationCount} violations of invariants`)
  if (counts.checkedTasks < counts.tasks) verdicts.push(`${counts.tasks} tasks were accepted, and only ${counts.checkedTasks} are there`)
  for (const what of leftovers) verdicts.push(`left over: ${what}`)
  for (const { member, pid, rss } of memory)
    if (rss !== undefined && rss >= slopeMiBPerMinute)
      verdicts.push(`${member} (process ${pid}) grows by ${rss.toFixed(2)} MiB per minute; less than ${slopeMiBPerMinute} is allowed`)
  for (const [member, n] of Object.entries(sockets)) if (n > mostSockets) verdicts.push(`${member} has ${n} sockets at rest`)
  if (throughput.longestGapMs > longestGapMs)
    verdicts.push(`nothing was completed for ${throughput.longestGapMs / 1_000} s; ${longestGapMs / 1_000} s are allowed`)
  for (const message of Object.keys(logged)) if (message.includes('MaxListenersExceeded')) verdicts.push(`listeners leak: ${message}`)
  return verdicts
}
