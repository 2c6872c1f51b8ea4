/** Finds functions of more than 80 lines: by braces in the languages that have them, by indentation in Python. */
import type { Finding } from '../finding.js'
import { blankOut, type Lexis } from './blank-out.js'
import { lineIndex } from './lines.js'

const maxLines = 80
/** How much of the text before a brace is looked at for a function's head. */
const maxHeadLength = 600

interface Language extends Lexis {
  /** The word that begins a function. */
  readonly keyword?: RegExp
  /** What stands before the brace of an anonymous function. */
  readonly arrow?: RegExp
  /** Whether `name(…) {` is a function or method. */
  readonly bare: boolean
}

const script: Language = { singleQuotes: true, backticks: 'template', regexes: true, keyword: /\bfunction\b/, arrow: /=>$/, bare: true }
const cLike: Language = { singleQuotes: false, backticks: 'none', regexes: false, bare: true }
const go: Language = { singleQuotes: false, backticks: 'raw', regexes: false, keyword: /\bfunc\b/, bare: false }
const java: Language = { ...cLike, arrow: /->$/ }
const csharp: Language = { ...cLike, arrow: /=>$/ }
const rust: Language = { ...cLike, keyword: /\bfn\b/, bare: false }
const php: Language = { singleQuotes: true, backticks: 'none', regexes: false, keyword: /\bfunction\b/, bare: false }

const languages: Readonly<Record<string, Language>> = {
  js: script,
  mjs: script,
  cjs: script,
  jsx: script,
  ts: script,
  mts: script,
  cts: script,
  tsx: script,
  c: cLike,
  h: cLike,
  cc: cLike,
  cpp: cLike,
  cxx: cLike,
  hpp: cLike,
  go,
  java,
  cs: csharp,
  rs: rust,
  php,
}

export function findLongFunctions(path: string, text: string): Finding[] {
  const extension = path.slice(path.lastIndexOf('.') + 1).toLowerCase()
  const language = Object.hasOwn(languages, extension) ? languages[extension] : undefined
  const functions = language ? functionsByBraces(text, language) : extension === 'py' ? functionsByIndentation(text) : []
  return functions
    .map(({ name, first, last }) => ({ name, line: first, lines: last - first + 1 }))
    .filter(({ lines }) => lines > maxLines)
    .map(({ name, line, lines }) => ({ kind: 'long_function', path, line, message: `${name} is ${lines} lines long` }))
}

interface FunctionRange {
  readonly name: string
  readonly first: number
  readonly last: number
}

interface Block {
  /** Of a function; null for any other block. */
  readonly name: string | null
  readonly first: number
  /** Where the statement begins that the block is part of. */
  readonly headStart: number
  /** An object or a pattern within a statement: the statement goes on behind it. */
  readonly withinStatement: boolean
}

function functionsByBraces(text: string, language: Language): FunctionRange[] {
  const code = blankOut(text, language)
  const lineOf = lineIndex(code)
  const functions: FunctionRange[] = []
  const blocks: Block[] = []
  let headStart = 0
  let parentheses = 0
  for (const match of code.matchAll(/[{}();]/g)) {
    const at = match.index
    if (match[0] === '(') parentheses++
    else if (match[0] === ')') parentheses--
    else if (match[0] === ';') {
      if (parentheses <= 0) headStart = at + 1 // those within `for (;;)` end nothing
    } else if (match[0] === '{') {
      const from = Math.max(headStart, at - maxHeadLength)
      const head = code.slice(from, at)
      const withinStatement = /[(,=:[?&|<]$/.test(head.trimEnd())
      const name = withinStatement ? null : functionName(head.trim().replace(/\s+/g, ' '), language)
      const first = lineOf(from + (head.length - head.trimStart().length))
      blocks.push({ name, first, headStart, withinStatement })
      headStart = at + 1
      parentheses = 0
    } else {
      const block = blocks.pop()
      if (block && block.name !== null) functions.push({ name: block.name, first: block.first, last: lineOf(at) })
      headStart = block?.withinStatement ? block.headStart : at + 1
      parentheses = 0
    }
  }
  return functions
}

/** The name of the function whose body follows `head`, or null when no function's does. */
function functionName(head: string, { keyword, arrow, bare }: Language): string | null {
  if (/\b(?:describe|suite)(?:\.\w+)?\s?\(/.test(head)) return null // a suite of tests is a list, however it is written
  if (keyword?.test(head)) {
    const named = /\b(?:function\s?\*?|func|fn)\s+(?:\([^()]*\)\s?)?([\p{L}\w$]+)/u.exec(head)
    return named?.[1] ? `function ${named[1]}` : assignedName(head)
  }
  if (arrow?.test(head)) return /^(?:case|default)\b/.test(head) ? null : assignedName(head)
  if (!bare) return null
  if (
    /^(?:\}?\s?else|if|for|foreach|while|switch|catch|with|do|try|finally|using|lock|fixed|synchronized|return|throw|new|case|default|namespace)\b|\b(?:class|interface|enum|struct|union|record|new)\b[^()]*$|=\s?new\b|@interface/.test(
      head,
    )
  )
    return null
  const method = /([\p{L}\w$~]+)\s?(?:<[^<>()]*>\s?)?\(.*\)(?:[^();={}]*|\s?:\s?[^;]*)$/u.exec(head)
  if (!method?.[1] || /^(?:if|for|foreach|while|switch|catch|with)$/.test(method[1])) return null
  return `function ${method[1]}`
}

function assignedName(head: string): string {
  const assigned = /([\p{L}\w$]+)\s?(?::[^=]{1,80})?[=:]\s?(?:async\s?)?(?:function|\(|[\w$]+\s?=>)/u.exec(head)
  return assigned?.[1] ? `function ${assigned[1]}` : 'an anonymous function'
}

/** A function lasts while lines are indented deeper than its `def`. */
function functionsByIndentation(text: string): FunctionRange[] {
  const functions: FunctionRange[] = []
  const open: { name: string; indent: number; first: number; last: number }[] = []
  const close = (indent: number) => {
    for (let top = open.at(-1); top && top.indent >= indent; top = open.at(-1)) functions.push(...open.splice(-1))
  }
  const code = text.replace(/("""|''')[\s\S]*?\1/g, quoted => quoted.replace(/[^\n]/g, ' '))
  code.split('\n').forEach((line, n) => {
    const content = line.trimStart()
    if (content === '' || content.startsWith('#')) return
    const indent = line.length - content.length
    if (!/^[)\]}]/.test(content)) close(indent) // a closing bracket ends a signature that took several lines
    for (const function_ of open) function_.last = n + 1
    const named = /^(?:async\s+)?def\s+([\p{L}\w]+)/u.exec(content)
    if (named?.[1]) open.push({ name: `function ${named[1]}`, indent, first: n + 1, last: n + 1 })
  })
  close(0)
  return functions
}
