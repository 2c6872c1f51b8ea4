import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { orchestrateRequestSchema, subtaskRequestSchema } from '@baton/shared'
import { afterEach, expect, test } from 'vitest'
import { folderAudit } from './folder-audit.js'
import { agents, auditTask, inventory, report } from './index.js'
import { auditDirectory, completed, failed, fakeContext, joinReport, makeTree } from './testing.js'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean()
})

async function tree(files: Record<string, string | Uint8Array>): Promise<string> {
  const { root, remove } = await makeTree(files)
  cleanups.push(remove)
  return root
}

/** Assembled here, so that no scanner takes this file for a leak. */
const todo = ['TO', 'DO'].join('')
const githubToken = ['gh', 'p_', 'a1B2c3D4e5F6'.repeat(3)].join('')
const password = ['hQ7', 'vK2p', 'Zx9w'].join('')

test('the three agents offer what the playbook asks for', () => {
  expect(agents.map(agent => [agent.name, agent.capabilities])).toEqual([
    ['inventory', ['repo-inventory']],
    ['folder-audit', ['repo-audit-folder']],
    ['report', ['repo-report']],
  ])
  expect(folderAudit.concurrency).toBe(4)
})

test('the request of an audit is acceptable and names the directory absolutely', () => {
  const request = auditTask('.', 'audit-1')
  expect(orchestrateRequestSchema.safeParse(request).success).toBe(true)
  expect(request.metadata).toEqual({ playbook: 'repo-audit', root: process.cwd() })
})

test('each top-level folder and the files in the root become one subtask each', async () => {
  const root = await tree({ 'a.txt': 'a', 'src/b.txt': 'bb', 'src/deep/c.txt': 'ccc', 'docs/d.txt': 'dddd' })
  const context = fakeContext()
  const output = await inventory.run({ root }, context)
  expect(output).toMatchObject({
    folders: [
      { path: '.', subtask: 'audit-root-files', files: 1, bytes: 1 },
      { path: 'docs', subtask: 'audit-docs', files: 1, bytes: 4 },
      { path: 'src', subtask: 'audit-src', files: 2, bytes: 5 },
    ],
    files: 4,
    bytes: 10,
  })
  expect(context.spawned.map(({ name, capability, input }) => ({ name, capability, input }))).toEqual([
    { name: 'audit-root-files', capability: 'repo-audit-folder', input: { root, folder: '.', deep: false } },
    { name: 'audit-docs', capability: 'repo-audit-folder', input: { root, folder: 'docs', deep: true } },
    { name: 'audit-src', capability: 'repo-audit-folder', input: { root, folder: 'src', deep: true } },
  ])
})

test('ignore files are honoured, nested ones too, and what Baton never looks at is left out', async () => {
  const line = `// ${todo}: here\n`
  const { report, inventory } = await auditDirectory(
    await tree({
      '.gitignore': '*.log.js\n/out/\nbuild/\n',
      'seen.js': line,
      'x.log.js': line,
      'out/a.js': line,
      'src/out/kept.js': line,
      'src/.gitignore': 'gone.js\n!kept.log.js\n!build/\n',
      'src/gone.js': line,
      'src/kept.log.js': line,
      'src/build/kept.js': line,
      'other/build/a.js': line,
      'other/gone.js': line,
      '.git/a.js': line,
      'node_modules/x/a.js': line,
      'src/node_modules/x/a.js': line,
      'baton-report/a.js': line,
      '.baton/a.js': line,
    }),
  )
  expect(report.findings.map(({ path }) => path)).toEqual([
    'other/gone.js',
    'seen.js',
    'src/build/kept.js',
    'src/kept.log.js',
    'src/out/kept.js',
  ])
  expect(inventory.files).toBe(report.files)
})

test('symbolic links are not followed', async () => {
  const root = await tree({ 'src/a.js': `// ${todo}\n` })
  await symlink(join(root, 'src'), join(root, 'again'))
  await symlink(join(root, 'src/a.js'), join(root, 'src/b.js'))
  const { report } = await auditDirectory(root)
  expect(report).toMatchObject({ files: 1, folders: 1 })
})

