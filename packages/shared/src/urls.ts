/** What is wrong with a URL, as words that follow its name. */

/** Undefined: it is one, of one of these protocols (`http:`). */
export function urlIssue(text: string, protocols: readonly string[] = ['http:', 'https:']): string | undefined {
  if (URL.canParse(text)) return protocols.includes(new URL(text).protocol) ? undefined : beginning(protocols)
  const port = /^[a-z]+:\/\/[^/?#]*:(\d+)(?:[/?#]|$)/i.exec(text)?.[1]
  return port !== undefined && Number(port) > maxPort ? `must have a port up to ${maxPort}, not ${port.slice(0, 20)}` : beginning(protocols)
}

const maxPort = 65_535

const beginning = (protocols: readonly string[]): string => `must be a URL that begins with ${protocols.map(p => `${p}//`).join(' or ')}`
