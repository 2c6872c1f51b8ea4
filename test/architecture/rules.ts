/** The dependency rules of the architecture, each as a function from the sources to what breaks it. */
import { builtinModules } from 'node:module'
import type { Construct, Import, Package, Repository, Source } from './source.js'

export interface Rule {
  readonly name: string
  /** One line for each offence, with file and line. */
  readonly offences: (repository: Repository) => string[]
}

const coordinator = 'packages/coordinator/src'
const duties = ['http', 'dispatch', 'collect', 'watch', 'notify']

/** Tests may use what they test with; of them only the rules between packages are asked. */
const isTest = ({ path }: Source): boolean => path.endsWith('.test.ts') || path.includes('/testing/') || path.endsWith('/testing.ts')
const isIn = (path: string, ...folders: readonly string[]): boolean => folders.some(folder => path.startsWith(`${folder}/`))
const packageName = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
const isBuiltin = (specifier: string): boolean => specifier.startsWith('node:') || builtinModules.includes(specifier)

type Forbids = (source: Source, imported: Import, repository: Repository) => boolean

/** A rule on single imports. */
function imports(name: string, forbids: Forbids, options: { readonly alsoTests?: boolean } = {}): Rule {
  return {
    name,
    offences: repository =>
      repository.sources
        .filter(source => options.alsoTests || !isTest(source))
        .flatMap(source =>
          source.imports
            .filter(imported => forbids(source, imported, repository))
            .map(({ line, specifier }) => `${source.path}:${line} imports ${specifier}`),
        ),
  }
}

/** A package, or a group of them, behind one door. */
function door(driver: RegExp, doors: readonly RegExp[]): Rule {
  return imports(
    `${driver.source.replace(/[\\^$]/g, '')} has its doors`,
    ({ path }, { specifier }) => driver.test(packageName(specifier)) && !doors.some(where => where.test(path)),
  )
}

function construct(what: Construct, allowed: readonly string[] = []): Rule {
  return {
    name: allowed.length > 0 ? `${what} is read in env files only` : `there is no ${what}`,
    offences: ({ sources }) =>
      sources
        .filter(source => !allowed.includes(source.path) && !(allowed.length > 0 && isTest(source)))
        .flatMap(({ path, uses }) => uses[what].map(line => `${path}:${line} has ${what}`)),
  }
}

/** Which packages of this repository a package may import. */
const mayImport: Record<string, readonly string[]> = {
  '@baton/shared': [],
  '@baton/client': ['@baton/shared'],
  '@baton/coordinator': ['@baton/shared'],
  '@baton/worker': ['@baton/shared'],
  '@baton/local': ['@baton/shared', '@baton/client', '@baton/coordinator', '@baton/worker'],
}

/** Where the command line starts processes; everywhere else it talks through the client. */
const starters = [
  'packages/cli/src/commands/up.ts',
  'packages/cli/src/commands/worker.ts',
  'packages/cli/src/fleet/',
  'packages/cli/src/demo/',
]

