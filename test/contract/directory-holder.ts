/** A process that holds a data directory: opens it, stores a word, says so, and waits to be killed. */
import { silentLogger } from '@baton/shared/node'
import { openPglite } from '../../packages/coordinator/src/store/pglite.js'

const [dataDir = '', word = ''] = process.argv.slice(2)
process.stdout.write('starting\n')
const database = await openPglite({ dataDir, log: silentLogger() })
await database.script('create table if not exists words (word text not null)')
await database.query({ text: 'insert into words values ($1)' }, [word])
process.stdout.write('stored\n')
setInterval(() => undefined, 1_000) // the lock alone does not keep a process alive
