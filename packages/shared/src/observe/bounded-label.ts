/** A label whose values others choose: the first so many are told apart, the rest is counted together. */
export class BoundedLabel {
  static readonly rest = 'other'
  private readonly known = new Set<string>()
  private readonly limit: number

  constructor(limit = 200) {
    this.limit = limit
  }

  /** The value to count under. */
  of(value: string): string {
    if (this.known.has(value)) return value
    if (this.known.size >= this.limit) return BoundedLabel.rest
    this.known.add(value)
    return value
  }
}
