import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Every file that docs/flow.md names, with the package that the last full path before it stands in. */
function namedFiles(markdown: string): string[] {
  const files: string[] = []
  let package_ = 'coordinator/src'
  for (const [, path = ''] of markdown.matchAll(/`([a-z0-9-]+(?:\/[a-z0-9-]+)*\.ts)`/g)) {
    const full = /^([a-z]+\/src)\//.exec(path)
    if (full?.[1]) package_ = full[1]
    files.push(full ? path : `${package_ === 'shared/src' ? 'coordinator/src' : package_}/${path}`)
  }
  return files
}

test('every file that docs/flow.md names exists', () => {
  const files = namedFiles(readFileSync(`${root}docs/flow.md`, 'utf8'))
  expect(files.length).toBeGreaterThan(40)
  expect(files.filter(file => !existsSync(`${root}packages/${file}`))).toEqual([])
})
