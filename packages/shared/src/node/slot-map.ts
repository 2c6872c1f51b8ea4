/**
 * A map for what comes and goes quickly: its values lie in an array, whose places are used again.
 *
 * A `Map` replaces its table every so many insertions. A table that grew old before it was replaced waits for the next full
 * collection, and until then it keeps all values alive that it held last, with whatever these hold: of thousands of attempts
 * a second a good part grew old for no other reason, and was copied and marked on the way. Here such a table holds keys and
 * numbers.
 */
export class SlotMap<K, V> {
  private readonly places = new Map<K, number>()
  private readonly held: (V | undefined)[] = []
  private readonly free: number[] = []

  get size(): number {
    return this.places.size
  }

  /** How many there were at once, at most. */
  get capacity(): number {
    return this.held.length
  }

  has(key: K): boolean {
    return this.places.has(key)
  }

  get(key: K): V | undefined {
    const place = this.places.get(key)
    return place === undefined ? undefined : this.held[place]
  }

  set(key: K, value: V): void {
    const place = this.places.get(key) ?? this.free.pop() ?? this.held.length
    this.places.set(key, place)
    this.held[place] = value
  }

  /** Answers with what was there. */
  delete(key: K): V | undefined {
    const place = this.places.get(key)
    if (place === undefined) return undefined
    const value = this.held[place]
    this.places.delete(key)
    this.held[place] = undefined
    this.free.push(place)
    return value
  }

  /** In the order in which they were first set. */
  keys(): IterableIterator<K> {
    return this.places.keys()
  }

  /** In the order of their keys. */
  *values(): IterableIterator<V> {
    for (const place of this.places.values()) yield this.held[place] as V // each place is held
  }
}
