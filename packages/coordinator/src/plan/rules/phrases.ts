/**
 * Small fixed phrases at the head of a clause: order, politeness, who is to do it, condition, negation, outcome. Each is a
 * sticky pattern tried at a word's first letter, so its cost does not depend on the length of the text.
 */

export type Order = 'then' | 'finally' | 'first' | 'parallel'

const orders: readonly (readonly [Order, RegExp])[] = [
  ['finally', /(?:and )?(?:finally|lastly|last of all|at the (?:very )?end|as (?:a|the) (?:last|final) step|last)\b,?:? ?/y],
  [
    'first',
    /(?:first of all|first off|firstly|first|to begin with|to start with|before anything else|start (?:by|with)|begin (?:by|with)|step (?:1|one)\b:?)\b,?:? ?/y,
  ],
  [
    'parallel',
    /(?:and )?(?:meanwhile|in parallel|at the same time|simultaneously|independently|in the meantime|concurrently|separately|unrelated(?:ly)?|alongside)\b(?: (?:of|to|with) (?:that|this|it))?,?:? ?/y,
  ],
  [
    'then',
    /(?:and |but )?(?:(?:only )?then|next|after(?: all)? (?:that|this|which|these|those|both)(?: (?:is|are) (?:done|ready|finished|complete|merged|reviewed|live))?|afterwards?|subsequently|thereafter|later on|followed by|second(?:ly)?|third(?:ly)?|fourth|fifth|(?:once|when|as soon as) (?:that|this|it|they|these|those|both|all (?:of )?(?:that|this|these|those)|all|everything|the above)(?: parts| of them| steps)?(?:'s|'re| is| are| has| have)?(?: all)?(?: been)? (?:done|finished|complete|completed|ready|in place|merged|in|up|works?|passes|green|through|landed|live|built|reviewed|deployed|working|available|running)|(?:once|when) (?:done|finished|ready|complete|completed|merged))\b,?:? ?/y,
  ],
]

const courtesy =
  /(?:dear|please to|please|pls|plz|kindly|also|just|now|so please|again|additionally|furthermore|moreover|as well as|ok|okay|hey|hi|hello|team|all|folks|and|but|or|plus|therefore|todo|to do|optional|optionally|if possible|asap|task|urgent|quickly|carefully|properly|simply|(?:ideally)|finally,)\b[,:!]? ?/y
