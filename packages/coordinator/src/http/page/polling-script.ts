/** The page's own script, last part: asking the API, again and again, and asking people for the key. */
// biome-ignore lint/complexity/noUselessStringRaw: an escape that is added later has to reach the browser as it stands
export const pollingScript = String.raw`
const keyName = 'baton-key'
const selectedTask = () => { try { return decodeURIComponent(location.hash.slice(1)) } catch { return '' } }
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
const visible = () => document.hidden ? new Promise(resolve => document.addEventListener('visibilitychange', resolve, { once: true })) : undefined

async function ask(path, options) {
  const key = sessionStorage.getItem(keyName)
  const response = await fetch(path, { ...options, cache: 'no-store', headers: { ...(options || {}).headers, ...(key ? { authorization: 'Bearer ' + key } : {}) } })
  if (response.status === 401) throw Object.assign(new Error(key ? 'That key was not accepted.' : ''), { needsKey: true })
  if (!response.ok && response.status !== 304) {
    const problem = await response.json().catch(() => ({}))
    throw Object.assign(new Error(problem.detail || 'The server answered ' + response.status + '.'), { status: response.status })
  }
  return response
}

/** A notice above everything; asks for the key when one is needed. */
let shownNotice = ''
function notice(error) {
  const text = error ? (error.needsKey ? 'key ' : '') + error.message : ''
  if (text === shownNotice) return // what is typed stays
  shownNotice = text
  document.getElementById('notice').hidden = !error
  document.querySelector('main').hidden = Boolean(error && error.needsKey)
  if (!error) return
  if (!error.needsKey) return draw('notice', element('p', {}, error.status ? error.message : 'The coordinator cannot be reached; trying again.'))
  const input = element('input', { type: 'password', id: 'key', autocomplete: 'off', required: '' })
  const form = element('form', {}, element('label', { for: 'key' }, error.message + ' API key'), input, element('button', {}, 'Show tasks'))
  form.addEventListener('submit', event => {
    event.preventDefault()
    sessionStorage.setItem(keyName, input.value.trim())
    shownNotice = undefined // the next notice is drawn in any case
    wake()
  })
  draw('notice', form)
  input.focus()
}

let wake = () => {}
/** Runs a round, and the next one after a while, or at once when woken. */
async function repeat(everyMs, round) {
  for (;;) {
    await visible()
    let again = everyMs
    try {
      await round()
      notice(undefined)
    } catch (error) {
      notice(error)
      again = error.needsKey ? 86400000 : Math.max(everyMs, 3000)
    }
    await Promise.race([pause(again), new Promise(resolve => { wake = resolve })])
  }
}

let shownTasks
repeat(2000, async () => {
  const [tasks, workers, agents] = await Promise.all(['/tasks?limit=50', '/workers', '/agents'].map(async path => (await ask(path)).json()))
  shownTasks = tasks.tasks
  drawTasks(shownTasks, selectedTask())
  drawWorkers(workers.workers)
  drawAgents(agents.agents)
  if (!selectedTask() && shownTasks.length > 0 && matchMedia('(min-width: 52rem)').matches) location.replace('#' + encodeURIComponent(shownTasks[0].task_id))
})

/** Something was told to do something: look now. */
function changed() {
  wake()
}

/** Follows the selected task: each answer names its version, and the next question waits for another. */
let following = new AbortController()
async function follow() {
  following.abort()
  following = new AbortController()
  const { signal } = following
  const id = selectedTask()
  document.getElementById('task').hidden = !id
  if (!id) return
  if (shownTasks) drawTasks(shownTasks, id)
  draw('task', element('p', { class: 'dim' }, 'Loading…'))
  let version
  while (!signal.aborted) {
    await visible()
    try {
      const response = await ask('/tasks/' + encodeURIComponent(id) + (version ? '?wait=25' : ''), { signal, headers: version ? { 'if-none-match': version } : {} })
      version = response.headers.get('etag')
      if (response.status !== 304) {
        const task = await response.json()
        const waits = (task.subtask_counts.awaiting_approval || 0) + (task.subtask_counts.needs_review || 0) + (task.subtask_counts.blocked || 0) > 0
        const { reviews } = waits ? await (await ask('/reviews?limit=20&task_id=' + encodeURIComponent(id), { signal })).json() : { reviews: [] }
        drawTask(task, reviews)
      }
    } catch (error) {
      if (signal.aborted) return
      if (error.status === 404) return draw('task', element('p', { class: 'dim' }, error.message))
      await pause(2000) // the other loop says what is wrong
    }
  }
}
addEventListener('hashchange', event => {
  follow()
  const chosen = new URL(event.oldURL).hash || !matchMedia('(min-width: 52rem)').matches
  if (chosen) document.getElementById('task').scrollIntoView({ block: 'nearest' })
})
follow()

async function download(path, name) {
  const url = URL.createObjectURL(await (await ask(path)).blob())
  element('a', { href: url, download: name.split('/').pop() }).click()
  setTimeout(() => URL.revokeObjectURL(url), 60000)
}
`
