/** Entity tags (RFC 9110): which versions a client says that it has. */

/** Weak, because `elapsed_seconds` moves on while the version stands still. */
export const weakTag = (version: string): string => `W/"${version}"`
export const strongTag = (digest: string): string => `"${digest}"`

/** Whether `If-None-Match` names the tag; weak comparison. */
export function namesTag(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some(candidate => opaque(candidate) === opaque(tag))
}

function opaque(tag: string): string {
  return tag.trim().replace(/^W\//, '')
}
