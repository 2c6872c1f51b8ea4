/** The page's own script, third part: what people can tell a task, a review and a worker to do. */
import { fittingDecisions } from '@baton/shared'

export const actionsScript = String.raw`
const fitting = ${JSON.stringify(fittingDecisions)}

/** JSON that people typed is sent as they typed it. Throws a SyntaxError when it is none. */
class Typed {
  constructor(text) { this.text = text }
}
function asTyped(text) {
  JSON.parse(text)
  return new Typed(text)
}

async function act(path, body) {
  const members = Object.entries(body || {}).map(([name, value]) => JSON.stringify(name) + ':' + (value instanceof Typed ? value.text : JSON.stringify(value)))
  await ask(path, { method: 'POST', ...(body ? { body: '{' + members.join(',') + '}', headers: { 'content-type': 'application/json' } } : {}) })
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

/** What fits a subtask's state; the rest is refused by the coordinator, which says what to do instead. */
function subtaskActions(task, subtask) {
  const path = '/tasks/' + encodeURIComponent(task.task_id) + '/'
  const own = path + 'subtasks/' + encodeURIComponent(subtask.subtask_id) + '/'
  const ended = ['completed', 'failed', 'cancelled'].includes(task.status)
  const finished = ['completed', 'failed', 'skipped', 'cancelled'].includes(subtask.state)
  const verbs = {
    Release: [!ended && subtask.state === 'awaiting_approval' && /release/.test(subtask.why || ''), () => act(own + 'release')],
    Retry: [!ended && (subtask.state === 'retrying' || subtask.state === 'blocked'), () => act(own + 'retry', {})],
    Reassign: [!ended && !finished && subtask.cancel !== 'requested', () => openReassign(subtask.name, own + 'reassign')],
    Cancel: [!ended && !finished && subtask.cancel !== 'requested', () => act(own + 'cancel', {}), 'Cancel ' + subtask.name + ', and what depends on it?'],
    Rerun: [task.status !== 'planned' && subtask.state !== 'pending' && subtask.state !== 'awaiting_approval', () => openRerun(subtask.name, path + 'rerun')],
  }
  const offered = Object.entries(verbs).filter(([, [fits]]) => fits).map(([words, [, run, question]]) => [words, run, words + ' subtask ' + subtask.name, question])
  return offered.length > 0 ? expandable('actions:' + subtask.subtask_id, 'Actions', actions('subtask:' + subtask.subtask_id, offered)) : null
}

const headings = { exhausted: 'A decision is needed', unroutable: 'No worker took it in time', approval: 'Approval needed' }

function reviewItem(review) {
  return element('div', { class: 'review', role: 'group', 'aria-label': 'Review ' + review.id },
    element('p', { class: 'small' }, element('strong', {}, headings[review.kind] || 'A decision is needed'), review.subtask ? ' · ' + review.subtask : '', review.assignee ? ' · for ' + review.assignee : '', review.due_at ? ' · due ' + new Date(review.due_at).toLocaleString() : '', review.escalate_to ? ', then for ' + review.escalate_to : '', review.escalated_at ? ' · escalated' : ''),
    element('p', { class: 'small' }, aboutOf(review)),
    actions('review:' + review.id, fitting[review.kind].map(decision => [capital(decision), () => openDecision(review, decision), decision + ' review ' + review.id])))
}

function aboutOf({ kind, detail }) {
  if (kind !== 'exhausted' && kind !== 'unroutable') return detail
  try { return JSON.parse(detail).message || detail } catch { return detail }
}

const agentInput = () => element('input', { required: '', pattern: '[a-z0-9][a-z0-9_.\\-]{0,63}', autocomplete: 'off' })
const jsonInput = attributes => element('textarea', { rows: '6', spellcheck: 'false', ...attributes })
const capital = text => text[0].toUpperCase() + text.slice(1)

function openDecision(review, decision) {
  const output = decision === 'supply' ? jsonInput({ required: '' }) : null
  const agent = decision === 'reassign' ? agentInput() : null
  const reason = element('textarea', { required: '', rows: '2', maxlength: '2000' })
  openForm(capital(decision) + (review.subtask ? ' ' + review.subtask : ''), [['Reason', reason], ['Output, as JSON', output], ['Agent', agent]], 'Decide', () => act('/reviews/' + encodeURIComponent(review.id) + '/decide', {
    decision, reason: reason.value,
    ...(output ? { output: asTyped(output.value) } : {}),
    ...(agent ? { agent: agent.value } : {}),
    ...(review.digest ? { digest: review.digest } : {}), // what was shown is what is decided
  }))
}

function openReassign(name, path) {
  const agent = agentInput()
  openForm('Reassign ' + name, [['Agent', agent]], 'Reassign', () => act(path, { agent: agent.value }))
}

function openRerun(name, path) {
  const input = jsonInput({})
  openForm('Run ' + name + ' again', [['Input, as JSON; empty for the same as before', input]], 'Run again, with what started downstream of it', () =>
    act(path, { from: [name], ...(input.value.trim() ? { input: asTyped(input.value) } : {}) }))
}

/** A dialog with fields [label, element]; it stays, and says what is wrong, until what it is for has been done. */
function openForm(title, fields, words, run) {
  const shown = fields.filter(([, made]) => made)
  const wrong = element('p', { class: 'bad small', role: 'alert' })
  const back = element('button', { type: 'button', class: 'plain' }, 'Back')
  const form = element('form', {}, element('h3', { id: 'form-title' }, title), shown.map(([label, made]) => element('label', {}, label, made)), wrong,
    element('p', { class: 'actions' }, element('button', {}, words), back))
  const dialog = element('dialog', { 'aria-labelledby': 'form-title' }, form)
  back.addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => dialog.remove())
  form.addEventListener('submit', async event => {
    event.preventDefault()
    try {
      await run()
      dialog.close()
      changed()
    } catch (error) {
      wrong.textContent = error instanceof SyntaxError ? 'That is not JSON: ' + error.message : error.message
    }
  })
  document.body.append(dialog)
  dialog.showModal()
  shown[0][1].focus()
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
