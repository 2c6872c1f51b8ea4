/**
 * Words that put a gate before a step: "after approval by ops", "needs sign-off before deploying". A product feature that
 * is about approving ("an Approve button", "managers can approve expenses") is no gate: it is the object of work, or what
 * the product's users do.
 */

const consent =
  '(?:approval|approvals|sign-?offs?|sign off|green light|green-light|go-?ahead|go ahead|thumbs[- ]up|consent|permission|blessing|authori[sz]ation|confirmation|ok|okay)'
const asking = `(?:after|once|upon|until|pending|requires?|requiring|needs?|needing|with|without|gets?|obtain|wait|waits|await|ask|subject to|following|on|give|gives|given|gave|has|stop|pause|hold|behind|prior|before|want|wants|manual|explicit|formal|final|human|receive|received|seek|request)`
const asksForConsent = new RegExp(`\\b${asking}\\b[^.]{0,60}\\b${consent}\\b`)
const approving =
  /\b(?:approves?|approved|signs? (?:it )?off|signed (?:it )?off|has (?:ok'd|okayed|agreed|confirmed)|confirms?|agrees?|says? (?:yes|go|ok))\b/
const opensWithTime = /^(?:but |and )?(?:only )?(?:after|once|when|as soon as|until|unless|if|before)\b/
const duty =
  /\b(?:must|needs? to|has to|have to|should|gets? to|is to|ask \S+(?: \S+)? to|let \S+(?: \S+)?) (?:first )?(?:be )?(?:approved?|sign(?:ed)?(?: it)? off)\b/
const gateWords =
  /\b(?:approval (?:gate|step|needed|required|is (?:needed|required))|(?:manual|human) (?:gate|check|approval)|gated? (?:on|by|behind) )/
/** What a sentence about a gate speaks of; other subjects are the product's. */
const speaksOfWork =
  /\b(?:deploy\w*|releas\w*|roll\w*|migrat\w*|change|changes|it|this|that|production|prod|live|merg\w+|appl(?:y|ying|ied)|steps?|we|i|cut-?over|switch\w*|launch\w*|everything|plan|provision\w*|ship\w*|publish\w*|delet\w*|first|go|work|task|anything|nothing|pipeline|infrastructure)\b|^(?:get|obtain|wait|ask|await|pause|stop|request|seek|requires?|needs?|pending|subject to|manual|approval|sign-?off)/
const productUse =
  /\b(?:users?|customers?|managers? can|can approve|button|workflow|screen|page|dialog|checkbox|notification|e?mail|endpoint|feature|form|status|expenses?|invoices?|orders?|requests? (?:need|require)|bookings?|comments?|leave requests?|vacation)\b/

/** Whether a clause asks for somebody's approval of the work itself. */
export function isApproval(plain: string): boolean {
  if (plain.length > 600) return false
  const asks =
    asksForConsent.test(plain) || duty.test(plain) || gateWords.test(plain) || (opensWithTime.test(plain) && approving.test(plain))
  return asks && !productUse.test(plain)
}

/** Whether a sentence of its own ("Production needs sign-off") asks for approval of the work. */
export function isApprovalSentence(plain: string): boolean {
  return isApproval(plain) && speaksOfWork.test(plain)
}
