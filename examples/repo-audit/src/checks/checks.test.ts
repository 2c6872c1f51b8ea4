import { expect, test } from 'vitest'
import { checkLockFile, isLockFile } from './lock-files.js'
import { findLongFunctions } from './long-functions.js'
import { findSecrets, maskSecrets } from './secrets.js'
import { findTodos } from './todos.js'

/** Examples are assembled here, so that no scanner takes this file for a leak. */
const join = (...parts: string[]) => parts.join('')
const random = (length: number) => 'q7Rt2Yx9Lm4Kp8Zw3Vb6Nc5Hd1Jf0Gs'.repeat(9).slice(0, length)
const todo = join('TO', 'DO')

test.each([
  ['AWS access key', join('AK', 'IA', 'Q7RT2YX9LM4KP8ZW'), 'AKIA***'],
  ['AWS secret key', join('aws_secret', '_access_key = ', random(40)), 'q7Rt***'],
  ['GitHub token', join('gh', 'p_', random(36)), 'ghp_***'],
  ['GitHub token', join('github', '_pat_', random(60)), 'gith***'],
  ['Slack token', join('xo', 'xb-1234567890-', random(24)), 'xoxb***'],
  ['Stripe key', join('sk', '_live_', random(24)), 'sk_l***'],
  ['Google API key', join('AI', 'za', random(35)), 'AIza***'],
  ['npm token', join('np', 'm_', random(36)), 'npm_***'],
  ['password in a URL', join('postgres://app:', 'hunter2hunter', '@db.internal/app'), 'hun***'],
  ['hard-coded secret', join('api_', 'key: "', random(32), '"'), 'q7Rt***'],
  ['hard-coded secret', join('const pass', 'word: string = `', random(12), '`'), 'q7R***'],
  ['hard-coded secret', join('{"client_sec', 'ret": "', random(20), '"}'), 'q7Rt***'],
])('a %s is found and masked', (name, text, masked) => {
  const found = findSecrets('a.ts', `\n  ${text}\n`)
  expect(found.map(({ line, message }) => ({ line, message }))).toEqual([{ line: 2, message: `${name} ${masked}` }])
  expect(maskSecrets(`\n  ${text}\n`, found)).toContain(masked)
})

test('a private key is found where there is one, not where its head is mentioned', () => {
  const head = join('-----BEGIN RSA PRIVATE', ' KEY-----')
  expect(findSecrets('key.pem', `${head}\n${random(64)}\n`)).toMatchObject([{ line: 1, message: 'private key' }])
  expect(findSecrets('a.json', `{"key": "${head}\\n${random(64)}\\n"}`)).toHaveLength(1)
  expect(findSecrets('a.ts', `if (text.startsWith('${head}')) read(text)`)).toEqual([])
})

test('an environment file needs no quotes', () => {
  const text = join('export DB_PASS', 'WORD=', random(16))
  expect(findSecrets('.env.production', text)).toHaveLength(1)
  expect(findSecrets('notes.txt', text)).toEqual([])
})

test.each([
  'password: process.env.PASSWORD',
  'const token = "agent-token-1"',
  'token: "{{secrets.token}}"',
  'password = "<your password here>"',
  'secret: "$' + '{SECRET_9f8e7d6c5b4a}"',
  'const tokenPattern = "a1b2c3d4e5f6g7"',
  'password: "password123"',
  'token: "00000000-0000-4000-8000-000000000000"',
  'postgres://postgres:postgres@127.0.0.1:5432/app',
  'https://$' + '{user}:$' + '{password}@host/',
  'const apiKeyHeader = "x-api-key"',
  'tokens: "one two three 4 five six"',
])('%s is no secret', text => {
  expect(findSecrets('a.ts', text)).toEqual([])
})

test('unfinished work is found in comments only', () => {
  const text = [
    `const a = 1 // ${todo}: first`,
    `const ${todo} = 'no'`,
    `/* see below, ${todo}(ann): second */`,
    ` * ${todo} third`,
    `// what a \`${todo}\` is`,
    `read("http://${todo}")`,
  ].join('\n')
  expect(findTodos('a.ts', text).map(({ line, message }) => [line, message])).toEqual([
    [1, `${todo}: first`],
    [3, `${todo}(ann): second`],
    [4, `${todo} third`],
  ])
  expect(findTodos('a.py', `x = 1  # ${todo} python\n`)).toHaveLength(1)
  expect(findTodos('a.json', `"// ${todo}"`)).toEqual([])
})

const lines = (count: number, line = '  work()') => Array.from({ length: count }, () => line).join('\n')

