/** Whether this is an isolated child. A symbol of the realm, so that every copy of this package answers alike. */
const mark = Symbol.for('baton.isolated-child')

export function markInside(): void {
  Object.defineProperty(globalThis, mark, { value: true })
}

export function isInside(): boolean {
  return mark in globalThis
}
