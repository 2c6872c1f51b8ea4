/**
 * Strict JSON, for every text that comes from outside. Beyond RFC 8259 it refuses what a store or another parser would
 * read differently: duplicate keys, `__proto__`, NUL, lone surrogates, numbers that are not finite, integers past
 * 2^53, and nesting past a limit. Values under chosen keys are kept byte for byte beside their parsed form, because
 * Baton stores inputs and outputs as they were sent (I16).
 */
import { BatonError } from './errors.js'

export const maxJsonDepth = 64

/** A JSON value together with the exact text it was sent as. */
export class RawJson {
  readonly text: string
  readonly value: unknown

  constructor(text: string, value: unknown) {
    this.text = text
    this.value = value
  }

  toJSON(): unknown {
    return this.value
  }
}

/** An item whose text can be read, and must not be taken. */
export class UnacceptableJson {
  readonly error: BatonError
  /** As far as it could be taken. */
  readonly value: unknown

  constructor(error: BatonError, value: unknown) {
    this.error = error
    this.value = value
  }
}

export interface StrictJsonOptions {
  /** How deep arrays and objects may nest; default 64. */
  readonly maxDepth?: number
  /** Keys whose values become `RawJson`, unless they stand inside another such value. */
  readonly rawKeys?: ReadonlySet<string>
  /**
   * A key of the outermost object whose list has items that stand for themselves: one that can be read and must not be taken
   * (what Baton refuses beyond RFC 8259, save for the depth) is `UnacceptableJson`, and its neighbours are not refused with it.
   */
  readonly separateItems?: string | undefined
}

/** Parses `text`, or throws `invalid_json` with the place and the reason. */
export function parseStrictJson(text: string, options: StrictJsonOptions = {}): unknown {
  return new StrictJsonParser(text, options).parse()
}

/** The exact text of a value: as it was sent where that is known. */
export function jsonText(value: unknown): string {
  return value instanceof RawJson ? value.text : JSON.stringify(value)
}

/** The value without its text. */
export function plainValue(value: unknown): unknown {
  return value instanceof RawJson ? value.value : value
}

/**
 * The reason why a value that an agent made cannot be stored as JSON, or undefined. Checks what `JSON.stringify` would
 * lose or spoil: depth, NUL, lone surrogates, numbers that are not finite.
 */
export function jsonProblem(value: unknown, maxDepth = maxJsonDepth): string | undefined {
  const stack: { value: unknown; depth: number }[] = [{ value, depth: 0 }]
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { value: v, depth } = top
    if (typeof v === 'string') {
      const problem = textProblem(v)
      if (problem) return problem
    } else if (typeof v === 'number') {
      if (!Number.isFinite(v)) return `holds the number ${v}, which JSON has no word for`
    } else if (typeof v === 'bigint') return 'holds a BigInt, which JSON has no word for'
    else if (v !== null && typeof v === 'object') {
      if (depth >= maxDepth) return `nests deeper than ${maxDepth}`
      if (Array.isArray(v)) for (const item of v) stack.push({ value: item, depth: depth + 1 })
      else
        for (const [key, item] of Object.entries(v)) {
          const problem = textProblem(key)
          if (problem) return problem
          stack.push({ value: item, depth: depth + 1 })
        }
    }
  }
  return undefined
}

function textProblem(text: string): string | undefined {
  if (text.includes('\u0000')) return 'holds a NUL character, which cannot be stored'
  if (!text.isWellFormed()) return 'holds half of a surrogate pair, which is not text'
  return undefined
}

/** The text without what cannot be stored. */
export const storableText = (text: string): string => text.replaceAll('\u0000', '').toWellFormed()

