/**
 * Statements that have a name: each connection prepares them once. All are known here, so that one test can look at the plan
 * of each, and so that no two share a name, of which a connection would run the one that it met first.
 */
import type { Statement } from './database.js'

const all = new Map<string, Statement>()

/** By their names, once the modules that state them are loaded. */
export const statements: ReadonlyMap<string, Statement> = all

export function prepared(name: string, text: string): Statement {
  if (all.has(name)) throw new Error(`two statements are called ${name}`)
  const statement = { name, text }
  all.set(name, statement)
  return statement
}
