/**
 * Finds credentials in a text. Tokens with a form of their own are found by it; passwords by the name they are assigned
 * to, and only when the value looks random. Whoever adds a rule bounds its quantifiers: texts are up to 2 MiB long, and
 * may be hostile.
 */
import { lineIndex } from './lines.js'

export interface Secret {
  /** From 1. */
  readonly line: number
  /** Says what it is, with the value masked. */
  readonly message: string
  /** Where the value stands. */
  readonly start: number
  readonly end: number
}

interface Rule {
  readonly name: string
  /** Its group `value` is the secret. */
  readonly pattern: RegExp
  /** In which files; default: all. */
  readonly path?: RegExp
  /** A further look at what matched. */
  readonly accept?: (value: string, match: RegExpExecArray) => boolean
}

/** A name that holds a secret, and what may follow it up to the assignment. */
const secretName =
  '(?:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|credentials?)(?<suffix>[\\w-]{0,30})'

const rules: readonly Rule[] = [
  {
    name: 'private key',
    pattern:
      /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\r)?(?:\\n|\s)+(?=[\w+/]{20}|Proc-Type|Version|Comment)(?<value>)/dg,
  },
  { name: 'AWS access key', pattern: /\b(?<value>(?:AKIA|ASIA)[0-9A-Z]{16})\b/dg, accept: value => !value.endsWith('EXAMPLE') },
  {
    name: 'AWS secret key',
    pattern: /aws_?secret_?(?:access_?)?key["']?\s{0,5}[=:]\s{0,5}["']?(?<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])/dgi,
    accept: value => !value.includes('EXAMPLE'),
  },
  { name: 'GitHub token', pattern: /\b(?<value>gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b/dg },
  { name: 'GitLab token', pattern: /\b(?<value>glpat-[A-Za-z0-9_-]{20,64})/dg },
  { name: 'Slack token', pattern: /\b(?<value>xox[abeoprs]-[A-Za-z0-9-]{10,250})/dg, accept: value => /\d/.test(value) },
  { name: 'Slack webhook', pattern: /hooks\.slack\.com\/services\/(?<value>T[A-Z0-9]{6,12}\/B[A-Z0-9]{6,12}\/[A-Za-z0-9]{16,32})/dg },
  { name: 'Stripe key', pattern: /\b(?<value>[rs]k_(?:live|test)_[A-Za-z0-9]{16,250})\b/dg },
  { name: 'Google API key', pattern: /\b(?<value>AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])/dg },
  { name: 'npm token', pattern: /\b(?<value>npm_[A-Za-z0-9]{36})\b/dg },
  { name: 'model provider key', pattern: /\b(?<value>sk-(?:ant|proj)-[A-Za-z0-9_-]{20,250})/dg },
  {
    name: 'password in a URL',
    pattern: /:\/\/(?<user>[^\s:@/'"`<>\\]{0,100}):(?<value>[^\s:@/'"`<>\\]{1,200})@[\w[]/dg,
    accept: (value, match) => !isPlaceholder(value) && value !== match.groups?.user && value.length > 3,
  },
  {
    name: 'hard-coded secret',
    pattern: new RegExp(
      `${secretName}["'\\]]{0,2}(?:\\s{0,3}:\\s{0,3}[A-Za-z]{1,20})?\\s{0,5}(?:=>|:=|[:=])\\s{0,5}(?<quote>["'\`])(?<value>[^\\s"'\`\\\\]{8,200})\\k<quote>`,
      'dgi',
    ),
    accept: isAssignedSecret,
  },
  {
    name: 'secret in an environment file',
    path: /(?:^|\/)\.env(?:\.[^/]*)?$|\.(?:env|ini|properties|cfg|conf)$/i,
    pattern: new RegExp(
      `^[ \\t]{0,20}(?:export )?[\\w.-]{0,60}?${secretName}[ \\t]{0,5}[=:][ \\t]{0,5}(?<value>[^\\s"'#]{8,200})[ \\t\\r]{0,20}$`,
      'dgim',
    ),
    accept: isAssignedSecret,
  },
]

/** The secrets of a text in their order; where two rules see one value, the first rule names it. */
export function findSecrets(path: string, text: string): Secret[] {
  const found: Secret[] = []
  const taken = new Set<number>()
  const lineOf = lineIndex(text)
  for (const { name, pattern, path: only, accept } of rules) {
    if (only && !only.test(path)) continue
    for (const match of text.matchAll(pattern)) {
      const [start, end] = match.indices?.groups?.value ?? [match.index, match.index]
      const value = text.slice(start, end)
      if (taken.has(start) || (accept && !accept(value, match))) continue
      taken.add(start)
      found.push({ line: lineOf(match.index), message: value === '' ? name : `${name} ${mask(value)}`, start, end })
    }
  }
  return found.sort((a, b) => a.start - b.start)
}

/** The text with every secret replaced by its mask. */
export function maskSecrets(text: string, secrets: readonly Secret[]): string {
  let masked = ''
  let at = 0
  for (const { start, end } of secrets) {
    if (start < at) continue // inside the one before
    masked += text.slice(at, start) + mask(text.slice(start, end))
    at = end
  }
  return masked + text.slice(at)
}

/** At most four characters, and at most a quarter of the value, are shown. */
function mask(value: string): string {
  return value === '' ? '' : `${value.slice(0, Math.min(4, Math.floor(value.length / 4))).toWellFormed()}***`
}

function isAssignedSecret(value: string, match: RegExpExecArray): boolean {
  // `token_type`, `secretName`, `password_hash`: something about a secret, not the secret.
  if (
    /(?:name|type|path|file|url|uri|field|header|prefix|pattern|regex|schema|label|hash|digest|sha256|id|ref|placeholder|env|var)s?$/i.test(
      match.groups?.suffix ?? '',
    )
  )
    return false
  return !isPlaceholder(value) && looksRandom(value)
}

function isPlaceholder(value: string): boolean {
  if (/^[a-z_-]*(?:pass(?:word|wd)?|pwd|secret|token|admin|root|user|guest)[\d_-]*$/.test(value)) return true
  return /[${}<>%]|^\*+$|^x+$|\*{3}|\.{3}|0123456789|abcdefgh|^urn:|example|change.?me|your|dummy|placeholder|redacted|process\.env/i.test(
    value,
  )
}

/** Letters and digits that hardly repeat: not a word, a path, an identifier or a zeroed UUID. */
function looksRandom(value: string): boolean {
  if (!/\d/.test(value) || !/[A-Za-z]/.test(value)) return false
  if (/^[a-z]+(?:[-_./:][a-z]*\d{0,3})+$/i.test(value)) return false // `agent-token-1`, `/api/v2/token`
  return entropy(value) >= (value.length < 16 ? 2.75 : 3.2)
}

/** Shannon entropy, in bits per character. */
function entropy(value: string): number {
  const counts = new Map<string, number>()
  for (const c of value) counts.set(c, (counts.get(c) ?? 0) + 1)
  let bits = 0
  for (const n of counts.values()) bits -= (n / value.length) * Math.log2(n / value.length)
  return bits
}
