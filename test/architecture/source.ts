/** Source files as the rules of the architecture see them: what each imports, and a few constructs that it uses. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { parseSync } from 'vite'

export interface Import {
  readonly specifier: string
  /** Whether nothing of it is left when the types are gone. */
  readonly typeOnly: boolean
  readonly line: number
  /** The file that it names, from the root of the repository; undefined for what is not of this repository. */
  readonly target?: string
}

export interface Source {
  /** From the root of the repository, with slashes: `packages/worker/src/host.ts`. */
  readonly path: string
  readonly imports: readonly Import[]
  /** Lines with a construct that a rule forbids somewhere. */
  readonly uses: Readonly<Record<Construct, readonly number[]>>
}

export type Construct = 'process.env' | 'enum' | 'export *'

/** A package of this repository. */
export interface Package {
  readonly name: string
  /** `packages/worker` */
  readonly folder: string
  /** What may be imported, to the source file behind it: `@baton/shared/node` to `packages/shared/src/node/index.ts`. */
  readonly entries: ReadonlyMap<string, string>
  readonly dependencies: ReadonlySet<string>
}

export interface Repository {
  readonly packages: readonly Package[]
  readonly sources: readonly Source[]
}

/** Reads all packages and examples of the repository at `root`. */
export function readRepository(root: string): Repository {
  const folders = ['packages', 'examples'].flatMap(parent =>
    existsSync(join(root, parent)) ? readdirSync(join(root, parent)).map(name => `${parent}/${name}`) : [],
  )
  const packages = folders.filter(folder => existsSync(join(root, folder, 'package.json'))).map(folder => readPackage(root, folder))
  const texts = packages.flatMap(({ folder }) =>
    typescriptFiles(join(root, folder, 'src')).map(file => ({
      path: relative(root, file).split(sep).join('/'),
      text: readFileSync(file, 'utf8'),
    })),
  )
  return { packages, sources: texts.map(({ path, text }) => parseSource(path, text, packages)) }
}

function readPackage(root: string, folder: string): Package {
  const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
    name: string
    exports?: Record<string, { 'baton:source'?: string }>
    dependencies?: Record<string, string>
    optionalDependencies?: Record<string, string>
    peerDependencies?: Record<string, string>
  }
  const { name, exports = {}, dependencies, optionalDependencies, peerDependencies } = manifest
  return {
    name,
    folder,
    entries: new Map(
      Object.entries(exports).map(([key, { 'baton:source': source = '' }]) => [join(name, key), join(folder, source)] as const),
    ),
    dependencies: new Set(Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })),
  }
}

function typescriptFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
}

/** What the syntax tree says; only the fields that are read here. */
interface Node {
  readonly type: string
  readonly start: number
  readonly [field: string]: unknown
}

export function parseSource(path: string, text: string, packages: readonly Package[]): Source {
  const { program, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path} cannot be parsed: ${errors[0]?.message}`)
  const imports: Import[] = []
  const uses: Record<Construct, number[]> = { 'process.env': [], enum: [], 'export *': [] }
  const lineOf = (node: Node) => text.slice(0, node.start).split('\n').length
  const addImport = (node: Node, source: unknown, typeOnly: boolean) => {
    const specifier = (source as { value?: unknown } | null)?.value
    if (typeof specifier !== 'string') return
    const target = resolve(path, specifier, packages)
    imports.push({ specifier, typeOnly, line: lineOf(node), ...(target !== undefined && { target }) })
  }
  walk(program, node => {
    switch (node.type) {
      case 'ImportDeclaration': {
        const names = node.specifiers as { importKind?: string }[]
        addImport(node, node.source, node.importKind === 'type' || (names.length > 0 && names.every(n => n.importKind === 'type')))
        break
      }
      case 'ExportNamedDeclaration': {
        const names = node.specifiers as { exportKind?: string }[]
        addImport(node, node.source, node.exportKind === 'type' || (names.length > 0 && names.every(n => n.exportKind === 'type')))
        break
      }
      case 'ExportAllDeclaration':
        uses['export *'].push(lineOf(node))
        addImport(node, node.source, node.exportKind === 'type')
        break
      case 'ImportExpression':
        addImport(node, node.source, false)
        break
      case 'TSImportType':
        addImport(node, node.source ?? (node.argument as Node | undefined)?.literal, true)
        break
      case 'TSEnumDeclaration':
        uses.enum.push(lineOf(node))
        break
      case 'MemberExpression':
        if (isName(node.object, 'process') && (isName(node.property, 'env') || isText(node.property, 'env')))
          uses['process.env'].push(lineOf(node))
        break
      case 'VariableDeclarator':
        if (isName(node.init, 'process') && takes(node.id, 'env')) uses['process.env'].push(lineOf(node)) // `const { env } = process`
        break
    }
  })
  return { path, imports, uses }
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) for (const item of value) walk(item, visit)
  else if (value !== null && typeof value === 'object') {
    if (typeof (value as Node).type === 'string') visit(value as Node) // whatever has a type is a node of the tree
    for (const child of Object.values(value)) walk(child, visit)
  }
}

function isName(node: unknown, name: string): boolean {
  const { type, name: own } = (node ?? {}) as { type?: string; name?: string }
  return type === 'Identifier' && own === name
}

/** Whether a pattern takes that property out of an object. */
function takes(pattern: unknown, name: string): boolean {
  const { type, properties } = (pattern ?? {}) as { type?: string; properties?: { key?: unknown }[] }
  return type === 'ObjectPattern' && (properties ?? []).some(({ key }) => isName(key, name))
}

function isText(node: unknown, text: string): boolean {
  const { type, value } = (node ?? {}) as { type?: string; value?: unknown }
  return type === 'Literal' && value === text
}

function resolve(from: string, specifier: string, packages: readonly Package[]): string | undefined {
  if (specifier.startsWith('.')) return join(dirname(from), specifier).replace(/\.js$/, '.ts')
  for (const { entries } of packages) {
    const entry = entries.get(specifier)
    if (entry) return entry
  }
  return undefined
}
