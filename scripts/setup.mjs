// Brings a checkout to where every command works: dependencies installed, packages compiled, local mode's database
// prepared. Does only what is missing, so that it costs little before each command. Node's own modules only.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 11)) fail(`Baton needs Node 20.11 or later; this is ${process.versions.node}`)

const stamps = join(root, 'node_modules', '.baton')
const digest = (...files) =>
  createHash('sha256')
    .update(files.map(f => readFileSync(join(root, f))).join('\0'))
    .digest('hex')

step('installing dependencies', 'install', digest('package-lock.json'), () =>
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']),
)
compile()
const version = JSON.parse(readFileSync(join(root, 'node_modules/@electric-sql/pglite/package.json'), 'utf8')).version
const prepared = join(root, 'packages/coordinator/prepared/pglite.tgz')
if (!existsSync(prepared)) rmSync(join(stamps, 'pglite'), { force: true })
step("preparing local mode's database", 'pglite', version, () =>
  run(process.execPath, [join(root, 'scripts/prepare-pglite.mjs'), prepared]),
)

function step(what, name, wanted, work) {
  const stamp = join(stamps, name)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  const began = performance.now()
  process.stderr.write(`baton: ${what} … `)
  work()
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
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
