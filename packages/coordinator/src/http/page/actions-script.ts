/** The page's own script, third part: what people can tell a task, a review and a worker to do. */
import { fittingDecisions } from '@baton/shared'

export const actionsScript = String.raw`
const fitting = ${JSON.stringify(fittingDecisions)}

async function act(path, body) {
  await ask(path, { method: 'POST', ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}) })
}

/** A row of buttons, each [its words, what it does, its name for those who do not see where it stands, what to ask first]. */
function actions(key, buttons) {
  return element('p', { class: 'actions' }, buttons.map(([words, run, label, question]) => {
    const button = element('button', { type: 'button', 'data-key': key + ':' + words, 'aria-label': label }, words)
    button.addEventListener('click', async () => {
      if (question && !confirm(question)) return
      button.disabled = true
      try {
        await run()
        changed()
      } catch (error) {
        complain(error)
      }
      button.disabled = false
    })
    return button
  }))
}

function taskActions(task) {
  const path = '/tasks/' + encodeURIComponent(task.task_id) + '/'
  const verb = (words, name) => [words, () => act(path + name), words + ' task ' + task.task_id, name === 'cancel' ? 'Cancel ' + task.task_id + '? What runs is aborted.' : null]
  const can = { planned: ['cancel'], running: ['pause', 'cancel'], blocked: ['pause', 'cancel'], needs_review: ['pause', 'cancel'], paused: ['resume', 'cancel'] }[task.status] || []
  const words = { pause: 'Pause', resume: 'Resume', cancel: 'Cancel' }
  return can.length > 0 ? actions('task', can.map(name => verb(words[name], name))) : null
}

function reviewItem(review) {
  return element('div', { class: 'review', role: 'group', 'aria-label': 'Review ' + review.id },
    element('p', { class: 'small' }, element('strong', {}, review.kind === 'exhausted' ? 'Attempts are used up' : review.kind === 'approval' ? 'Approval needed' : 'A decision is needed'), review.subtask ? ' · ' + review.subtask : '', review.assignee ? ' · for ' + review.assignee : '', review.due_at ? ' · due ' + new Date(review.due_at).toLocaleString() : ''),
    element('p', { class: 'small' }, aboutOf(review)),
    actions('review:' + review.id, fitting[review.kind].map(decision => [decision[0].toUpperCase() + decision.slice(1), () => openDecision(review, decision), decision + ' review ' + review.id])))
}

function aboutOf({ kind, detail }) {
  if (kind !== 'exhausted') return detail
  try { return JSON.parse(detail).message || detail } catch { return detail }
}

/** Asks for the reason, and for what else the decision needs. */
function openDecision(review, decision) {
  const field = (label, made) => element('label', {}, label, made)
  const reason = element('textarea', { required: '', rows: '2', maxlength: '2000' })
  const output = decision === 'supply' ? element('textarea', { required: '', rows: '6', spellcheck: 'false' }) : null
  const agent = decision === 'reassign' ? element('input', { required: '', pattern: '[a-z0-9][a-z0-9_.\\-]{0,63}', autocomplete: 'off' }) : null
  const wrong = element('p', { class: 'bad small', role: 'alert' })
  const cancel = element('button', { type: 'button', class: 'plain' }, 'Back')
  const dialog = element('dialog', { 'aria-labelledby': 'decision-title' },
    element('form', {},
      element('h3', { id: 'decision-title' }, decision[0].toUpperCase() + decision.slice(1) + (review.subtask ? ' ' + review.subtask : '')),
      field('Reason', reason), output && field('Output, as JSON', output), agent && field('Agent', agent), wrong,
      element('p', { class: 'actions' }, element('button', {}, 'Decide'), cancel)))
  cancel.addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => dialog.remove())
  dialog.querySelector('form').addEventListener('submit', async event => {
    event.preventDefault()
    try {
      if (output) JSON.parse(output.value)
      const parts = [['decision', JSON.stringify(decision)], ['reason', JSON.stringify(reason.value)]]
      if (output) parts.push(['output', output.value]) // as it was typed
      if (agent) parts.push(['agent', JSON.stringify(agent.value)])
      const body = '{' + parts.map(([name, text]) => JSON.stringify(name) + ':' + text).join(',') + '}'
      await ask('/reviews/' + encodeURIComponent(review.id) + '/decide', { method: 'POST', body, headers: { 'content-type': 'application/json' } })
      dialog.close()
      changed()
    } catch (error) {
      wrong.textContent = error instanceof SyntaxError ? 'The output is not JSON: ' + error.message : error.message
    }
  })
  document.body.append(dialog)
  dialog.showModal()
  reason.focus()
}

/** What a button met; it stays until the next one does. */
function complain(error) {
  if (error.needsKey) return notice(error)
  const dialog = element('dialog', { role: 'alertdialog', 'aria-label': 'It did not work' }, element('p', {}, error.message))
  const ok = element('button', { type: 'button' }, 'OK')
  ok.addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => dialog.remove())
  dialog.append(element('p', { class: 'actions' }, ok))
  document.body.append(dialog)
  dialog.showModal()
}
`
