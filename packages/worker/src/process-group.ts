/** Child processes in groups of their own, so that what they start ends with them. */
import type { ChildProcess } from 'node:child_process'

/** For `detached` of `spawn` and `fork`. */
export const ownGroup = process.platform !== 'win32'

export function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    if (ownGroup) process.kill(-child.pid, signal)
    else child.kill(signal)
  } catch {
    // It has ended meanwhile.
  }
}
