// Brings a checkout to where every command works: dependencies installed, packages compiled, local mode's database
// prepared. Does only what is missing, so that it costs little before each command. Node's own modules only.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 11)) fail(`Baton needs Node 20.11 or later; this is ${process.versions.node}`)

const lock = join(root, 'package-lock.json')
// npm writes this file when an installation is complete.
const installed = join(root, 'node_modules', '.package-lock.json')
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  // None of them needs its install script (docs/dependencies.md), and compiling for ssh takes as long as all the rest.
  step('installing dependencies', () => run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']))
  utimesSync(installed, new Date(), new Date())
}
compile()
const migrations = join(root, 'packages/coordinator/migrations')
const madeOf = createHash('sha256')
for (const file of readdirSync(migrations).sort()) madeOf.update(readFileSync(join(migrations, file)))
const pglite = JSON.parse(readFileSync(join(root, 'node_modules/@electric-sql/pglite/package.json'), 'utf8')).version
const version = `${pglite} ${madeOf.digest('hex')}`
const prepared = join(root, 'packages/coordinator/prepared')
const preparedVersion = join(prepared, 'version')
if (!existsSync(preparedVersion) || readFileSync(preparedVersion, 'utf8') !== version) {
  step("preparing local mode's database", () =>
    run(process.execPath, [join(root, 'scripts/prepare-pglite.mjs'), join(prepared, 'pglite.tgz')]),
  )
  writeFileSync(preparedVersion, version)
}

function step(what, work) {
  const began = performance.now()
  process.stderr.write(`baton: ${what} … `)
  work()
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`)
}

// The compiler knows itself what is out of date; it says nothing when all is well.
function compile() {
  const first = !existsSync(join(root, 'packages/cli/dist/main.js'))
  if (first) process.stderr.write('baton: compiling …\n')
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b'])
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
  if (result.status !== 0) fail(`${command} ${args.join(' ')} failed`)
}

function fail(message) {
  process.stderr.write(`\nbaton: ${message}\n`)
  process.exit(1)
}
