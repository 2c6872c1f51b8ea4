/**
 * Which subtask comes (through others) before which. Templates may refer to any transitive dependency, so a graph of
 * 100,000 subtasks can ask 100,000 such questions; a walk for each would be quadratic.
 *
 * Three answers, cheapest first: a direct dependency; an ancestor in the forest of first dependencies, told by two
 * numbers (this answers every question about a chain); else one pass over the graph for 32 targets at a time.
 */

export interface Question {
  readonly node: number
  /** Does `node` depend on it? */
  readonly target: number
}

/** Answers all questions of an acyclic graph. `order` has dependencies first. */
export function dependsOn(
  questions: readonly Question[],
  dependencies: readonly (readonly number[])[],
  order: readonly number[],
): boolean[] {
  if (questions.length === 0) return []
  const isForestAncestor = firstDependencyForest(dependencies, order)
  const answers = questions.map(({ node, target }) => dependencies[node]?.includes(target) === true || isForestAncestor(target, node))
  const open = new Map<number, number[]>()
  questions.forEach(({ target }, n) => {
    if (answers[n]) return
    const asked = open.get(target)
    if (asked) asked.push(n)
    else open.set(target, [n])
  })
  const targets = [...open.keys()]
  for (let from = 0; from < targets.length; from += 32) {
    const chunk = targets.slice(from, from + 32)
    const reached = passDown(chunk, dependencies, order)
    chunk.forEach((target, bit) => {
      for (const n of open.get(target) ?? []) {
        const node = questions[n]?.node ?? -1
        answers[n] = node !== target && ((reached[node] ?? 0) & (1 << bit)) !== 0
      }
    })
  }
  return answers
}

/** For every node, which of the (at most 32) targets it is or depends on, as bits. */
function passDown(targets: readonly number[], dependencies: readonly (readonly number[])[], order: readonly number[]): Int32Array {
  const reached = new Int32Array(dependencies.length)
  targets.forEach((target, bit) => {
    reached[target] = 1 << bit
  })
  for (const node of order) {
    let bits = reached[node] ?? 0
    for (const dependency of dependencies[node] ?? []) bits |= reached[dependency] ?? 0
    reached[node] = bits
  }
  return reached
}

/** Numbers the forest in which each node hangs below its first dependency; an ancestor's interval encloses its descendants'. */
function firstDependencyForest(
  dependencies: readonly (readonly number[])[],
  order: readonly number[],
): (ancestor: number, node: number) => boolean {
  const count = dependencies.length
  const size = new Int32Array(count).fill(1)
  const parentOf = (node: number): number => dependencies[node]?.[0] ?? -1
  for (let n = order.length - 1; n >= 0; n--) {
    const node = order[n] as number // below the length
    const parent = parentOf(node)
    if (parent >= 0) size[parent] = (size[parent] ?? 0) + (size[node] ?? 0)
  }
  const begin = new Int32Array(count)
  const free = new Int32Array(count)
  let roots = 0
  for (const node of order) {
    const parent = parentOf(node)
    if (parent < 0) {
      begin[node] = roots
      roots += size[node] ?? 0
    } else {
      begin[node] = free[parent] ?? 0
      free[parent] = (free[parent] ?? 0) + (size[node] ?? 0)
    }
    free[node] = (begin[node] ?? 0) + 1
  }
  return (ancestor, node) => {
    const from = begin[ancestor] ?? 0
    const at = begin[node] ?? 0
    return ancestor !== node && at > from && at < from + (size[ancestor] ?? 0)
  }
}
