import { readFile } from 'node:fs/promises'
import { Script } from 'node:vm'
import { errorCodes, errorTable, fittingDecisions } from '@baton/shared'
import { describe, expect, test } from 'vitest'
import { errorRemedies } from './error-remedies.js'
import type { OpenApi } from './openapi.js'
import { homePage } from './page/home-page.js'
import { pagePolicy } from './security-headers.js'
import { testApp } from './testing/test-app.js'

const document = async () => (await testApp().get('/openapi.json')).json<OpenApi>()

describe('the OpenAPI document', () => {
  test('lists every error code with its status, and no other', async () => {
    expect((await document())['x-error-codes']).toEqual(errorCodes.map(code => ({ code, ...errorTable[code] })))
    expect((await document()).components.schemas.Problem).toMatchObject({ properties: { code: { enum: errorCodes } } })
  })

  test('lists every route, and each refers to schemas that exist', async () => {
    const { openapi, paths, components } = await document()
    expect(openapi).toBe('3.1.0')
    const { routes } = testApp()
    expect(
      Object.entries(paths)
        .flatMap(([path, methods]) => Object.keys(methods).map(method => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`))
        .sort(),
    ).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort())
    const references = [...JSON.stringify({ paths, components }).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      match => match[1],
    )
    expect(new Set(references)).toEqual(new Set(references.filter(name => name !== undefined && name in components.schemas)))
    expect(references).toEqual(expect.arrayContaining(['OrchestrateRequest', 'Task', 'Subtask', 'Problem']))
  })

  test('says which statuses an error has, and nothing of a schema is lost', async () => {
    const { paths, components } = await document()
    expect(Object.keys(paths['/orchestrate']?.post?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '201', '400', '401', '409', '413', '415', '500', '503']),
    )
    expect(paths['/tasks']?.get?.parameters).toContainEqual(
      expect.objectContaining({
        name: 'limit',
        in: 'query',
        required: false,
        schema: expect.objectContaining({ type: 'integer', maximum: 1_000 }),
      }),
    )
    expect(components.schemas.OrchestrateRequest).toMatchObject({
      required: ['task_id', 'title'],
      additionalProperties: false,
      properties: { metadata: { type: 'object' }, subtasks: { items: { $ref: '#/components/schemas/SubtaskRequest' } } },
    })
  })
})

describe('docs/errors.md', () => {
  test('says the same as the table of errors, in both directions', async () => {
    const text = await readFile(new URL('../../../../docs/errors.md', import.meta.url), 'utf8')
    const rows = text
      .split('\n')
      .filter(line => line.startsWith('| `'))
      .map(line => line.replace(/ +\|/g, ' |')) // tables may be padded
    expect(rows).toEqual(
      errorCodes.map(
        code =>
          `| \`${code}\` | ${errorTable[code].status} | ${errorTable[code].title} | ${errorTable[code].retryable ? 'yes' : 'no'} | ${errorRemedies[code]} |`,
      ),
    )
  })
})

describe('pages', () => {
  test.each(['/', '/docs'])('%s loads nothing from elsewhere, and its policy allows just its own texts', async path => {
    const { headers, body } = await testApp().get(path)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(headers['content-security-policy']).toMatch(/default-src 'none'; style-src 'sha256-[^']+'/)
    expect(headers['content-security-policy']).not.toContain('unsafe')
    expect(body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
    expect(body).not.toMatch(/ (?:style|on\w+)="/)
  })

  test('the script of / is one that runs, and parses no HTML', () => {
    const { html, script } = homePage('local')
    expect(() => new Script(script)).not.toThrow()
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|<\/script/)
    expect(html).toContain(`<script>${script}</script>`)
    expect(pagePolicy(homePage('local'))).toMatch(/script-src 'sha256-/)
  })

  test('/ offers what can be told to tasks, reviews and workers, each decision where it fits', () => {
    const { script } = homePage('local')
    expect(script).toContain(`const fitting = ${JSON.stringify(fittingDecisions)}`)
    for (const path of ["'/drain'", "'/decide'", "'/reviews?limit=20&task_id='"]) expect(script).toContain(path)
  })

  test('/ links to the queues in fleet mode only', () => {
    expect(homePage('fleet').html).toContain('href="/admin/queues"')
    expect(homePage('local').html).not.toContain('href="/admin/queues"')
  })

  test('/docs explains every error where problems point to', async () => {
    const { body } = await testApp().get('/docs')
    for (const code of errorCodes) expect(body).toContain(`id="${code}"`)
  })
})
