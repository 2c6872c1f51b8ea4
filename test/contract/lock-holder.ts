/** A process that locks a directory, says so, and waits to be killed. */
import { lockDirectory } from '../../packages/coordinator/src/store/directory-lock.js'

await lockDirectory(process.argv[2] ?? '')
process.stdout.write('locked\n')
setInterval(() => undefined, 1_000) // the lock alone does not keep a process alive
