import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatonError } from '@baton/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errorLines } from '../output/errors.js'
import { checkConfig } from './check.js'
import { findConfig, loadConfig } from './load.js'
import { configTemplate } from './template.js'
import { watchConfig } from './watch.js'

let root: string
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'baton-config-')))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function folder(name: string, files: Record<string, string>): Promise<string> {
  const path = join(root, name)
  await mkdir(path, { recursive: true })
  for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text)
  return path
}

async function mistake(name: string, file: string, text: string): Promise<string[]> {
  const dir = await folder(name, { [file]: text })
  const error = await loadConfig(join(dir, file), dir).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(BatonError)
  expect((error as BatonError).code).toBe('invalid_configuration')
  return errorLines(error)
}

const agent = { name: 'echo', kind: 'command', command: ['node', 'echo.mjs'] }

describe('finding', () => {
  test('the nearest file upward is taken', async () => {
    const dir = await folder('find', { 'baton.config.json': '{}' })
    const below = await folder('find/a/b', {})
    expect(findConfig(below)).toBe(join(dir, 'baton.config.json'))
    await folder('find/a', { 'baton.config.js': '' })
    expect(findConfig(below)).toBe(join(dir, 'a', 'baton.config.js'))
  })

  test('a named file is relative to where one is, and must exist', async () => {
    const dir = await folder('named', { 'other.json': '{}' })
    expect(findConfig(dir, 'other.json')).toBe(join(dir, 'other.json'))
    expect(() => findConfig(dir, 'gone.json')).toThrow(
      `there is no configuration file ${join(dir, 'gone.json')}; \`baton init\` writes one`,
    )
  })
})

describe('loading', () => {
  test('TypeScript, JavaScript and JSON give the same', async () => {
    const text = JSON.stringify({ agents: [agent] })
    const dir = await folder('kinds', {
      'a.ts': `import { type BatonConfig, defineConfig } from '@baton/shared'\nconst config: BatonConfig = ${text}\nexport default defineConfig(config)\n`,
      'b.js': `export default ${text}\n`,
      'c.json': text,
    })
    for (const file of ['a.ts', 'b.js', 'c.json'])
      expect((await loadConfig(join(dir, file), dir)).config, file).toEqual({ agents: [agent] })
  })

  test('a file that was saved is loaded anew', async () => {
    const dir = await folder('anew', { 'baton.config.ts': 'export default { agents: [] }' })
    const file = join(dir, 'baton.config.ts')
    expect((await loadConfig(file, dir)).config.agents).toEqual([])
    await writeFile(file, `export default { agents: [${JSON.stringify(agent)}] }`)
    expect((await loadConfig(file, dir)).config.agents).toEqual([agent])
  })

  test('what `baton init` writes is valid', async () => {
    const dir = await folder('template', { 'baton.config.ts': configTemplate })
    expect((await loadConfig(join(dir, 'baton.config.ts'), dir)).config.agents?.[0]?.name).toBe('echo')
  })

  test('a syntax error in TypeScript is shown with file and line', async () => {
    const [line] = await mistake('ts-syntax', 'baton.config.ts', 'const a = 1\nexport default { agents: [ }\n')
    expect(line).toMatch(/^error: baton\.config\.ts:2: Unexpected token/)
  })

  test('an error while it runs is shown with file and line', async () => {
    expect(await mistake('ts-throws', 'baton.config.ts', '\nexport default { agents: nope }\n')).toEqual([
      'error: baton.config.ts:2: nope is not defined',
    ])
  })

  test('a syntax error in JSON is shown with file and line', async () => {
    expect(await mistake('json-syntax', 'baton.config.json', '{\n  "agents": [,]\n}\n')).toEqual([
      'error: baton.config.json:2: "," is not expected here',
    ])
  })

  test('a duplicate key in JSON is refused', async () => {
    expect(await mistake('json-twice', 'baton.config.json', '{"agents": [],\n"agents": []}')).toEqual([
      'error: baton.config.json:2: the key "agents" stands twice in one object',
    ])
  })

  test('a module without a default export is told what to write', async () => {
    expect(await mistake('no-default', 'baton.config.ts', 'export const agents = []\n')).toEqual([
      'error: baton.config.ts has no default export; write `export default { agents: [ … ] }`',
    ])
  })

  test('a folder in place of the file is told', async () => {
    const dir = await folder('is-folder/baton.config.json', {})
    await expect(loadConfig(dir, root)).rejects.toThrow(/^is-folder.baton\.config\.json cannot be read: EISDIR/)
  })
})

