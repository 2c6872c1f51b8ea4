/** Asks for the key, before `/admin/queues`: in a field, since a browser sends no header by itself. */
import type { Page } from './home-page.js'

const style = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 26rem; padding: 0 1rem; color-scheme: light dark; }
form { display: grid; gap: .6rem; } input, button { font: inherit; padding: .4rem .7rem; } #said { color: #b00020; min-height: 1.5em; }`

const script = `'use strict'
document.querySelector('form').addEventListener('submit', async event => {
  event.preventDefault()
  const said = document.querySelector('#said')
  try {
    const answer = await fetch('/admin/session', { method: 'POST', headers: { authorization: 'Bearer ' + document.querySelector('input').value } })
    if (answer.ok) location.reload()
    else said.textContent = (await answer.json()).detail
  } catch { said.textContent = 'The coordinator does not answer.' }
})`

export const signInPage: Page = {
  style,
  script,
  html: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Sign in · Baton</title>
<style>${style}</style>
<h1>Queues</h1>
<form>
<label for="key">API key; the scope <code>read</code> lets you look, <code>operate</code> press buttons</label>
<input id="key" type="password" autocomplete="current-password" required>
<button>Sign in</button>
<p id="said" role="alert"></p>
</form>
<script>${script}</script>
</html>
`,
}
