/** The page's own script, second part: tasks, one task, workers and agents as elements. */
export const viewsScript = String.raw`
function drawTasks(tasks, selected) {
  if (tasks.length === 0) return draw('tasks', element('h2', {}, 'Tasks'), welcome())
  const items = tasks.map(task => {
    const [progress, words] = bar(task.subtask_counts)
    return element('li', {},
      element('a', { class: 'task', href: '#' + encodeURIComponent(task.task_id), 'data-key': 'task:' + task.task_id, 'aria-current': task.task_id === selected ? 'true' : null },
        element('div', { class: 'row' }, element('strong', {}, task.title), chip(task.status)),
        progress,
        element('div', { class: 'row small dim' }, element('span', {}, task.task_id), element('span', { class: 'together' }, words + ' · ', since(task.created_at, null, ' ago')))))
  })
  draw('tasks', element('h2', {}, 'Tasks'), element('ul', {}, items))
}

function welcome() {
  const key = sessionStorage.getItem(keyName) ? "  -H 'authorization: Bearer YOUR_KEY' \\\n" : ''
  const body = '{"task_id": "hello-1", "title": "Say hello", "execute": true,\n       "subtasks": [{"name": "hello", "capability": "echo"}]}'
  return element('div', {},
    element('p', {}, 'No tasks yet. Submit the first one:'),
    element('pre', { tabindex: '0' }, 'curl ' + location.origin + "/orchestrate \\\n  -H 'content-type: application/json' \\\n" + key + "  -d '" + body + "'"),
    element('p', { class: 'small dim' }, 'It appears here by itself.'))
}

function drawTask(task, reviews) {
  const names = new Map(task.subtasks.map(subtask => [subtask.subtask_id, subtask.name]))
  const before = new Map()
  for (const { from, to } of task.dependencies) before.set(to, [...(before.get(to) || []), names.get(from) || from])
  const artifacts = Map.groupBy ? Map.groupBy(task.artifacts, artifact => artifact.subtask_id) : new Map(task.subtasks.map(({ subtask_id: id }) => [id, task.artifacts.filter(artifact => artifact.subtask_id === id)]))
  const total = task.metrics.subtasks_total
  const [progress, words] = bar(task.subtask_counts)
  draw('task',
    element('div', { class: 'row' }, element('h3', {}, task.title), chip(task.status)),
    element('div', { class: 'facts small dim' },
      element('span', {}, task.task_id),
      element('span', {}, 'priority ' + task.priority),
      element('span', {}, 'planned by ' + task.plan.made_by),
      task.started_at ? since(task.started_at, task.finished_at, task.finished_at ? '' : ' so far') : null,
      element('span', {}, task.metrics.on_time ? 'on time' : 'late'),
      task.metrics.due_date ? element('span', {}, 'due ' + task.metrics.due_date) : null),
    task.description ? element('p', {}, task.description) : null,
    task.why ? element('p', { class: 'why' }, task.why) : null,
    taskActions(task),
    reviews.map(reviewItem),
    progress, element('span', { class: 'small dim' }, words),
    planOf(task),
    element('h4', {}, 'Subtasks'),
    element('ul', {}, task.subtasks.map(subtask => subtaskItem(task, subtask, before.get(subtask.subtask_id) || [], artifacts.get(subtask.subtask_id) || []))),
    task.subtasks_next_cursor ? element('p', { class: 'small dim' }, 'The first ' + task.subtasks.length + ' of ' + total + ' subtasks are shown.') : null,
    expandable('history', 'History', element('ul', { class: 'small' }, task.status_history.map(({ at, to, reason }) => element('li', {}, new Date(at).toLocaleString() + ' · ' + to.replaceAll('_', ' ') + (reason ? ': ' + reason : ''))))))
}

function planOf({ plan }) {
  const lists = [['Objectives', plan.objectives], ['Constraints', plan.constraints], ['Accepted when', plan.acceptance_criteria], ['Notes', plan.diagnostics]].filter(([, items]) => items.length > 0)
  if (lists.length === 0) return null
  return expandable('plan', 'Plan', lists.map(([title, items]) => [element('p', { class: 'small dim' }, title), element('ul', {}, items.map(item => element('li', {}, '– ' + item)))]))
}

function subtaskItem(task, subtask, dependencies, artifacts) {
  const id = subtask.subtask_id
  const finished = ['completed', 'failed', 'skipped', 'cancelled'].includes(subtask.state)
  return element('li', { class: 'subtask' },
    element('div', { class: 'row' }, element('strong', {}, subtask.title || subtask.name), chip(subtask.state)),
    element('div', { class: 'facts small dim' },
      element('span', {}, subtask.agent ? 'agent ' + subtask.agent : 'for ' + subtask.capability),
      subtask.attempt > 0 ? element('span', {}, 'attempt ' + subtask.attempt) : null,
      subtask.generation > 0 ? element('span', {}, 'run ' + (subtask.generation + 1)) : null,
      subtask.cancel ? element('span', {}, 'cancel ' + subtask.cancel) : null,
      subtask.started_at && (finished ? subtask.finished_at : true) ? since(subtask.started_at, subtask.finished_at) : null,
      dependencies.length > 0 ? element('span', {}, 'after ' + (dependencies.length > 6 ? dependencies.slice(0, 6).join(', ') + ' and ' + (dependencies.length - 6) + ' more' : dependencies.join(', '))) : null),
    subtask.why && !finished ? element('p', { class: 'small why' }, subtask.why) : null,
    subtask.progress !== undefined && !finished ? expandable('progress:' + id, 'Progress', json(subtask.progress)) : null,
    subtask.failure ? expandable('failure:' + id, 'Failure: ' + subtask.failure.code, json(subtask.failure.message), subtask.failure.cause ? json(subtask.failure.cause) : null) : null,
    subtask.outputs !== undefined && subtask.outputs !== null ? expandable('outputs:' + id, 'Outputs', json(subtask.outputs)) : null,
    artifacts.map(artifact => artifactLink(task.task_id, artifact)),
    subtaskActions(task, subtask))
}

function artifactLink(taskId, artifact) {
  const path = '/tasks/' + [taskId, 'artifacts', artifact.subtask_id, artifact.name].map(encodeURIComponent).join('/')
  const link = element('a', { href: path, download: '', 'data-key': 'artifact:' + path }, artifact.name)
  link.addEventListener('click', event => {
    if (!sessionStorage.getItem(keyName)) return // a plain link does
    event.preventDefault()
    download(path, artifact.name).catch(notice)
  })
  return element('p', { class: 'small' }, link, element('span', { class: 'dim' }, ' ' + artifact.media_type + ', ' + artifact.bytes + ' bytes'))
}

function drawWorkers(workers) {
  draw('workers', element('h2', {}, 'Workers'), workers.length === 0
    ? element('p', { class: 'dim' }, 'None is connected. Subtasks wait until one is.')
    : element('ul', {}, workers.map(worker => element('li', {},
        element('div', { class: 'row' }, element('strong', {}, worker.id), chip(worker.state)),
        loadBar(worker.active, worker.concurrency),
        element('p', { class: 'small dim' }, worker.active + ' of ' + worker.concurrency + ' slots · ' + worker.host + ' · ' + worker.agents.join(', ')),
        worker.state === 'ready' || worker.state === 'starting' ? actions('worker:' + worker.id, [
          ['Drain', () => act('/workers/' + encodeURIComponent(worker.id) + '/drain'), 'Drain worker ' + worker.id, 'Drain ' + worker.id + '? It ends once what it has is finished.']]) : null))))
}

function drawAgents(agents) {
  draw('agents', element('h2', {}, 'Agents'), agents.length === 0
    ? element('p', { class: 'dim' }, 'None is declared.')
    : element('ul', {}, agents.map(agent => element('li', {},
        element('div', { class: 'row' }, element('strong', {}, agent.name), chip(agent.health)),
        element('p', { class: 'small dim' }, agent.load.active + ' of ' + agent.load.slots + ' slots · ' + agent.capabilities.join(', '))))))
}

function loadBar(active, slots) {
  const made = element('div', { class: 'bar', role: 'img', 'aria-label': active + ' of ' + slots + ' slots busy' })
  for (const [tone, n] of [['busy', active], ['rest', Math.max(slots - active, 0)]]) {
    const span = element('span', { class: tone })
    span.style.flexGrow = String(n)
    made.append(span)
  }
  return made
}
`
