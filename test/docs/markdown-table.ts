/** Tables in Markdown, for tests that hold documents equal to code. */
import { readFileSync } from 'node:fs'

/** A file of the repository. */
export function repositoryFile(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

/** The rows below the head of the first table under a heading, as cells without backticks. Throws when there is none. */
export function tableUnder(text: string, heading: string): string[][] {
  const section = text.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))
  if (section === undefined) throw new Error(`there is no heading ${JSON.stringify(heading)}`)
  const [first = '', ...lines] = section.split('\n').slice(section.split('\n').findIndex(line => line.startsWith('|')))
  if (!first.startsWith('|')) throw new Error(`there is no table under ${JSON.stringify(heading)}`)
  const end = lines.findIndex(line => !line.startsWith('|'))
  return lines.slice(1, end < 0 ? undefined : end).map(cellsOf)
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map(cell => cell.trim().replaceAll('`', ''))
}
