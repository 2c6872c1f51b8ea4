/** A plan as people read it: a tree of what waits for what, or a table when the graph is too deep or too wide for one. */
import type { SubtaskView, TaskView } from '@baton/shared'
import { colourOf, lookOf, type Paint } from './style.js'
import { tableLines } from './table.js'
import { cut, padEnd, visible, widthOf } from './text.js'

const maxTreeDepth = 8
const maxShown = 200

interface Node {
  readonly subtask: SubtaskView
  /** Names of what it waits for, but for the one that it hangs under. */
  readonly further: string[]
  readonly children: Node[]
  readonly depth: number
}

export function planLines(task: TaskView, { paint, columns }: { paint: Paint; columns: number }): string[] {
  const total = task.metrics.subtasks_total || task.subtasks.length
  const { plan } = task
  const list = (title: string, items: readonly string[]) =>
    items.map((item, i) => `${i === 0 ? padEnd(title, 12) : ' '.repeat(12)}${visible(item)}`)
  const titleRoom = Math.max(10, columns - widthOf(visible(task.task_id)) - task.status.length - 4)
  const head = [
    `${paint('bold', visible(task.task_id))}  ${cut(visible(task.title), titleRoom)}  ${paint(colourOf(task.status), task.status)}`,
    paint(
      'dim',
      `${total} ${total === 1 ? 'subtask' : 'subtasks'}, planned by ${plan.made_by}, priority ${task.priority}${task.metrics.due_date ? `, due ${task.metrics.due_date}` : ''}`,
    ),
    ...list('objectives', plan.objectives),
    ...list('constraints', plan.constraints),
    ...list('accepted if', plan.acceptance_criteria),
    ...plan.diagnostics.map(text => paint('yellow', `note: ${visible(text)}`)),
  ]
  return [...head, '', ...graphLines(task, total, paint)].map(line => cut(line, columns))
}

function graphLines(task: TaskView, total: number, paint: Paint): string[] {
  const roots = treeOf(task)
  const deepest = roots ? Math.max(0, ...[...walk(roots)].map(node => node.depth)) : Number.POSITIVE_INFINITY
  const lines = roots && deepest < maxTreeDepth && task.subtasks.length <= maxShown ? treeLines(roots, paint) : listLines(task, paint)
  const hidden = total - Math.min(task.subtasks.length, maxShown)
  return hidden > 0 ? [...lines, paint('dim', `… ${hidden} more`)] : lines
}

/** Each subtask under the deepest one that it waits for; undefined when not all of them can be placed. */
export function treeOf(task: Pick<TaskView, 'subtasks' | 'dependencies'>): Node[] | undefined {
  const waitsFor = new Map<string, string[]>()
  for (const { from, to } of task.dependencies) waitsFor.set(to, [...(waitsFor.get(to) ?? []), from])
  const nodes = new Map<string, Node>()
  const roots: Node[] = []
  let open = task.subtasks
  while (open.length > 0) {
    const later: SubtaskView[] = []
    for (const subtask of open) {
      const parents = (waitsFor.get(subtask.subtask_id) ?? []).map(id => nodes.get(id))
      if (parents.some(parent => parent === undefined)) {
        later.push(subtask)
        continue
      }
      const placed = parents.filter(parent => parent !== undefined).sort((a, b) => b.depth - a.depth)
      const [parent, ...others] = placed
      const node: Node = { subtask, further: others.map(other => other.subtask.name), children: [], depth: parent ? parent.depth + 1 : 0 }
      nodes.set(subtask.subtask_id, node)
      if (parent) parent.children.push(node)
      else roots.push(node)
    }
    if (later.length === open.length) return undefined // their dependencies are on a later page
    open = later
  }
  return roots
}

function* walk(nodes: readonly Node[]): Generator<Node> {
  for (const node of nodes) {
    yield node
    yield* walk(node.children)
  }
}

function treeLines(roots: readonly Node[], paint: Paint): string[] {
  const rows: { left: string; node: Node }[] = []
  const add = (nodes: readonly Node[], indent: string) =>
    nodes.forEach((node, i) => {
      const last = i === nodes.length - 1
      rows.push({ left: `${indent}${last ? '└─ ' : '├─ '}${visible(node.subtask.name)}`, node })
      add(node.children, `${indent}${last ? '   ' : '│  '}`)
    })
  add(roots, '')
  const leftWidth = Math.max(0, ...rows.map(row => widthOf(row.left)))
  const workWidth = Math.max(0, ...rows.map(row => widthOf(workOf(row.node.subtask))))
  return rows.map(({ left, node: { subtask, further } }) => {
    const notes = [further.length > 0 ? `also after ${further.map(visible).join(', ')}` : '', stateNote(subtask, paint)].filter(
      note => note !== '',
    )
    return `${padEnd(left, leftWidth)}  ${padEnd(workOf(subtask), workWidth)}  ${notes.join('  ')}`.trimEnd()
  })
}

function listLines(task: TaskView, paint: Paint): string[] {
  const names = new Map(task.subtasks.map(subtask => [subtask.subtask_id, subtask.name]))
  const after = new Map<string, string[]>()
  for (const { from, to } of task.dependencies) after.set(to, [...(after.get(to) ?? []), names.get(from) ?? from])
  const rows = task.subtasks.slice(0, maxShown).map(subtask => {
    const waits = after.get(subtask.subtask_id) ?? []
    const shown = waits.length > 4 ? `${waits.slice(0, 4).join(', ')} and ${waits.length - 4} more` : waits.join(', ')
    return [visible(subtask.name), workOf(subtask), visible(shown), stateNote(subtask, paint)]
  })
  return tableLines(['subtask', 'capability', 'after', 'state'], rows)
}

const workOf = (subtask: SubtaskView): string => visible(subtask.agent ?? subtask.capability)

function stateNote({ state, why }: SubtaskView, paint: Paint): string {
  const note = why ? `: ${visible(why)}` : ''
  return state === 'pending' && !why ? '' : paint(lookOf(state).colour, `${state.replaceAll('_', ' ')}${note}`)
}