test('a secret is found, masked, and quoted nowhere else', async () => {
  const { json, markdown, report } = await auditDirectory(
    await tree({ 'src/a.ts': `const password = '${password}' // ${todo}: rotate ${githubToken}\n` }),
  )
  expect(report.findings.filter(({ kind }) => kind === 'secret')).toHaveLength(2)
  for (const text of [json, markdown]) for (const secret of [password, githubToken]) expect(text).not.toContain(secret)
  expect(report.findings).toContainEqual({ kind: 'todo', path: 'src/a.ts', line: 1, message: `${todo}: rotate ghp_***` })
})

test('binary files are only weighed, and large ones are named', async () => {
  const line = `// ${todo}: here\n`
  const { report } = await auditDirectory(
    await tree({ 'a.js': `\0${line}`, 'big.bin': new Uint8Array(1024 * 1024 + 1), 'cut.js': `${' '.repeat(2 * 1024 * 1024)}\n${line}` }),
  )
  expect(report.findings).toEqual([
    { kind: 'large_file', path: 'big.bin', message: '1.0 MiB' },
    { kind: 'large_file', path: 'cut.js', message: '2.0 MiB' },
  ])
})

test('the report is the same byte for byte, whatever the order of its dependencies', async () => {
  const files: Record<string, string> = {}
  for (let n = 0; n < 40; n++) files[`folder-${n % 7}/f${n}.js`] = `// ${todo}: ${n}\n`
  const { dependencies, json, markdown } = await auditDirectory(await tree(files))
  for (let turn = 1; turn < dependencies.length; turn++) {
    const shuffled = [...dependencies.slice(turn), ...dependencies.slice(0, turn)].reverse()
    expect(await joinReport(shuffled)).toMatchObject({ json, markdown })
  }
})

test('two directories of one name and content make one report', async () => {
  const reports = []
  for (let n = 0; n < 2; n++) {
    const root = await tree({ 'project/src/a.js': `// ${todo}: here\n` })
    reports.push((await auditDirectory(join(root, 'project'))).json)
  }
  expect(reports[0]).toBe(reports[1])
  expect(JSON.parse(reports[0] ?? '')).toMatchObject({ version: 1, root: 'project', files: 1, folders: 1, totals: { todo: 1, secret: 0 } })
})

test('an empty directory makes an empty report', async () => {
  const { inventory, output, report, markdown } = await auditDirectory(await tree({}))
  expect(inventory).toMatchObject({ folders: [], files: 0, bytes: 0 })
  expect(output).toMatchObject({ files: 0, folders: 0, findings: 0 })
  expect(report.findings).toEqual([])
  expect(markdown).toContain('nothing found')
})

test('a directory that is not there, or is a file, fails for good', async () => {
  const root = await tree({ 'a.txt': 'a' })
  await expect(inventory.run({ root: join(root, 'nowhere') }, fakeContext())).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining('there is no such directory'),
  })
  await expect(inventory.run({ root: join(root, 'a.txt') }, fakeContext())).rejects.toMatchObject({
    retryable: false,
    message: expect.stringContaining('not a directory'),
  })
})

test('hostile names do not disturb an audit', async () => {
  const line = `// ${todo}: here\n`
  const names = [
    'with space',
    'two\nlines',
    'ünïcödé ✓',
    '-rf',
    '{{task.title}}',
    '`code`|*bold*',
    '[z]',
    '100%',
    'ẞ',
    '!important',
    '#hash',
    'audit',
    'A',
    'a',
    ' ',
    '.hidden',
  ]
  const root = await tree(Object.fromEntries(names.map(name => [`${name}/${name}.js`, line])))
  await mkdir(join(root, 'a/.gitignore'))
  await writeFile(join(root, 'a/.gitignore/inside.js'), line)
  const { report, markdown, inventory } = await auditDirectory(root)
  expect(report.findings.map(({ path }) => path).sort()).toEqual(
    [...names.map(name => `${name}/${name}.js`), 'a/.gitignore/inside.js'].sort(),
  )
  expect(new Set(inventory.folders.map(({ subtask }) => subtask)).size).toBe(names.length)
  expect(markdown).toContain('two\\nlines')
})

test('what is spawned is acceptable, unique and free of templates', async () => {
  const names = ['{{task.title}}', '{{a.outputs}}', '✓', '✗', '  ', 'x'.repeat(200), 'x'.repeat(201)]
  const root = await tree(Object.fromEntries(names.map(name => [`${name}/f`, ''])))
  const context = fakeContext()
  await inventory.run({ root }, context)
  expect(context.spawned).toHaveLength(names.length)
  expect(new Set(context.spawned.map(({ name }) => name)).size).toBe(names.length)
  for (const subtask of context.spawned) {
    expect(subtaskRequestSchema.safeParse(subtask).error).toBeUndefined()
    expect(JSON.stringify(subtask.input)).not.toContain('{{')
  }
})

