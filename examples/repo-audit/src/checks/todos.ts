/** Finds unfinished work: TODO, FIXME, XXX and HACK in comments of the languages whose comments are known. */
import { type Finding, oneLine } from '../finding.js'
import { lineIndex } from './lines.js'

/** A comment's beginning, somewhere before the tag on its line. */
const slashes = /(?:^|[^:])\/\/|\/\*|^\s*\*/
const hash = /(?:^|\s)#/
const dashes = /--/
const markup = /<!--/

const commentStarts: readonly (readonly [extensions: string, start: RegExp])[] = [
  [
    'js mjs cjs jsx ts mts cts tsx go java kt kts scala c h cc cpp cxx hpp cs rs swift php dart proto scss less css zig groovy gradle',
    slashes,
  ],
  ['py rb sh bash zsh pl r yml yaml toml tf hcl ex exs jl nim cfg conf ini properties', hash],
  ['sql lua hs elm adb ads', dashes],
  ['html htm xml svg vue svelte md markdown', markup],
]
const byExtension = new Map(
  commentStarts.flatMap(([extensions, start]) => extensions.split(' ').map(extension => [extension, start] as const)),
)
const byName = /(?:^|\/)(?:Makefile|Dockerfile|Jenkinsfile|\.gitignore|\.env)(?:\.[^/]*)?$/

/** How far before the tag its comment may begin; a bound, because a line may be the whole file. */
const lookBack = 200

export function findTodos(path: string, text: string): Finding[] {
  const start = byExtension.get(path.slice(path.lastIndexOf('.') + 1).toLowerCase()) ?? (byName.test(path) ? hash : undefined)
  if (!start) return []
  const findings: Finding[] = []
  let lineOf: ((offset: number) => number) | undefined
  for (const match of text.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b/g)) {
    const near = text.slice(Math.max(0, match.index - lookBack), match.index)
    const before = near.slice(near.lastIndexOf('\n') + 1)
    const comment = start.exec(before)
    if (!comment) continue
    const after = text.slice(match.index + match[0].length, match.index + 400).split('\n', 1)[0] ?? ''
    // Later in a comment it is a tag only when it is written as one: `TODO:`, `TODO(ann)`.
    const leads = !/[A-Za-z0-9]/.test(before.slice(comment.index + comment[0].length))
    if (!leads && !/^[:(]/.test(after)) continue
    if (/["'`]$/.test(before) || /^["'`/|,]/.test(after)) continue // the word is spoken about
    lineOf ??= lineIndex(text)
    findings.push({
      kind: 'todo',
      path,
      line: lineOf(match.index),
      message: oneLine(`${match[0]}${after.replace(/\s*(?:\*\/|-->)\s*$/, '')}`.trim()),
    })
  }
  return findings
}
