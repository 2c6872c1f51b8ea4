import { readFileSync } from 'node:fs'

/** Whether a process runs. A killed grandchild stays a zombie where nobody reaps orphans. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
