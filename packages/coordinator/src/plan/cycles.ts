/**
 * The order of a graph: its nodes with dependencies first, and the cycles that forbid one. Nodes are numbers, so that
 * 100,000 of them take milliseconds; Tarjan's algorithm with a stack of its own, so that a chain of 100,000 does not
 * overflow the engine's.
 */

export interface Ordering {
  /** All nodes, each after what it depends on; meaningless inside a cycle. */
  readonly order: readonly number[]
  /** One cycle for each knot of the graph, as a path in which each node depends on the next one, and the last on the first. */
  readonly cycles: readonly (readonly number[])[]
}

/** `dependencies[n]` are the nodes that `n` depends on; dependencies of a node on itself are ignored. */
export function orderGraph(dependencies: readonly (readonly number[])[]): Ordering {
  const count = dependencies.length
  const index = new Int32Array(count).fill(-1)
  const low = new Int32Array(count)
  const next = new Int32Array(count)
  const onPath = new Uint8Array(count)
  const path: number[] = []
  const order: number[] = []
  const cycles: number[][] = []
  let counter = 0

  for (let root = 0; root < count; root++) {
    if (index[root] !== -1) continue
    const stack = [root]
    while (stack.length > 0) {
      const node = stack[stack.length - 1] as number // the stack is not empty
      if (index[node] === -1) {
        index[node] = low[node] = counter++
        path.push(node)
        onPath[node] = 1
      }
      const edges = dependencies[node] ?? []
      let child = -1
      while ((next[node] ?? 0) < edges.length) {
        const candidate = edges[next[node] ?? 0] as number // below the length
        next[node] = (next[node] ?? 0) + 1
        if (index[candidate] === -1) {
          child = candidate
          break
        }
        if (onPath[candidate]) low[node] = Math.min(low[node] ?? 0, index[candidate] ?? 0)
      }
      if (child !== -1) {
        stack.push(child)
        continue
      }
      stack.pop()
      const parent = stack[stack.length - 1]
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0)
      if (low[node] !== index[node]) continue
      const knot = path.splice(path.lastIndexOf(node))
      for (const member of knot) onPath[member] = 0
      for (const member of knot) order.push(member)
      if (knot.length > 1) cycles.push(shortestCycle(node, new Set(knot), dependencies))
    }
  }
  return { order, cycles }
}

/** The shortest way from `start` back to itself inside a knot. */
function shortestCycle(start: number, knot: ReadonlySet<number>, dependencies: readonly (readonly number[])[]): number[] {
  const cameFrom = new Map<number, number>()
  const queue = [start]
  for (const node of queue)
    for (const dependency of dependencies[node] ?? []) {
      if (dependency === start && node !== start) {
        const cycle = [node]
        for (let at = node; at !== start; cycle.push(at)) at = cameFrom.get(at) ?? start
        return cycle.reverse()
      }
      if (dependency === start || !knot.has(dependency) || cameFrom.has(dependency)) continue
      cameFrom.set(dependency, node)
      queue.push(dependency)
    }
  return [start]
}
