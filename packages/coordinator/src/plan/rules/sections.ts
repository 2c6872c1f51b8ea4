/** Headings and labels that say what the text below them is. */

/**
 * `work`: what is to be done. `acceptance`, `constraint`: what must hold. `excluded`: what is not to be done.
 * `background`: what was seen, said or tried; nothing in it is work.
 */
export type Section = 'work' | 'acceptance' | 'constraint' | 'excluded' | 'background'

const meanings: readonly (readonly [Section, RegExp])[] = [
  [
    'acceptance',
    /^(?:acceptance|acceptance (?:criteria|tests?|criterion)|definition of done|done when|it is done when|we are done when|success criteria|criteria|expected (?:outcome|result)s?|requirements?|must haves?|dod|ac)$/,
  ],
  [
    'constraint',
    /^(?:constraints?|limitations?|restrictions?|guardrails?|rules|ground rules|non-functional requirements|boundaries|must not|don'ts|conditions)$/,
  ],
  [
    'excluded',
    /^(?:out of scope|not in scope|non-goals?|non goals?|excluded|exclusions|not included|won't do|do not|not now|later|future work|future|nice to have)$/,
  ],
  [
    'background',
    /^(?:(?:steps to|how to|to) reproduce|repro(?:duction)?(?: steps)?|steps to repro|str|background|context|history|motivation|why|rationale|problem|problem statement|symptoms?|observed(?: behaviou?r)?|actual(?: behaviou?r| result)?|expected(?: behaviou?r)?|current(?: behaviou?r| state| situation)|environment|logs?|log output|output|stack ?trace|error|error message|notes?|fyi|note|references?|links?|see also|related|resources|attachments?|screenshots?|example|examples|quote|status|already done|done|done so far|completed|so far|what (?:we|i) (?:did|tried|have done|know|saw)|timeline|impact|root cause|analysis|findings|from|to|cc|subject|sent|date|reporter|reported by|requester|version|user story|discussion|glossary)$/,
  ],
  [
    'work',
    /^(?:tasks?|to ?do|to-do|todos|steps|work|plan|scope|in scope|deliverables?|checklist|what to do|what we need|action items|actions|proposal|solution|proposed (?:solution|change|fix)|request|goal|goals|objectives?|subtasks|fix|description|summary|next steps)$/,
  ],
]

/** What a heading announces, or undefined when it is one of the writer's own. */
export function sectionOf(heading: string): Section | undefined {
  const words = heading
    .slice(0, 80)
    .toLowerCase()
    .replace(/[*_`#:]/g, '')
    .trim()
  return meanings.find(([, pattern]) => pattern.test(words))?.[0]
}
