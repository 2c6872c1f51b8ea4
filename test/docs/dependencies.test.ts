/** docs/dependencies.md says what the package.json files say, both ways. */
import { existsSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { repositoryFile, tableUnder } from './markdown-table.js'

interface Manifest {
  name: string
  license: string
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
}

const root = new URL('../../', import.meta.url)
const folders = ['packages', 'examples'].flatMap(folder => readdirSync(new URL(folder, root)).map(name => `${folder}/${name}`))
const manifests = ['.', ...folders]
  .filter(folder => existsSync(new URL(`${folder}/package.json`, root)))
  .map(folder => JSON.parse(repositoryFile(`${folder}/package.json`)) as Manifest)
const own = new Set(manifests.map(manifest => manifest.name))
const locked = (JSON.parse(repositoryFile('package-lock.json')) as { packages: Record<string, { license?: string }> }).packages
const text = repositoryFile('docs/dependencies.md')

/** Package → who names it, without Baton's own. */
function named(kind: 'dependencies' | 'devDependencies'): Record<string, string[]> {
  const users: Record<string, string[]> = {}
  for (const manifest of manifests)
    for (const name of Object.keys(manifest[kind] ?? {}))
      if (!own.has(name)) {
        users[name] ??= []
        users[name].push(manifest.name === 'baton' ? 'root' : manifest.name.replace('@baton/', ''))
      }
  return users
}

describe.each([
  ['At run time', 'dependencies'],
  ['For development', 'devDependencies'],
] as const)('%s', (heading, kind) => {
  const rows = tableUnder(text, heading)

  test('every package that is named is documented, with those who name it, and none besides', () => {
    const documented = Object.fromEntries(rows.map(([name = '', users = '']) => [name, users.split(', ').sort()]))
    expect(documented).toEqual(Object.fromEntries(Object.entries(named(kind)).map(([name, users]) => [name, users.sort()])))
    expect(rows.map(([name]) => name)).toEqual(rows.map(([name]) => name).toSorted())
  })

  test('the licences are those of the lock file, and each row says what for and why', () => {
    for (const [name = '', , what, licence, size, why] of rows) {
      expect([name, licence]).toEqual([name, locked[`node_modules/${name}`]?.license])
      expect(['S', 'M', 'L']).toContain(size)
      expect([what, why].every(cell => cell)).toBe(true)
    }
  })
})

test('every package of Baton has the licence of the repository', () => {
  expect(manifests.map(manifest => manifest.license)).toEqual(manifests.map(() => 'MIT'))
  expect(repositoryFile('LICENSE')).toMatch(/^MIT License\n/)
})

test('every package that the lock file names has a checksum and no address', () => {
  const entries = Object.entries(locked).filter(([path, entry]) => path.startsWith('node_modules/') && !('link' in entry))
  expect(entries.filter(([, entry]) => !('integrity' in entry)).map(([path]) => path)).toEqual([])
  expect(repositoryFile('package-lock.json')).not.toMatch(/"resolved": "https?:/)
})

test('the lock file holds the linter for every platform that it names, or `npm ci` refuses it', () => {
  const optional = Object.keys(
    (locked['node_modules/@biomejs/biome'] as { optionalDependencies?: Record<string, string> }).optionalDependencies ?? {},
  )
  expect(optional.filter(name => !locked[`node_modules/${name}`])).toEqual([])
})
