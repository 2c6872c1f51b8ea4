import { expect, test } from 'vitest'
import { urlIssue } from './urls.js'

test('a URL that is none says how it begins, one with an impossible port says so', () => {
  expect(urlIssue('http://127.0.0.1:7420/x')).toBeUndefined()
  expect(urlIssue('nats://127.0.0.1:4222', ['nats:', 'tls:'])).toBeUndefined()
  for (const text of ['127.0.0.1:7420', 'ftp://x', 'http://', ''])
    expect(urlIssue(text)).toBe('must be a URL that begins with http:// or https://')
  for (const text of ['http://127.0.0.1:99999', 'https://[::1]:65536/x', 'http://user:secret@x:99999?y'])
    expect(urlIssue(text)).toMatch(/^must have a port up to 65535, not \d+$/)
})
