/**
 * The page's own script, first part: making elements. Everything that came from the API becomes text by `textContent`;
 * nothing here parses HTML.
 */
// biome-ignore lint/complexity/noUselessStringRaw: an escape that is added later has to reach the browser as it stands
export const elementsScript = String.raw`
/** element('p', { class: 'dim' }, 'text', child); children that are null or false are left out. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes || {})) if (value !== undefined && value !== null) made.setAttribute(name, value)
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child)
  return made
}

const tones = {
  completed: 'good', healthy: 'good', ready: 'good', skipped: 'good',
  running: 'busy', queued: 'busy', starting: 'busy',
  blocked: 'wait', needs_review: 'wait', awaiting_approval: 'wait', retrying: 'wait', paused: 'wait', degraded: 'wait', draining: 'wait',
  failed: 'bad', lost: 'bad', cancelled: 'idle',
}

function chip(state) {
  return element('span', { class: 'chip ' + (tones[state] || 'idle') }, state.replaceAll('_', ' '))
}

function bar(counts) {
  const total = Object.values(counts).reduce((a, b) => a + b, 0)
  const done = (counts.completed || 0) + (counts.skipped || 0)
  const part = (tone, n) => {
    const span = element('span', { class: tone })
    span.style.flexGrow = String(n)
    return span
  }
  const sum = tone => Object.entries(counts).filter(([state]) => state !== 'ready' && tones[state] === tone).reduce((a, [, n]) => a + n, 0)
  const shown = ['good', 'busy', 'wait', 'bad'].map(tone => [tone, sum(tone)])
  const rest = total - shown.reduce((a, [, n]) => a + n, 0)
  return [
    element('div', { class: 'bar', role: 'img', 'aria-label': done + ' of ' + total + ' subtasks done' }, shown.filter(([, n]) => n > 0).map(([tone, n]) => part(tone, n)), part('rest', Math.max(rest, total === 0 ? 1 : 0))),
    done + ' of ' + total + ' done',
  ]
}

/** What opens and closes stays as it was when its surroundings are drawn anew. */
const opened = new Set()
function expandable(key, title, ...children) {
  const made = element('details', { 'data-key': key }, element('summary', { 'data-key': 'summary:' + key }, title), ...children)
  made.open = opened.has(key)
  made.addEventListener('toggle', () => (made.open ? opened.add(key) : opened.delete(key)))
  return made
}

function json(value) {
  return element('pre', { tabindex: '0' }, typeof value === 'string' ? value : JSON.stringify(value, null, 2))
}

/** Replaces the content of a section; the focus stays where it was. */
function draw(id, ...children) {
  const section = document.getElementById(id)
  const focused = section.contains(document.activeElement) ? document.activeElement.getAttribute('data-key') : null
  section.replaceChildren(...children.flat().filter(Boolean))
  if (focused) section.querySelector('[data-key="' + CSS.escape(focused) + '"]')?.focus({ preventScroll: true })
}

function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return seconds + ' s'
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min ' + (seconds % 60) + ' s'
  if (seconds < 86400) return Math.floor(seconds / 3600) + ' h ' + Math.floor((seconds % 3600) / 60) + ' min'
  return Math.floor(seconds / 86400) + ' d ' + Math.floor((seconds % 86400) / 3600) + ' h'
}

/** A time that goes on: until an end, or until now, second by second. */
function since(from, to, suffix) {
  const made = element('span', to ? {} : { 'data-since': from, 'data-suffix': suffix || '' })
  made.textContent = duration((to ? Date.parse(to) : Date.now()) - Date.parse(from)) + (suffix || '')
  return made
}
setInterval(() => {
  for (const running of document.querySelectorAll('[data-since]')) running.textContent = duration(Date.now() - Date.parse(running.getAttribute('data-since'))) + running.getAttribute('data-suffix')
}, 1000)
`
