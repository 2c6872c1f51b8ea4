/** docs/webhooks.md shows how a message is verified: as it stands there, it takes what Baton signs and nothing else. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { newSecret, signedHeaders } from '../../packages/coordinator/src/notify/webhooks/signature.js'
import { repositoryFile } from './markdown-table.js'

type Verify = (secret: string, headers: Record<string, string>, body: string) => unknown

test('the verification that is shown takes what is signed, by any key in force, and refuses the rest', async () => {
  const shown = /```js\n([\s\S]*?)```/.exec(repositoryFile('docs/webhooks.md'))?.[1] ?? ''
  const folder = mkdtempSync(join(tmpdir(), 'baton-webhooks-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'verify.mjs'), shown)
  const { verify } = (await import(pathToFileURL(join(folder, 'verify.mjs')).href)) as { verify: Verify }

  const [old, present, foreign] = [newSecret(), newSecret(), newSecret()]
  const timestamp = Math.floor(Date.now() / 1_000)
  const body = '{"type":"task.completed","n":1.0}'
  const headers = signedHeaders({ id: 'wh-1_7_8', timestamp, body }, [present, old])
  for (const key of [old, present]) expect(verify(key, headers, body)).toEqual({ type: 'task.completed', n: 1 })
  expect(() => verify(foreign, headers, body)).toThrow('not signed by this key')
  expect(() => verify(present, headers, `${body} `)).toThrow('not signed by this key')
  expect(() => verify(present, { ...headers, 'webhook-id': 'wh-1_7_9' }, body)).toThrow('not signed by this key')
  const late = signedHeaders({ id: 'wh-1_7_8', timestamp: timestamp - 400, body }, [present])
  expect(() => verify(present, late, body)).toThrow('too old')
})

test('a signature is that of Standard Webhooks: the example of its specification', () => {
  const headers = signedHeaders({ id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1614265330, body: '{"test": 2432232314}' }, [
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  ])
  expect(headers['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})