/** Serializes with sorted keys, so that two texts of one value are equal (after RFC 8785). */
export function canonicalJson(value: unknown): string {
  const plain = plainValue(value)
  if (plain === null || typeof plain !== 'object') return JSON.stringify(plain) ?? 'null'
  let text = ''
  if (Array.isArray(plain)) {
    for (const item of plain) text += `${text === '' ? '' : ','}${canonicalJson(item)}`
    return `[${text}]`
  }
  const members = plain as Readonly<Record<string, unknown>> // an object, of which its own keys are read
  for (const key of Object.keys(members).sort()) {
    const member = members[key]
    if (member !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(member)}`
  }
  return `{${text}}`
}

const forbiddenKeys = new Set(['__proto__'])
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none of them in a string
const plainString = /[^"\\\u0000-\u001f]*/y

class StrictJsonParser {
  private readonly text: string
  private readonly maxDepth: number
  private readonly rawKeys: ReadonlySet<string>
  private readonly separateItems: string | undefined
  private at = 0
  private insideRaw = false
  private insideItem = false
  /** The first that is wrong with the item. */
  private wrong: BatonError | undefined
  private line = 1
  private lineStart = 0
  private lineEnd: number | undefined

  constructor(text: string, options: StrictJsonOptions) {
    this.text = text
    this.maxDepth = options.maxDepth ?? maxJsonDepth
    this.rawKeys = options.rawKeys ?? new Set()
    this.separateItems = options.separateItems
  }

  parse(): unknown {
    this.skipSpace()
    if (this.at >= this.text.length) throw this.problem('the body is empty')
    const value = this.value(0)
    this.skipSpace()
    if (this.at < this.text.length) throw this.problem('there is text after the end of the JSON value')
    return value
  }

  private value(depth: number): unknown {
    const c = this.text[this.at]
    switch (c) {
      case '{':
        return this.object(depth)
      case '[':
        return this.array(depth)
      case '"':
        return this.string()
      case 't':
        return this.word('true', true)
      case 'f':
        return this.word('false', false)
      case 'n':
        return this.word('null', null)
      default:
        return this.number()
    }
  }

  private object(depth: number): unknown {
    if (depth >= this.maxDepth) throw this.problem(`the JSON nests deeper than ${this.maxDepth}`)
    const result: Record<string, unknown> = {}
    this.at++
    this.skipSpace()
    if (this.text[this.at] === '}') {
      this.at++
      return result
    }
    for (;;) {
      if (this.text[this.at] !== '"') throw this.problem('a key in double quotes is expected')
      const key = this.string()
      if (Object.hasOwn(result, key)) this.refuse(`the key ${JSON.stringify(key)} stands twice in one object`)
      const forbidden = forbiddenKeys.has(key)
      if (forbidden) this.refuse(`the key ${JSON.stringify(key)} is not allowed`)
      this.skipSpace()
      this.expect(':')
      this.skipSpace()
      const value = this.member(key, depth)
      if (key === 'constructor' && isObject(plainValue(value)) && Object.hasOwn(plainValue(value) as object, 'prototype'))
        this.refuse('the key "constructor" with a "prototype" is not allowed')
      if (!forbidden) result[key] = value
      this.skipSpace()
      if (this.text[this.at] === ',') {
        this.at++
        this.skipSpace()
        continue
      }
      this.expect('}')
      return result
    }
  }

  private member(key: string, depth: number): unknown {
    if (depth === 0 && key === this.separateItems && this.text[this.at] === '[') return this.array(1, true)
    if (this.insideRaw || !this.rawKeys.has(key)) return this.value(depth + 1)
    const begin = this.at
    this.insideRaw = true
    const value = this.value(depth + 1)
    this.insideRaw = false
    return new RawJson(this.text.slice(begin, this.at), value)
  }

  private item(): unknown {
    this.insideItem = true
    this.wrong = undefined
    const value = this.value(2)
    this.insideItem = false
    return this.wrong ? new UnacceptableJson(this.wrong, value) : value
  }

  private array(depth: number, separate = false): unknown[] {
    if (depth >= this.maxDepth) throw this.problem(`the JSON nests deeper than ${this.maxDepth}`)
    const result: unknown[] = []
    this.at++
    this.skipSpace()
    if (this.text[this.at] === ']') {
      this.at++
      return result
    }
    for (;;) {
      result.push(separate ? this.item() : this.value(depth + 1))
      this.skipSpace()
      if (this.text[this.at] === ',') {
        this.at++
        this.skipSpace()
        continue
      }
      this.expect(']')
      return result
    }
  }

  private string(): string {
    const begin = this.at
    this.at++
    for (;;) {
      plainString.lastIndex = this.at
      plainString.exec(this.text)
      this.at = plainString.lastIndex
      const c = this.text[this.at]
      if (c === '"') break
      if (c !== '\\')
        throw this.problem(c === undefined ? 'a string does not end' : 'a string holds a control character that is not escaped')
      this.at += 2
      if (this.at > this.text.length) throw this.problem('a string does not end', this.text.length)
    }
    this.at++
    const quoted = this.text.slice(begin, this.at)
    const value = quoted.includes('\\') ? this.unescape(quoted, begin) : quoted.slice(1, -1)
    const problem = textProblem(value)
    if (problem) this.refuse(`a string ${problem}`, begin)
    return value
  }

  private unescape(quoted: string, begin: number): string {
    try {
      return JSON.parse(quoted) as string // a JSON string, checked for its ends above
    } catch {
      throw this.problem('a string holds an escape that JSON does not have', begin)
    }
  }

  private number(): number {
    const begin = this.at
    const short = this.shortInteger()
    if (short !== undefined) return short
    number.lastIndex = this.at
    const match = number.exec(this.text)
    if (!match)
      throw this.problem(
        this.at >= this.text.length ? 'the JSON ends too early' : `${JSON.stringify(this.text[this.at])} is not expected here`,
      )
    this.at = number.lastIndex
    const value = Number(match[0])
    if (!Number.isFinite(value)) this.refuse(`the number ${match[0]} is too large`, begin)
    if (Number.isInteger(value) && !Number.isSafeInteger(value))
      this.refuse(`the integer ${match[0].slice(0, 40)} is past 2^53; send it as a string`, begin)
    return value
  }

  /** Most numbers are positive integers of a few digits; the pattern costs several times as much. */
  private shortInteger(): number | undefined {
    let value = 0
    for (let i = this.at; i < this.at + 16; i++) {
      const digit = this.text.charCodeAt(i) - 48
      if (digit >= 0 && digit <= 9) {
        if (i > this.at && value === 0) return undefined // a leading zero
        value = value * 10 + digit
        continue
      }
      const c = this.text[i]
      if (i === this.at || c === '.' || c === 'e' || c === 'E') return undefined
      this.at = i
      return value
    }
    return undefined
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.problem(`${JSON.stringify(this.text[this.at])} is not expected here`)
    this.at += word.length
    return value
  }

  private expect(c: string): void {
    if (this.text[this.at] !== c)
      throw this.problem(this.at >= this.text.length ? 'the JSON ends too early' : `${JSON.stringify(c)} is expected here`)
    this.at++
  }

  private skipSpace(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at)
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return
      this.at++
    }
  }

  /** What must not be taken, though it can be read. */
  private refuse(reason: string, at = this.at): void {
    if (!this.insideItem) throw this.problem(reason, at)
    this.wrong ??= this.problem(reason, at)
  }

  private problem(reason: string, at = this.at): BatonError {
    const column = at - this.startOfLine(at) + 1
    return new BatonError('invalid_json', `${reason} (line ${this.line}, column ${column})`)
  }

  /** Goes on from the last place that was asked for: of many items each may have a place. */
  private startOfLine(at: number): number {
    if (at < this.lineStart) [this.line, this.lineStart, this.lineEnd] = [1, 0, undefined]
    for (;;) {
      this.lineEnd ??= this.endOfLine()
      if (this.lineEnd >= at) return this.lineStart
      this.line++
      this.lineStart = this.lineEnd + 1
      this.lineEnd = undefined
    }
  }

  private endOfLine(): number {
    const end = this.text.indexOf('\n', this.lineStart)
    return end === -1 ? Number.POSITIVE_INFINITY : end
  }
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === 'object'
}
