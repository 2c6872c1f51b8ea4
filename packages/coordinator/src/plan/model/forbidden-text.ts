/**
 * What a model may not write anywhere in a plan: addresses and credentials. Agents follow what stands in their briefs, so an
 * address that the model was talked into would be fetched, and a key would be used or stored. The task's own words keep
 * theirs; a brief may point to them.
 */

const addresses: readonly RegExp[] = [
  /\b[a-z][a-z0-9+.-]{1,20}:\/\/\S/i,
  /\bwww\.[a-z0-9-]+\.[a-z]{2,}/i,
  /\b(?:data|javascript|mailto|file):\S/i,
  /\b[a-z0-9._-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}[:/]\S/i, // git@host:path
  /\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5}|\/\S)/,
]

const credentials: readonly RegExp[] = [
  /-----BEGIN [A-Z ]+-----/,
  /\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}/,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/,
  /\bgh[pousr]_[A-Za-z0-9]{20,}/,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/,
  /\bbearer\s+[A-Za-z0-9._~+/-]{16,}/i,
  /\b(?:password|passwd|secret|token|api[-_ ]?key)\s*[:=]\s*\S{4,}/i,
  // Long, and of letters in both cases and digits: no word of any language.
  /\b(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*\d)[A-Za-z0-9+/_-]{40,}\b/,
]

/** What is wrong with a text, or undefined. Does not repeat what it found. */
export function forbiddenIn(text: string): string | undefined {
  const plain = text.normalize('NFKC')
  if (credentials.some(pattern => pattern.test(plain))) return 'holds what looks like a credential; leave it out'
  if (addresses.some(pattern => pattern.test(plain))) return "holds an address; leave it out, and refer to the task's description instead"
  return undefined
}
