/** `/`: one page for people, without a build step, without anything from elsewhere; its policy allows just its own texts. */
import { actionsScript } from './actions-script.js'
import { elementsScript } from './elements-script.js'
import { pollingScript } from './polling-script.js'
import { style } from './style.js'
import { viewsScript } from './views-script.js'

const script = `'use strict'\n${elementsScript}${viewsScript}${actionsScript}${pollingScript}`

export interface Page {
  readonly html: string
  readonly style: string
  readonly script: string
}

export function homePage(mode: 'local' | 'fleet'): Page {
  const queues =
    mode === 'fleet'
      ? '<a href="/admin/queues">queues</a>'
      : '<span class="dim" title="In fleet mode the queues have a page of their own.">queues: fleet mode only</span>'
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Baton</title>
<style>${style}</style>
<header>
  <h1>Baton</h1>
  <nav aria-label="More"><a href="/docs">API</a> <a href="/openapi.json">openapi.json</a> <a href="/healthz">health</a> ${queues}</nav>
</header>
<section id="notice" role="status" hidden></section>
<main>
  <div class="column">
    <section id="tasks" aria-label="Tasks"><p class="dim">Loading…</p></section>
    <section id="workers" aria-label="Workers"></section>
    <section id="agents" aria-label="Agents"></section>
  </div>
  <div class="column"><section id="task" aria-label="Task" hidden></section></div>
</main>
<noscript><p>This page needs JavaScript; <a href="/docs">the API</a> does not.</p></noscript>
<script>${script}</script>
</html>
`
  return { html, style, script }
}
