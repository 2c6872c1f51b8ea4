/** `/docs`: the OpenAPI document as one page of plain HTML, made here; it needs no script and nothing from elsewhere. */
import { type ErrorCode, errorCodes, errorTable } from '@baton/shared'
import { errorRemedies } from './error-remedies.js'
import type { OpenApi, Operation } from './openapi.js'
import { pageColors } from './page/colors.js'

const style = `${pageColors}
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 60rem; font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
a { color: var(--accent); }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } h3 { margin: 0; font-size: 1rem; } h3 code { font-size: .95rem; }
section.operation { border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; margin: .75rem 0; background: var(--card); }
.method { display: inline-block; min-width: 3.2em; font-weight: 700; color: var(--accent); }
code, pre { font: 13px/1.5 ui-monospace, monospace; } pre { overflow: auto; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; } .dim { color: var(--dim); } summary { cursor: pointer; }
:target { outline: 2px solid var(--accent); outline-offset: 2px; }
`

export function docsPage(document: OpenApi): { html: string; style: string } {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationSection(method, path, operation)),
  )
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Baton: API</title>
<style>${style}</style>
<h1>Baton API</h1>
<p class="dim">Version ${escapeHtml(document.info.version)} · <a href="/">tasks</a> · <a href="/openapi.json">openapi.json</a> · <a href="#errors">errors</a> · <a href="#schemas">schemas</a></p>
<p>${prose(document.info.description)}</p>
<pre>curl localhost:7420/orchestrate -H 'content-type: application/json' \\
  -d '{"task_id": "hello-1", "title": "Say hello", "subtasks": [{"name": "hello", "capability": "echo"}], "execute": true}'</pre>
<p>Where the coordinator has a key, add <code>-H "authorization: Bearer $BATON_API_KEY"</code>.</p>
<h2>Paths</h2>
${operations.join('\n')}
<h2 id="errors">Errors</h2>
<p>Every error is <code>application/problem+json</code> with one of these codes. Those of status 4xx and 5xx that no path lists tell how an attempt of a subtask ended, or come from the command line.</p>
<div class="scroll"><table><tr><th>Code<th>Status<th>Meaning<th>Again?<th>What to do</tr>
${errorCodes.map(errorRow).join('\n')}
</table></div>
<h2 id="schemas">Schemas</h2>
${Object.entries(document.components.schemas).map(schemaSection).join('\n')}
</html>
`
  return { html, style }
}

function operationSection(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    parameter =>
      `<tr><td><code>${escapeHtml(parameter.name)}</code><td class="dim">${escapeHtml(parameter.in)}<td>${prose(parameter.description ?? '')}</tr>`,
  )
  const responses = Object.entries(operation.responses).map(
    ([status, { description, content }]) =>
      `<tr><td>${escapeHtml(status)}<td>${prose(description)} ${Object.values(content ?? {})
        .map(({ schema }) => schemaLink(schema))
        .join('')}</tr>`,
  )
  const body = Object.values(operation.requestBody?.content ?? {}).map(
    ({ schema }) => `<p>Body: ${schemaLink(schema)}${operation.requestBody?.required ? '' : ' (may be absent)'}</p>`,
  )
  return `<section class="operation" id="${escapeHtml(operation.operationId)}">
<h3><span class="method">${escapeHtml(method.toUpperCase())}</span> <code>${escapeHtml(path)}</code></h3>
<p>${prose(operation.summary)}<span class="dim"> ${neededText(operation)}</span></p>
${body.join('')}${parameters.length > 0 ? `<div class="scroll"><table>${parameters.join('')}</table></div>` : ''}
<details><summary>Answers</summary><div class="scroll"><table>${responses.join('')}</table></div></details>
</section>`
}

function neededText({ security }: Operation): string {
  const [needed] = security as readonly { readonly key: readonly string[] }[] // as openapi.ts writes it
  return needed ? `Scope: ${needed.key.map(scope => `<code>${escapeHtml(scope)}</code>`).join(' or ')}.` : 'Needs no key.'
}

function schemaLink(schema: Record<string, unknown>): string {
  const name = typeof schema.$ref === 'string' ? schema.$ref.split('/').pop() : undefined
  return name ? `<a href="#schema-${escapeHtml(name)}">${escapeHtml(name)}</a>` : ''
}

function schemaSection([name, schema]: [string, unknown]): string {
  return `<details id="schema-${escapeHtml(name)}"><summary><code>${escapeHtml(name)}</code></summary><pre>${escapeHtml(JSON.stringify(schema, null, 2))}</pre></details>`
}

function errorRow(code: ErrorCode): string {
  const { status, title, retryable } = errorTable[code]
  return `<tr id="${code}"><td><code>${code}</code><td>${status}<td>${escapeHtml(title)}<td>${retryable ? 'yes' : 'no'}<td>${prose(errorRemedies[code])}</tr>`
}

/** Text with `code` in backticks. */
function prose(text: unknown): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')
}

function escapeHtml(text: unknown): string {
  return String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
