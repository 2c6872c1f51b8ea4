/** Headers of every answer. There is no CORS: pages of other origins read nothing. */
import { createHash } from 'node:crypto'

export const securityHeaders: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
}

/** The policy of a page of ours: exactly these inline texts, and requests to this server. */
export function pagePolicy(inline: { style: string; script?: string }): string {
  const script = inline.script === undefined ? "'none'" : hashSource(inline.script)
  return [
    "default-src 'none'",
    `style-src ${hashSource(inline.style)}`,
    `script-src ${script}`,
    `connect-src ${inline.script === undefined ? "'none'" : "'self'"}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function hashSource(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
