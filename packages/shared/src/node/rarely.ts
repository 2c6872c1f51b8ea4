/** The same function, which does nothing when it was called with effect less than `ms` ago: for lines about trouble that lasts. */
export function rarely<A extends readonly unknown[]>(ms: number, act: (...args: A) => void): (...args: A) => void {
  let last = Number.NEGATIVE_INFINITY
  return (...args) => {
    const now = performance.now()
    if (now - last < ms) return
    last = now
    act(...args)
  }
}