test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('what cannot be read is a finding', async () => {
  const root = await tree({ 'closed/a.js': '', 'src/b.js': '' })
  await chmod(join(root, 'closed'), 0)
  await chmod(join(root, 'src/b.js'), 0)
  cleanups.unshift(() => chmod(join(root, 'closed'), 0o700))
  const { report } = await auditDirectory(root)
  expect(report.findings.map(({ kind, path }) => [kind, path])).toEqual([
    ['unreadable', 'closed'],
    ['unreadable', 'src/b.js'],
  ])
})

test('a folder that vanishes after the inventory is a finding', async () => {
  const root = await tree({ 'src/a.js': '' })
  expect(await folderAudit.run({ root, folder: 'gone' }, fakeContext())).toMatchObject({
    files: 0,
    findings: [{ kind: 'unreadable', path: 'gone' }],
  })
})

test('many findings travel as an artifact, and the report holds all of them', async () => {
  const files: Record<string, string> = {}
  for (let n = 0; n < 40; n++) files[`src/f${n}.js`] = `// ${todo}: something that takes some room\n`.repeat(100)
  const { audits, report } = await auditDirectory(await tree(files))
  expect(audits[0]).toMatchObject({ files: 40, totals: { todo: 4_000 } })
  expect(audits[0]).not.toHaveProperty('findings')
  expect(report.findings).toHaveLength(4_000)
})

test('one file has at most 200 findings, and says how many it hides', async () => {
  const { report } = await auditDirectory(await tree({ 'a.js': `// ${todo}\n`.repeat(500) }))
  expect(report.findings).toHaveLength(200)
  expect(report.findings.at(-1)?.message).toBe(`${todo} (and 300 more findings in this file)`)
})

test('a folder without an audit is stated in both reports', async () => {
  const { dependencies } = await auditDirectory(await tree({ 'src/a.js': '', 'lib/b.js': '', 'docs/c.js': '' }))
  const [listing, docs, ...rest] = dependencies
  const lost = failed('audit-src', { code: 'worker_lost', message: 'the worker stopped reporting', retryable: true })
  if (!listing || !docs || rest.length !== 2) throw new Error('three folders make four dependencies')
  const { report, markdown } = await joinReport([lost, docs, listing])
  expect(report.findings).toEqual([
    { kind: 'not_audited', path: 'lib', message: 'there is no audit of this folder' },
    { kind: 'not_audited', path: 'src', message: 'the audit of this folder failed: the worker stopped reporting' },
  ])
  expect(report.totals.not_audited).toBe(2)
  expect(markdown).toContain('Folders that could not be audited')
})

test('a report without an inventory fails for good', async () => {
  await expect(report.run({}, fakeContext({ dependencies: [completed('other', { any: 'thing' })] }))).rejects.toMatchObject({
    retryable: false,
  })
})

test('agents stop when they are told to', async () => {
  const root = await tree({ 'src/a.js': '' })
  const signal = AbortSignal.abort(new Error('cancelled by a person'))
  await expect(inventory.run({ root }, fakeContext({ signal }))).rejects.toThrow('cancelled by a person')
  await expect(folderAudit.run({ root, folder: 'src' }, fakeContext({ signal }))).rejects.toThrow('cancelled by a person')
  await expect(report.run({}, fakeContext({ signal, dependencies: [completed('a', {})] }))).rejects.toThrow('cancelled by a person')
})

test('20,000 files are audited in well under a minute', { timeout: 120_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'repo-audit-large-'))
  cleanups.push(() => rm(root, { recursive: true, force: true }))
  for (let folder = 0; folder < 200; folder++) {
    await mkdir(join(root, `f${folder}`))
    await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        writeFile(join(root, `f${folder}/${n}.ts`), `export const n${n} = ${n}\n// ${n === 0 ? todo : 'done'}\n`),
      ),
    )
  }
  const started = performance.now()
  const { report, markdown } = await auditDirectory(root)
  expect(performance.now() - started).toBeLessThan(30_000)
  expect(report).toMatchObject({ files: 20_000, folders: 200, totals: { todo: 200 } })
  expect(markdown.split('\n').length).toBeLessThan(300)
})
