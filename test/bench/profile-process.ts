/**
 * Preloaded into a process (`node --import`): writes a CPU profile of its whole life when it exits. Node's own
 * `--cpu-prof` does the same and is not allowed in NODE_OPTIONS, the one way to reach processes that others start.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'

const dir = process.env.BENCH_PROFILE_DIR
if (dir !== undefined) {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: 500 }) // microseconds
  session.post('Profiler.start')
  process.once('exit', () => {
    // Answered at once: the session is this thread's own.
    session.post('Profiler.stop', (error, stopped) => {
      const command = process.argv[2] ?? 'node'
      if (!error) writeFileSync(join(dir, `${command}-${process.pid}.cpuprofile`), JSON.stringify(stopped.profile))
    })
  })
}