const subject =
  /(?:(?:we|i|you|they|somebody|someone|the team|our team|ops|the devs?|the developers?)(?:'d| all| also| still| then| now| really| would)?(?:'ll)? ?(?:(?:need|needs|want|wants|would like|like|have|has|plan|intend|ought|are going|am going|wish|would love)(?: (?:you|someone|somebody|the team|them|us))?(?: also)? to|should|must|will|shall|had better)|(?:can|could|would|will) (?:you|u|we|someone|somebody|they|anybody)(?: please| also| kindly)?(?: to)?|(?:\S{1,30} ){1,3}(?:needs?|wants?|asks?|asked|expects?|would like) (?:us|you|me|someone|the team) to|it(?:'s| is) (?:needed|necessary|required|important) to|(?:start|begin|proceed) to|(?:start|begin|continue)(?= [a-z-]+ing )|let's|let us|(?:i'd|we'd) like(?: you)? to|(?:it )?(?:needs?|has|have) to|(?:want|wants|wanting|looking|going) to|it is time to|it's time to|time to|(?:the|our|your|my) (?:goal|task|aim|idea|job|plan|ask|objective|mission|request) (?:here )?is to|remember to|don't forget to|do not forget to|be sure to|(?:please )?make sure (?:to|you|we)|it would be (?:great|nice|good|helpful)(?: if (?:you|we) (?:could|can))?(?: to)?|help us(?: to)?|try to|feel free to|(?:we|you) (?:are|were) asked to)(?= ) ?/y

/** Words that open a clause about when, not what. */
const subordinates =
  /(?:but )?(?:only )?(before|prior to|ahead of|after|following|once|when|as soon as|until|while|if|unless|in case|provided|assuming|whenever|because|since|where|which|that|who|whose|as|although|though|even though|whereas|given|due to)\b/y
const negations =
  /(?:but |and |please |so )?(?:(?:we |you |it |they |this |there )?(?:do not|don't|dont|does not|doesn't|must not|mustn't|should not|shouldn't|shall not|can not|cannot|can't|may not|will not|won't|need not|needn't|is not|are not)|never|no|not|without|with (?:no|zero|minimal|as little)|avoid|skip|leave|keep|keeping|leaving|preserve|preserving|retain|maintain|avoiding|refrain|only|at most|nothing|none|nobody)\b/y
const outcomes =
  /(?:and |but |please )?(?:so that|such that|so(?= (?:we|users?|that|it|they|customers|people|the|an?|our|all|every|admins?)\b)|making sure|make sure|ensuring|ensure|be sure|verify|verifying|check that|confirm|to make sure|to ensure|in a way that|done when|it is done when|done means|it's done when|this is done when|success means|acceptance)\b(?! to [a-z]+ )/y
const tests =
  /(?:(?:and|plus|including|incl|includes?|with|along with|together with|as well as|complete with|backed by|covered by)\.? )?(?:(?:its|the|their|a|an|some|good|proper|full|matching|new|more|corresponding|solid) ){0,2}(?:(?:add|write|create|provide|include|extend|update|run|cover (?:it|this|them|that|everything) (?:with|by)) )?(?:(?:its|the|their|a|an|some|good|proper|full|matching|new|more|corresponding|few|couple|of) ){0,3}(?:(?:automated|automatic|regression|unit|integration|e2e|end-to-end|acceptance|snapshot|contract|smoke|load|api|ui|browser|property|and|\/|,) ?){0,5}(?:tests?|test cases?|test suite|test coverage|specs)\b/y

function matchAt(pattern: RegExp, plain: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(plain) ? pattern.lastIndex : -1
}

export interface Head {
  readonly order: Order | null
  /** Where the clause itself begins. */
  readonly at: number
  /** It says who should do something: "we need to …". */
  readonly hasSubject: boolean
}

/** Reads past order words, politeness and "we need to". */
export function readHead(plain: string, from: number): Head {
  let at = from
  let order: Order | null = null
  let hasSubject = false
  for (let n = 0; n < 8; n++) {
    const found = orders.map(([kind, pattern]) => [kind, matchAt(pattern, plain, at)] as const).find(([, end]) => end > at)
    if (found) {
      order ??= found[0]
      at = found[1]
      continue
    }
    const end = Math.max(matchAt(courtesy, plain, at), -1)
    if (end > at) {
      at = end
      continue
    }
    const afterSubject = matchAt(subject, plain, at)
    if (afterSubject <= at) break
    at = afterSubject
    hasSubject = true
  }
  return { order, at, hasSubject }
}

/** "before", "once", "if" …: the word that opens a subordinate clause. */
export function subordinateAt(plain: string, at: number): { readonly word: string; readonly end: number } | undefined {
  subordinates.lastIndex = at
  const match = subordinates.exec(plain)
  return match?.[1] ? { word: match[1], end: subordinates.lastIndex } : undefined
}

export const isNegationAt = (plain: string, at: number): boolean => matchAt(negations, plain, at) !== -1
export const isOutcomeAt = (plain: string, at: number): boolean => matchAt(outcomes, plain, at) !== -1
/** "including automated regression tests", "and add unit tests". */
export const areTestsAt = (plain: string, at: number): boolean => matchAt(tests, plain, at) !== -1
/** An order word anywhere, such as a trailing "in parallel". */
export const saysParallel = (plain: string): boolean =>
  /\b(?:in parallel|at the same time|simultaneously|concurrently|independently|in any order)\b/.test(plain)
export const saysInOrder = (plain: string): boolean =>
  /\b(?:in (?:this|that|the following|the given) order|in order:|in sequence|sequentially|step by step|one after (?:the other|another)|one by one|strictly in order|each after the|one at a time|in turn)\b/.test(
    plain,
  )
