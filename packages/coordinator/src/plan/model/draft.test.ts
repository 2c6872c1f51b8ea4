import { expect, test } from 'vitest'
import { readDraft } from './draft.js'

const draft = { objectives: ['a ```fence``` in a text'], constraints: [], acceptance_criteria: [], subtasks: [] }
const json = JSON.stringify(draft, undefined, 2)

test.each([
  ['bare', json],
  ['in a fence', `\`\`\`json\n${json}\n\`\`\``],
  ['in a fence after words of prose', `Here is the plan that you asked for:\n\n\`\`\`json\n${json}\n\`\`\``],
  ['in a fence between words', `Sure.\r\n  \`\`\`\r\n${json}\r\n\`\`\`\r\nTell me what to change.`],
  ['in a fence that is not closed', `Here:\n\`\`\`json\n${json}`],
])('a draft %s is read', (_, text) => {
  expect(readDraft(text)).toEqual({ ok: true, draft })
})

test.each([
  ['prose', 'I would rather not.'],
  ['two fences', `\`\`\`json\n${json}\n\`\`\`\nor\n\`\`\`json\n${json}\n\`\`\``],
  ['an empty fence', '```json\n```'],
])('%s is no draft, and it is said why', (_, text) => {
  expect(readDraft(text)).toMatchObject({ ok: false, issues: [{ path: 'answer' }] })
})
