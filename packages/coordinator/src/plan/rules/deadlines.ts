/**
 * How long the work may take: "within 2 hours", "in under 30 minutes", `metadata.sla`. Only when the words speak of the
 * work: a response time, an expiry or a retention period is about the product.
 */
import { maxDurationMs, parseDuration } from '@baton/shared'

const unitsMs: readonly (readonly [RegExp, number])[] = [
  [/^(?:m|min|mins|minutes?)$/, 60_000],
  [/^(?:h|hrs?|hours?)$/, 3_600_000],
  [/^(?:d|days?)$/, 86_400_000],
  [/^(?:business days?|working days?)$/, 86_400_000],
  [/^weeks?$/, 7 * 86_400_000],
]
const amounts: Readonly<Record<string, number>> = {
  a: 1,
  an: 1,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  ten: 10,
  twelve: 12,
  half: 0.5,
  'half a': 0.5,
  'half an': 0.5,
  'a couple of': 2,
  thirty: 30,
  ninety: 90,
  'forty-five': 45,
  fifteen: 15,
  twenty: 20,
  'twenty-four': 24,
  'the hour': 1,
}

const limit =
  /\b(within|in under|in less than|in no more than|in at most|under|in|sla(?: is| of|:| =)?|no longer than|no more than|at most|less than|not exceed|takes? up to|deadline of|turnaround(?: time)?(?: of| is|:)?|time ?box(?:ed)?(?: to| of|:)?|budget of|have|over) (?:the |about |around )?(?:next |coming |max(?:imum)? )?(\d{1,4}(?:\.\d)?|half an?|a couple of|an?|one|two|three|four|five|six|seven|eight|ten|twelve|fifteen|twenty|twenty-four|thirty|forty-five|ninety)(?:\s|-)?(business days?|working days?|minutes?|mins?|min|m|hours?|hrs?|h|days?|d|weeks?)\b/g

/** Words of the product beside a span of time. */
const productTime =
  /\b(?:respon(?:d|ds|se|ses)|load(?:s|ed|ing)?|expir(?:e|es|ed|y|ation)|time ?outs?|timeouts?|sessions?|retention|retain(?:s|ed)?|latency|cach(?:e|es|ed|ing)|tokens?|retr(?:y|ies)|refresh(?:es|ed)?|ttl|interval|poll(?:s|ing)?|deliver(?:s|ed)? (?:e?mails?|messages?|notifications?|webhooks?)|e?mails?|users?|customers?|visitors?|p9\d|p50|per|older|old|ago|last|past|window|rate|requests?|lockout|locked|block(?:s|ed)?|idle|inactiv\w+|heartbeat|reminders?|notif\w+|alert\w*|appear\w*|sync\w*|process(?:es|ed)|return(?:s|ed)?|recover\w*|restor\w+|failover|rto|rpo|queries|query|jobs? (?:run|take)s?|runs? (?:every|in)|builds? (?:run|take|finish)s?|duration|keep|kept|stored|delete[ds]|purge[ds]?|archive[ds]|complain\w*|happen\w*|fail(?:s|ed)|crash\w*|took|takes|taking|every|renders?|starts?|refunds?|return policy|cancel|links?|warn\w*|trial|subscription|shipping|orders?)\b/
const workTime =
  /\b(?:done|finish(?:ed)?|complete[d]?|deliver(?:ed)?|ready|turnaround|needed|need (?:this|it)|please|asap|deadline|sla|this|task|work|each step|every step|per step|everything|whole thing|live|resolved?|fix(?:ed)?|merged|shipped|deployed|rolled out|all of (?:it|this)|time ?box\w*|budget)\b/
/** The clause that a limit stands in begins after one of these. */
const clauseBreak = /[,:(]|\b(?:that|which|where|who|so|when|if|because|and|but)\b/g

/** The limit of the work that a sentence states, in milliseconds, or undefined. */
export function workLimit(plain: string, isOrder: boolean): number | undefined {
  if (plain === '' || plain.length > 4_000) return undefined
  for (const match of plain.matchAll(limit)) {
    const [whole, opener = '', amount = '', unit = ''] = match
    const before = plain.slice(Math.max(0, match.index - 160), match.index)
    const clause = before.slice(lastBreak(before))
    const after = plain.slice(match.index + whole.length, match.index + whole.length + 24)
    const isNamed = opener.startsWith('sla') || opener.startsWith('turnaround') || opener.startsWith('time')
    if (
      /^ (?:of|after|before|per|ago|old|from (?:the|a|each)|window|session|timeout|trial|retention|expiry|ttl|delay|interval|cache|each|every|later)\b/.test(
        after,
      )
    )
      continue
    if (!isNamed && (productTime.test(clause) || isRelative(before))) continue
    if (/^(?:under|in|have|over|at most|less than|no more than)$/.test(opener) && !workTime.test(plain)) continue
    if (/^(?:have|over)$/.test(opener) && !/\bwe\b|\byou\b/.test(clause)) continue
    if (!isNamed && !isOrder && !workTime.test(clause)) continue
    const ms = (amounts[amount] ?? Number(amount)) * (unitsMs.find(([pattern]) => pattern.test(unit))?.[1] ?? Number.NaN)
    if (ms > 0 && ms <= maxDurationMs) return Math.round(ms)
  }
  return undefined
}

/** "… that respond", "so that users …": the span belongs to what is described. */
function isRelative(before: string): boolean {
  return (
    /\b(?:that|which|so that|where|who|when|users|should|can)\b(?! (?:is|it|this|the whole|all|everything|we|be)\b)/.test(
      before.slice(-60),
    ) && !workTime.test(before.slice(-40))
  )
}

function lastBreak(before: string): number {
  let at = 0
  for (const match of before.matchAll(clauseBreak)) at = match.index + match[0].length
  return at
}

/** `metadata.sla`: a number of seconds or a duration. `undefined` when it says neither. */
export function metadataLimit(value: unknown): { readonly ms: number } | { readonly issue: string } | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined
  const ms =
    typeof value === 'number'
      ? value * 1_000
      : /^-?\d+(?:\.\d+)?$/.test(value.trim())
        ? Number(value) * 1_000
        : value.length <= 64
          ? parseDuration(value)
          : undefined
  if (ms === undefined) return undefined
  if (!(ms > 0) || ms > maxDurationMs) return { issue: 'must be more than 0 and at most a year, in seconds or as a duration such as `2h`' }
  return { ms: Math.round(ms) }
}
