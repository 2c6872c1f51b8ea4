/** docs/events.md says what events.ts says, both ways. */
import { eventTable } from '@baton/shared'
import { expect, test } from 'vitest'
import { repositoryFile, tableUnder } from './markdown-table.js'

test('the documented events are those of the code', () => {
  expect(tableUnder(repositoryFile('docs/events.md'), 'Events')).toEqual(
    Object.entries(eventTable).map(([name, meaning]) => [name, meaning.replaceAll('`', '')]),
  )
})
