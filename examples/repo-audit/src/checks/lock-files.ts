/** Reads lock files: packages that are locked in several versions, and licences that are missing or copyleft. */
import { z } from 'zod'
import { compareText, type Finding, oneLine } from '../finding.js'

interface LockedPackage {
  readonly name: string
  readonly version: string
  /** Undefined where the lock file says nothing of licences, or not for this package. */
  readonly license?: string | undefined
}

interface LockFile {
  readonly packages: readonly LockedPackage[]
  /** Whether this file records licences at all; older ones do not. */
  readonly recordsLicences: boolean
}

const readers: Readonly<Record<string, (text: string) => LockFile>> = {
  'package-lock.json': readPackageLock,
  'npm-shrinkwrap.json': readPackageLock,
  'yarn.lock': readYarnLock,
  'pnpm-lock.yaml': readPnpmLock,
  'Cargo.lock': readTomlLock,
  'poetry.lock': readTomlLock,
  'uv.lock': readTomlLock,
  'go.sum': readGoSum,
}

export function isLockFile(path: string): boolean {
  return Object.hasOwn(readers, baseName(path))
}

export function checkLockFile(path: string, text: string): Finding[] {
  let lock: LockFile
  try {
    lock = readers[baseName(path)]?.(text) ?? { packages: [], recordsLicences: false }
  } catch {
    return [{ kind: 'unreadable', path, message: 'the lock file cannot be understood' }]
  }
  return [...duplicates(path, lock), ...licences(path, lock)]
}

function duplicates(path: string, { packages }: LockFile): Finding[] {
  const versions = new Map<string, Set<string>>()
  for (const { name, version } of packages) versions.set(name, (versions.get(name) ?? new Set()).add(version))
  return [...versions]
    .filter(([, locked]) => locked.size > 1)
    .map(([name, locked]) => ({
      kind: 'duplicate_dependency',
      path,
      message: oneLine(`${name} is locked in ${locked.size} versions: ${[...locked].sort(byVersion).join(', ')}`, 300),
    }))
}

function licences(path: string, { packages, recordsLicences }: LockFile): Finding[] {
  if (!recordsLicences) return []
  const problems = new Set<string>()
  for (const { name, version, license } of packages) {
    if (license === undefined) problems.add(`${name} ${version} names no licence`)
    else if (isCopyleft(license)) problems.add(`${name} ${version} is under ${license}`)
  }
  return [...problems].map(message => ({ kind: 'licence', path, message: oneLine(message, 300) }))
}

/** Whether every choice that the expression leaves is GPL or AGPL; the LGPL is not meant. */
function isCopyleft(license: string): boolean {
  return license.split(/\sOR\s/i).every(choice => /(?:^|[^A-Z])A?GPL/i.test(choice))
}

const packageLockSchema = z.object({
  lockfileVersion: z.number().optional(),
  packages: z
    .record(
      z.string(),
      z.looseObject({
        name: z.string().optional(),
        version: z.string().optional(),
        link: z.boolean().optional(),
        license: z.unknown().optional(),
        licenses: z.unknown().optional(),
      }),
    )
    .optional(),
})

/** Versions 2 and 3: every package by the place where it is installed. */
function readPackageLock(text: string): LockFile {
  const entries = Object.entries(packageLockSchema.parse(JSON.parse(text)).packages ?? {})
  const packages = entries.flatMap(([place, entry]): LockedPackage[] => {
    const at = place.lastIndexOf('node_modules/')
    if (at < 0 || entry.link || entry.version === undefined) return [] // the project's own packages
    return [
      {
        name: entry.name ?? place.slice(at + 'node_modules/'.length),
        version: entry.version,
        license: licenceText(entry.license ?? entry.licenses),
      },
    ]
  })
  return { packages, recordsLicences: packages.some(({ license }) => license !== undefined) }
}

/** Old packages write `{type: 'MIT'}`, or a list of these to choose from. */
function licenceText(value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim() || undefined
  if (Array.isArray(value))
    return (
      value
        .map(licenceText)
        .filter(text => text !== undefined)
        .join(' OR ') || undefined
    )
  if (value !== null && typeof value === 'object' && 'type' in value) return licenceText(value.type)
  return undefined
}

/** Yarn 1 and later: a line of requests `"name@range", …:`, then its version. */
function readYarnLock(text: string): LockFile {
  const packages: LockedPackage[] = []
  let name: string | undefined
  for (const line of text.split('\n')) {
    const request = /^"?(@?[^@\s"]{1,214})@[^\n]{0,10000}:\s*$/.exec(line)
    if (request) name = request[1]
    const version = /^ {2}version:? "?([^"\s]{1,256})"?\s*$/.exec(line)?.[1]
    if (name === undefined || version === undefined) continue
    if (!version.includes('use.local')) packages.push({ name, version })
    name = undefined
  }
  return { packages, recordsLicences: false }
}

/** The keys below `packages:`: `/name/1.0.0:`, `/name@1.0.0:` or `name@1.0.0(peer@2.0.0):`, by the file's age. */
function readPnpmLock(text: string): LockFile {
  const packages: LockedPackage[] = []
  let inPackages = false
  for (const line of text.split('\n')) {
    if (/^\S/.test(line)) inPackages = line.startsWith('packages:')
    if (!inPackages) continue
    const key = /^ {2}'?\/?((?:@[^/\s']{1,214}\/)?[^@/\s'(]{1,214})[@/](\d[^\s'(_:]{0,100})[^\s]{0,1000}:\s*$/.exec(line)
    if (key?.[1] && key[2]) packages.push({ name: key[1], version: key[2] })
  }
  return { packages, recordsLicences: false }
}

/** Cargo, Poetry and uv: `[[package]]` with `name` and `version`. */
function readTomlLock(text: string): LockFile {
  const packages = text
    .split('[[package]]')
    .slice(1)
    .flatMap((entry): LockedPackage[] => {
      const name = /^name = "([^"\n]{1,214})"/m.exec(entry)?.[1]
      const version = /^version = "([^"\n]{1,256})"/m.exec(entry)?.[1]
      return name && version ? [{ name, version }] : []
    })
  return { packages, recordsLicences: false }
}

/** A module's own hash; the lines of `/go.mod` are of versions that were merely considered. */
function readGoSum(text: string): LockFile {
  const packages = [...text.matchAll(/^(\S{1,500}) (v[^\s/]{1,256}) h1:/gm)].map(([, name = '', version = '']) => ({ name, version }))
  return { packages, recordsLicences: false }
}

function byVersion(a: string, b: string): number {
  const [x, y] = [a, b].map(version => version.split(/[.+-]/).map(Number)) as [number[], number[]] // two in, two out
  for (let n = 0; n < 3; n++) {
    const difference = (x[n] ?? 0) - (y[n] ?? 0)
    if (difference) return difference // NaN, of a part that is no number, says nothing
  }
  return compareText(a, b)
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
