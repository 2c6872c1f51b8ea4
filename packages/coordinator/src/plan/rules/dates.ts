/**
 * When the work is due: "by 2026-12-01", "by Dec 1", "until Friday". A date without a year is the next such date; a
 * weekday is the next one after today. Dates are those of UTC, as `now` is.
 */

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const monthNames =
  '(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\\.?'
const dayNames = '(sunday|monday|tuesday|wednesday|thursday|friday|saturday|sun|mon|tues?|wed|thu(?:rs)?|fri|sat)'
const opener =
  '\\b(by|until|till|before|due(?: date)?(?: by| on| is|:)?|due|no later than|not later than|deadline(?: is|:| of)?|needed on|needed for|(?:ready|done|live|finished|complete|completed|delivered|shipped|merged) (?:on|for)|at the latest on|target date(?: is|:)?|eta:?) (?:the )?(?:end of (?:day )?|latest |morning of )?(?:on )?'

const dateForms: readonly (readonly [RegExp, (match: RegExpExecArray, now: Date) => Date | undefined])[] = [
  [
    new RegExp(`${opener}(\\d{4})-(\\d\\d)-(\\d\\d)(t\\d\\d:\\d\\d(?::\\d\\d)?(?:z|[+-]\\d\\d:\\d\\d))?`, 'g'),
    ([, , y, m, d]) => day(Number(y), Number(m) - 1, Number(d)),
  ],
  [
    new RegExp(`${opener}(?:${dayNames},? )?${monthNames} (\\d{1,2})(?:st|nd|rd|th)?(?:,? (\\d{4}))?\\b`, 'g'),
    ([, , , month, d, y], now) => monthDay(month, d, y, now),
  ],
  [
    new RegExp(`${opener}(?:${dayNames},? )?(?:the )?(\\d{1,2})(?:st|nd|rd|th)? (?:of )?${monthNames}(?:,? (\\d{4}))?\\b`, 'g'),
    ([, , , d, month, y], now) => monthDay(month, d, y, now),
  ],
  [
    new RegExp(`${opener}(?:(next|this|coming) )?(?:coming )?${dayNames}\\b`, 'g'),
    ([, , which, name], now) => weekday(name ?? '', which === 'next', now),
  ],
  [
    new RegExp(
      `${opener}(today|tonight|eod|end of day|the day|day|tomorrow|end of (?:this |the )?week|eow|(?:this |the )?week|weekend|end of (?:this |the )?month|eom|(?:this |the )?month|end of (?:the |this )?year|(?:this |the )?year|next week|next month)\\b`,
      'g',
    ),
    ([whole, , name = ''], now) =>
      /^(?:the )?(?:day|week|month|year)$/.test(name) && !/end of|this/.test(whole) ? undefined : named(name, now),
  ],
]

/** Words that make a date the product's: "orders before …", "valid until …". */
const productDate =
  /\b(?:valid|created|expir\w+|retain\w*|retention|kept|keep|stored?|supported|available|dated|older|active|orders?|invoices? (?:from|sent)|records?|entries|events?|sort(?:ed)?|group(?:ed)?|filter(?:ed)?|shuts? down|sunset|end of life|eol|promotion|sale|offer|campaign|discount|subscription|trial|scheduled?|booked|paid|placed|signed up|removed? (?:data|logs)|delete[ds]?|archive[ds]?|was|were|had been|happened|report(?:ed)? by|requested by|written by)\b/

/** The due date that a sentence states, as `YYYY-MM-DD`, or undefined. */
export function dueDateIn(plain: string, now: Date): string | undefined {
  if (plain.length > 4_000) return undefined
  for (const [form, read] of dateForms) {
    form.lastIndex = 0
    for (let match = form.exec(plain); match; match = form.exec(plain)) {
      const before = plain.slice(Math.max(0, match.index - 48), match.index)
      if (productDate.test(before.slice(lastComma(before)))) continue
      const date = read(match, now)
      if (!date) continue
      const isPast = date.getTime() < startOf(now).getTime()
      if (isPast && /^(?:before|until|till|by)$/.test(match[1] ?? '')) continue
      return date.toISOString().slice(0, 10)
    }
  }
  return undefined
}

/** `metadata.due_date` as it was written, when it is an ISO date or date-time. */
export function metadataDueDate(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 40) return undefined
  return /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/.test(value) && !Number.isNaN(Date.parse(value))
    ? value
    : undefined
}

function lastComma(before: string): number {
  return Math.max(0, before.lastIndexOf(',') + 1)
}

function day(year: number, month: number, date: number): Date | undefined {
  const result = new Date(Date.UTC(year, month, date))
  return result.getUTCMonth() === month && result.getUTCDate() === date ? result : undefined
}

function monthDay(name: string | undefined, date: string | undefined, year: string | undefined, now: Date): Date | undefined {
  const month = months.indexOf((name ?? '').slice(0, 3))
  if (year) return day(Number(year), month, Number(date))
  const thisYear = day(now.getUTCFullYear(), month, Number(date))
  return thisYear && thisYear >= startOf(now) ? thisYear : day(now.getUTCFullYear() + 1, month, Number(date))
}

function weekday(name: string, isNext: boolean, now: Date): Date {
  const wanted = weekdays.indexOf(name.slice(0, 3))
  const today = now.getUTCDay()
  const ahead = ((wanted - today + 6) % 7) + 1
  // "Next Wednesday", said on a Monday, is the one of the week to come.
  const isThisWeek = wanted !== 0 && today !== 0 && wanted > today
  return plusDays(now, isNext && isThisWeek ? ahead + 7 : ahead)
}

function named(name: string, now: Date): Date {
  if (/week/.test(name) || name === 'eow') {
    if (name === 'weekend') return plusDays(now, (6 - now.getUTCDay() + 7) % 7)
    if (name === 'next week')
      return plusDays(now, ((5 - now.getUTCDay() + 7) % 7) + (now.getUTCDay() <= 5 && now.getUTCDay() !== 0 ? 7 : 0))
    return plusDays(now, (5 - now.getUTCDay() + 7) % 7)
  }
  if (/month/.test(name) || name === 'eom')
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + (name === 'next month' ? 2 : 1), 0))
  if (/year/.test(name)) return new Date(Date.UTC(now.getUTCFullYear(), 11, 31))
  return plusDays(now, name === 'tomorrow' ? 1 : 0)
}

const startOf = (now: Date): Date => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()))
const plusDays = (now: Date, days: number): Date => new Date(startOf(now).getTime() + days * 86_400_000)