export const rules: readonly Rule[] = [
  imports(
    'coordinator, worker and client import shared only; local alone joins them',
    ({ path }, { specifier }, { packages }) => {
      const own = packageOf(path, packages)?.name ?? ''
      const other = packageName(specifier)
      return own in mayImport && other !== own && packages.some(p => p.name === other) && !mayImport[own]?.includes(other)
    },
    { alsoTests: true },
  ),
  imports(
    'an example imports what its users would: shared, worker, client',
    ({ path }, { specifier }) => isIn(path, 'examples') && /^@baton\/(coordinator|local|cli)$/.test(packageName(specifier)),
  ),
  imports(
    'the command line imports coordinator, worker and local where it starts them only, and types elsewhere',
    ({ path }, { specifier, typeOnly }) =>
      isIn(path, 'packages/cli/src') &&
      /^@baton\/(coordinator|worker|local)$/.test(packageName(specifier)) &&
      !typeOnly &&
      !starters.some(starter => path.startsWith(starter)),
  ),
  imports(
    'the private servers know nothing of Baton but the environment',
    ({ path }, { specifier, target }) =>
      isIn(path, 'packages/cli/src/servers') &&
      (specifier.startsWith('@baton/') ||
        (target !== undefined && !isIn(target, 'packages/cli/src/servers') && target !== 'packages/cli/src/env.ts')),
    { alsoTests: true },
  ),
  imports(
    'a package is entered through its exports only',
    ({ path }, { specifier, target }, { packages }) => {
      const own = packageOf(path, packages)
      if (specifier.startsWith('.')) return !isIn(target ?? '', `${own?.folder}/src`)
      return packages.some(p => p.name === packageName(specifier)) && target === undefined
    },
    { alsoTests: true },
  ),
  imports('a package declares what it imports', ({ path }, { specifier, typeOnly }, { packages }) => {
    if (specifier.startsWith('.') || isBuiltin(specifier)) return false
    // Asked for at run time, and done without: no user of Baton installs it for the sake of its tests.
    if (specifier === 'testcontainers' && path === 'packages/cli/src/servers/containers.ts') return false
    return !packageOf(path, packages)?.dependencies.has(packageName(specifier)) && !(typeOnly && specifier === 'node')
  }),

  door(/^pg$/, [/^packages\/coordinator\/src\/store\//]),
  door(/^@electric-sql\//, [/^packages\/coordinator\/src\/store\//]),
  door(/^(bullmq|ioredis)$/, [
    /^packages\/coordinator\/src\/dispatch\/bullmq-queue\.ts$/,
    /^packages\/coordinator\/src\/notes\/redis-notes\.ts$/,
    /^packages\/coordinator\/src\/admin\//,
    /^packages\/coordinator\/src\/intake\/bullmq-intake\.ts$/,
    /^packages\/client\/src\/enqueue\.ts$/,
    /^packages\/worker\/src\/bullmq-consumer\.ts$/,
  ]),
  door(/^(@nats-io\/.*|nats)$/, [/^packages\/shared\/src\/node\/nats-bus\.ts$/]),
  door(/^prom-client$/, [/^packages\/shared\/src\/observe\/metrics\.ts$/]),
  door(/^rotating-file-stream$/, [/^packages\/shared\/src\/observe\/log-file\.ts$/]),
  door(/^@bull-board\//, [/^packages\/coordinator\/src\/admin\//]),
  door(/^@opentelemetry\//, [/^packages\/shared\/src\/observe\/otel\.ts$/]),
  door(/^(ai|@ai-sdk\/.*)$/, [/^packages\/coordinator\/src\/mind\/chat\.ts$/]),
  door(/^ipaddr\.js$/, [/^packages\/coordinator\/src\/notify\/webhooks\/address-guard\.ts$/]),
  construct('process.env', ['packages/shared/src/node/env.ts', 'packages/cli/src/env.ts']),

  imports(`${duties.join(', ')} never import each other`, ({ path }, { target }) => {
    const [own, other] = [duty(path), duty(target ?? '')]
    return own !== undefined && other !== undefined && own !== other
  }),
  imports(
    'the store imports none of those who use it',
    ({ path }, { target }) =>
      isIn(path, `${coordinator}/store`) &&
      isIn(target ?? '', coordinator) &&
      !isIn(target ?? '', `${coordinator}/store`, `${coordinator}/core`),
  ),
  imports('core and plan are pure', ({ path }, { specifier, target, typeOnly }) => {
    if (!isIn(path, `${coordinator}/core`, `${coordinator}/plan`)) return false
    if (specifier === '@baton/shared' || specifier === 'zod' || specifier === 'node:crypto') return false
    return !isIn(target ?? '', `${coordinator}/core`, `${coordinator}/plan`) && !(typeOnly && isIn(target ?? '', `${coordinator}/store`))
  }),
  imports(
    'the root of shared runs in a browser',
    ({ path }, { specifier, target }) =>
      /^packages\/shared\/src\/[^/]+$/.test(path) && (isBuiltin(specifier) || isIn(target ?? '', 'packages/shared/src/node')),
  ),

  { name: 'imports make no cycle', offences: ({ sources }) => cycles(sources).map(path => `a cycle: ${path.join(' → ')}`) },
  construct('export *'),
  construct('enum'),
]

function packageOf(path: string, packages: readonly Package[]): Package | undefined {
  return packages.find(({ folder }) => isIn(path, folder))
}

function duty(path: string): string | undefined {
  return duties.find(name => isIn(path, `${coordinator}/${name}`))
}

/** One path for each import that closes a cycle. */
function cycles(sources: readonly Source[]): string[][] {
  const targets = new Map(sources.map(({ path, imports: all }) => [path, all.flatMap(({ target }) => target ?? [])]))
  const found: string[][] = []
  const finished = new Set<string>()
  const open: string[] = []
  const visit = (path: string) => {
    open.push(path)
    for (const target of targets.get(path) ?? []) {
      if (open.includes(target)) found.push([...open.slice(open.indexOf(target)), target])
      else if (!finished.has(target)) visit(target)
    }
    open.pop()
    finished.add(path)
  }
  for (const path of targets.keys()) if (!finished.has(path)) visit(path)
  return found
}