describe('mistakes', () => {
  const issues = (value: unknown): string[] => {
    try {
      checkConfig(value, 'baton.config.json')
      return []
    } catch (error) {
      return errorLines(error)
    }
  }
  const step = (name: string, ...after: string[]) => ({ name, capability: 'echo', ...(after.length > 0 && { depends_on: after }) })
  const playbook = (...subtasks: object[]) => ({ playbooks: [{ name: 'p', match: { any: ['x'] }, subtasks }] })

  test.each<[string, unknown, string]>([
    ['no program', { agents: [{ ...agent, command: [] }] }, 'agents[0].command must name a program'],
    ['a missing program', { agents: [{ name: 'echo', kind: 'command' }] }, 'agents[0].command is required'],
    ['a program that is no list', { agents: [{ ...agent, command: 'node echo.mjs' }] }, 'agents[0].command must be a list, not a string'],
    ['no kind', { agents: [{ name: 'echo' }] }, 'agents[0].kind is required: one of command, http, module'],
    ['an unknown kind', { agents: [{ name: 'echo', kind: 'shell' }] }, 'agents[0].kind must be one of command, http, module, not "shell"'],
    ['an unknown key', { agents: [{ ...agent, comand: [] }] }, 'agents[0].comand is not a known key; check its spelling or remove it'],
    [
      'a bad name',
      { agents: [{ ...agent, name: 'Echo 1' }] },
      'agents[0].name must be 1 to 64 lower-case letters, digits, `_`, `.` or `-`, beginning with a letter or digit',
    ],
    [
      'a bad duration',
      { agents: [{ ...agent, sla: 'soon' }] },
      'agents[0].sla use a duration such as `90s`, `10m` or `1h30m`, at most a year',
    ],
    ['a bad number', { agents: [{ ...agent, concurrency: 0 }] }, 'agents[0].concurrency must be at least 1'],
    [
      'a bad URL',
      { agents: [{ name: 'a', kind: 'http', url: 'ftp://x' }] },
      'agents[0].url must be a URL that begins with http:// or https://',
    ],
    [
      'a bad policy',
      { defaults: { on_failure: 'explode' } },
      'defaults.on_failure must be one of review, fail, skip, continue, not "explode"',
    ],
    [
      'a playbook that never matches',
      { playbooks: [{ name: 'p', match: {}, subtasks: [step('a')] }] },
      'playbooks[0].match must name at least one of `any`, `all`, `metadata`',
    ],
    ['an agent name twice', { agents: [agent, agent] }, 'agents[1].name "echo" is taken by agents[0]; agent names must be unique'],
    [
      'a subtask name twice',
      playbook(step('a'), step('a')),
      'playbooks[0].subtasks[1].name "a" is taken by playbooks[0].subtasks[0]; subtask names must be unique within a playbook',
    ],
    [
      'an unknown dependency',
      playbook(step('a', 'b')),
      'playbooks[0].subtasks[0].depends_on[0] names "b", which is no subtask of this playbook; there are a',
    ],
    ['a dependency on itself', playbook(step('a', 'a')), 'playbooks[0].subtasks[0].depends_on[0] names the subtask itself; remove it'],
    [
      'a circle',
      playbook(step('z'), step('a', 'c', 'z'), step('b', 'a'), step('c', 'b')),
      'playbooks[0].subtasks wait for each other in a circle (a → c → b → a); remove one of these dependencies',
    ],
    ['no object at all', [], 'must be an object, not a list'],
  ])('%s', (_what, value, sentence) => {
    expect(issues(value)).toEqual([`error: baton.config.json: ${sentence}`])
  })

  test('several are listed together', () => {
    expect(
      issues({
        agents: [
          { ...agent, command: [] },
          { name: 'x', kind: 'http' },
        ],
      }),
    ).toEqual(['error: baton.config.json has 2 mistakes:', '  agents[0].command must name a program', '  agents[1].url is required'])
  })

  test('a good configuration comes back as it is', () => {
    const config = { agents: [agent], ...playbook(step('a'), step('b', 'a')) }
    expect(checkConfig(config, 'x')).toEqual(config)
  })
})

test('a file that was saved after it was loaded and before it is watched is told of', async () => {
  const dir = await folder('watch-late', { 'baton.config.json': '{ }' })
  await new Promise<void>(resolve => {
    const stop = watchConfig(join(dir, 'baton.config.json'), {
      onChange: async () => {
        stop()
        resolve()
      },
      seen: '{}',
    })
  })
})

test('a saved file is told of once per content', async () => {
  const dir = await folder('watch', { 'baton.config.json': '{}' })
  const file = join(dir, 'baton.config.json')
  let told = 0
  let next: () => void = () => undefined
  const change = () => new Promise<void>(resolve => (next = resolve))
  const stop = watchConfig(file, {
    onChange: async () => {
      told++
      next()
    },
    intervalMs: 10,
  })
  try {
    const first = change()
    await writeFile(file, '{ }')
    await first
    const second = change()
    await writeFile(file, '{  }')
    await second
    expect(told).toBe(2)
  } finally {
    stop()
  }
})
