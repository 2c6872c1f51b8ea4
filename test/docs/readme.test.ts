/** What README.md shows works as it stands there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startLocal } from '@baton/local'
import type { TaskView } from '@baton/shared'
import { expect, onTestFinished, test } from 'vitest'
import { repositoryFile } from './markdown-table.js'

const text = repositoryFile('README.md')
const root = fileURLToPath(new URL('../../', import.meta.url))
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(match => match[1] ?? '')

/** The `curl` commands of a shell block. */
function curlsOf(shell: string): { url: string; headers: Record<string, string>; body: string | undefined }[] {
  const commands = shell.replaceAll('\\\n', ' ').split('\n')
  return commands
    .filter(command => command.startsWith('curl '))
    .map(command => ({
      url: /\bhttp:\/\/[^\s']+/.exec(command)?.[0] ?? '',
      headers: Object.fromEntries([...command.matchAll(/ -H '([^:]+): ([^']+)'/g)].map(([, name, value]) => [name, value])),
      body: / -d '([^']+)'/.exec(command)?.[1],
    }))
}

test('the agent of five lines does what the curl beside it asks for', async () => {
  const agent = blocks('js')[0] ?? ''
  expect(agent.trim().split('\n')).toHaveLength(5)
  const [submit, read] = curlsOf(blocks('sh').find(shell => shell.includes('/orchestrate')) ?? '')
  if (!submit || !read) throw new Error('README.md shows no curl that submits, or none that reads')

  // As it stands there, but for the port, which may be taken. Below the repository, so that it finds the packages.
  const port = await freePort()
  const folder = mkdtempSync(join(root, 'test', 'dist', 'readme-'))
  writeFileSync(join(folder, 'hello.mjs'), agent.replace('7420', String(port)))
  const hello = spawn(process.execPath, ['hello.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(async () => {
    if (hello.exitCode === null && hello.kill('SIGKILL')) await once(hello, 'exit')
    rmSync(folder, { recursive: true, force: true })
  })
  const [said] = await once(createInterface(hello.stdout), 'line')
  expect(said).toBe(`Baton is up at http://127.0.0.1:${port}`)

  const submitted = await fetch(submit.url.replace('7420', String(port)), {
    method: 'POST',
    headers: submit.headers,
    body: submit.body ?? '',
  })
  expect(submitted.status).toBe(201)
  const answer = await fetch(read.url.replace('7420', String(port)))
  const task = (await answer.json()) as TaskView
  expect(task.status).toBe('completed')
  expect(JSON.stringify(task)).toContain('"outputs":{"text":"HELLO"}')
})

test('the words that it shows plan as it says', async () => {
  const [words] = curlsOf(blocks('sh').find(shell => shell.includes('dry_run')) ?? '')
  if (!words?.body) throw new Error('README.md shows no curl with words')
  const local = await startLocal()
  onTestFinished(() => local.stop())
  const planned = await local.client.tasks.submit(JSON.parse(words.body), { dryRun: true })
  expect(planned.subtasks.map(subtask => subtask.capability).sort()).toEqual(['cicd', 'code-review', 'documentation', 'feature-dev'])
})

test('scripts, files and commands that it names are there', () => {
  const { scripts } = JSON.parse(repositoryFile('package.json')) as { scripts: Record<string, string> }
  for (const [, name = ''] of text.matchAll(/npm run ([a-z]+)/g)) expect(Object.keys(scripts)).toContain(name)
  const commands = repositoryFile('packages/cli/src/program.ts')
  for (const [, name = ''] of text.matchAll(/\bbaton ([a-z]+)\b(?=[^`\n]*`)/g)) expect(commands).toContain(`'${name}`)
})

test.each([
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs/operations.md',
  'docs/performance.md',
  'docs/configuration.md',
  'docs/webhooks.md',
  'examples/compose/README.md',
])('the links of %s lead somewhere', file => {
  const links = [...repositoryFile(file).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link = '']) => link)
  for (const link of links) expect(existsSync(new URL(link, new URL(`../../${file}`, import.meta.url))), link).toBe(true)
})

test('what the changelog calls planned is not there yet', async () => {
  const planned = repositoryFile('CHANGELOG.md').split('### Planned')[1]?.split('\n## ')[0] ?? ''
  const local = await startLocal()
  onTestFinished(() => local.stop())
  const { paths } = (await (await fetch(`${local.url}/openapi.json`)).json()) as { paths: Record<string, Record<string, unknown>> }
  const served = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`))
  const named = [...planned.matchAll(/`((?:GET|POST|PUT|PATCH|DELETE) [^`]+)`/g)].map(([, name = '']) => name)
  expect(named.length).toBeGreaterThan(0)
  expect(named.filter(name => served.includes(name))).toEqual([])
})

test('the command that it makes an alias of is there after a build', () => {
  const path = /alias baton="node \$PWD\/([^"]+)"/.exec(text)?.[1] ?? ''
  expect(existsSync(join(root, path)), path).toBe(true)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return address.port
}