test.each([
  ['a.ts', `export async function load({ a, b }: { a: string; b: number }): Promise<void> {\n${lines(90)}\n}`, 'function load'],
  ['a.js', `const load = async (a, b) => {\n${lines(90)}\n}`, 'function load'],
  ['a.ts', `class A {\n  private load<T>(a: T): Map<string, T> {\n${lines(90)}\n  }\n}`, 'function load'],
  ['a.go', `func (s *Server) load(a int) (int, error) {\n${lines(90)}\n}`, 'function load'],
  ['A.java', `class A {\n  public void load(int a) throws E {\n${lines(90)}\n  }\n}`, 'function load'],
  ['a.c', `static int load(char **a)\n{\n${lines(89)}\n}`, 'function load'],
  ['a.rs', `fn load<'a>(s: &'a str) -> u8 {\n${lines(90)}\n}`, 'function load'],
  ['a.py', `async def load(\n  a,\n) -> int:\n${lines(89)}\n\nx = 1\n`, 'function load'],
])('a long function in %s is found', (path, text, name) => {
  expect(findLongFunctions(path, text)).toMatchObject([{ kind: 'long_function', message: `${name} is 92 lines long` }])
})

test.each([
  ['a.ts', `export const table = {\n${lines(90, '  a: 1,')}\n}`],
  ['a.ts', `class A {\n${lines(90, '  a = 1')}\n}`],
  ['a.ts', `describe('all', () => {\n${lines(90)}\n})`],
  ['a.js', `function short() {\n  return "{"\n}\n${lines(90)}\n/* } */`],
  ['a.js', `function short() {\n  return /[/{]/.test(\`{ \${a({ b: '}' })} {\`)\n}\n${lines(90)}`],
  ['a.java', `if (a) {\n${lines(90)}\n}`],
  ['a.py', `def short():\n  return 1\n${lines(90, 'work()')}`],
  ['a.txt', `function long() {\n${lines(90)}\n}`],
])('what is no long function in %s is not taken for one', (path, text) => {
  expect(findLongFunctions(path, text)).toEqual([])
})

test('80 lines are not long, 81 are', () => {
  expect(findLongFunctions('a.js', `function a() {\n${lines(78)}\n}`)).toEqual([])
  expect(findLongFunctions('a.js', `function a() {\n${lines(79)}\n}`)).toHaveLength(1)
})

test('a package lock names duplicates, missing licences and copyleft', () => {
  const packages = {
    '': { name: 'root', version: '1.0.0' },
    'packages/own': { name: '@own/a', version: '1.0.0' },
    'node_modules/@own/a': { link: true },
    'node_modules/a': { version: '10.0.0', license: 'MIT' },
    'node_modules/b/node_modules/a': { version: '9.1.0', license: 'MIT' },
    'node_modules/b': { version: '1.0.0' },
    'node_modules/c': { version: '1.0.0', license: 'AGPL-3.0-only' },
    'node_modules/d': { version: '1.0.0', license: '(MIT OR GPL-3.0)' },
    'node_modules/e': { version: '1.0.0', license: 'LGPL-2.1' },
  }
  expect(
    checkLockFile('web/package-lock.json', JSON.stringify({ lockfileVersion: 3, packages })).map(({ kind, message }) => [kind, message]),
  ).toEqual([
    ['duplicate_dependency', 'a is locked in 2 versions: 9.1.0, 10.0.0'],
    ['licence', 'b 1.0.0 names no licence'],
    ['licence', 'c 1.0.0 is under AGPL-3.0-only'],
  ])
})

test.each([
  [
    'yarn.lock',
    '# yarn lockfile v1\n\na@^1.0.0, a@^1.2.0:\n  version "1.2.0"\n\n"a@^2.0.0":\n  version "2.0.0"\n\nb@1:\n  version "1.0.0"\n',
  ],
  ['yarn.lock', '"a@npm:^1.0.0":\n  version: 1.2.0\n\n"a@npm:^2.0.0":\n  version: 2.0.0\n\n"w@workspace:.":\n  version: 0.0.0-use.local\n'],
  [
    'pnpm-lock.yaml',
    "lockfileVersion: '9.0'\n\npackages:\n\n  a@1.2.0:\n    resolution: {}\n\n  a@2.0.0(b@1.0.0):\n    resolution: {}\n\n  '@s/b@1.0.0':\n\nsnapshots:\n\n  a@3.0.0:\n",
  ],
  ['pnpm-lock.yaml', 'packages:\n\n  /a/1.2.0:\n    dev: true\n\n  /a/2.0.0_b@1.0.0:\n    dev: true\n'],
  ['Cargo.lock', 'version = 3\n\n[[package]]\nname = "a"\nversion = "1.2.0"\n\n[[package]]\nname = "a"\nversion = "2.0.0"\n'],
  ['poetry.lock', '[[package]]\nname = "a"\nversion = "2.0.0"\n\n[[package]]\nname = "a"\nversion = "1.2.0"\n'],
])('duplicates in a %s are found', (path, text) => {
  expect(checkLockFile(path, text).map(({ message }) => message)).toEqual(['a is locked in 2 versions: 1.2.0, 2.0.0'])
})

test('of go.sum only the modules that were built count', () => {
  expect(checkLockFile('go.sum', 'x.org/a v1.0.0 h1:a=\nx.org/a v1.0.0/go.mod h1:b=\nx.org/a v0.9.0/go.mod h1:c=\n')).toEqual([])
})

test('a lock file that is none is a finding, not a crash', () => {
  expect(checkLockFile('package-lock.json', '{"packages": [')).toMatchObject([{ kind: 'unreadable' }])
  expect(isLockFile('toString')).toBe(false)
})
