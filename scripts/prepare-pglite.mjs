// Makes the database directory that local mode unpacks instead of running initdb and the migrations (see
// store/pglite.ts). Run by setup.mjs, when the packages are compiled.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const coordinator = fileURLToPath(new URL('../packages/coordinator/', import.meta.url))
const require = createRequire(join(coordinator, 'package.json'))
const { PGlite } = await import(pathToFileURL(require.resolve('@electric-sql/pglite')).href)
const { migrate } = await import(pathToFileURL(join(coordinator, 'dist/store/migrate.js')).href)

const target = process.argv[2]
const pglite = await PGlite.create('memory://')
const asDatabase = session => ({ query: ({ text }, params = []) => session.query(text, [...params]) })
await migrate({ transaction: work => pglite.transaction(session => work(asDatabase(session))) })
await pglite.exec('checkpoint') // else whoever unpacks it goes through the log of all that
const tarball = await pglite.dumpDataDir('gzip')
await pglite.close()
mkdirSync(dirname(target), { recursive: true })
writeFileSync(`${target}.new`, Buffer.from(await tarball.arrayBuffer()))
renameSync(`${target}.new`, target)
