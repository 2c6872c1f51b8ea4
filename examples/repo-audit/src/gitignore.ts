/** Git's ignore rules: each folder's `.gitignore`, the nearest one that has an opinion wins. */
import ignore, { type Ignore } from 'ignore'

export interface IgnoreRules {
  /** The folder that the rules belong to, relative to the root and with a `/` at its end; empty for the root. */
  readonly base: string
  readonly matcher: Ignore
  readonly outer: IgnoreRules | null
}

/** The rules inside `folder` (relative to the root, empty for the root), given its `.gitignore` and the rules around it. */
export function addRules(outer: IgnoreRules | null, folder: string, gitignore: string): IgnoreRules | null {
  const matcher = ignore({ ignorecase: false })
  for (const line of gitignore.split('\n')) {
    try {
      matcher.add(line)
    } catch {
      // A pattern that cannot be understood matches nothing, as in git.
    }
  }
  return { base: folder === '' ? '' : `${folder}/`, matcher, outer }
}

/** Whether `path` (relative to the root, with `/`) is ignored. Its parent folders are known not to be. */
export function isIgnored(rules: IgnoreRules | null, path: string, isFolder: boolean): boolean {
  for (let at = rules; at !== null; at = at.outer) {
    const { ignored, unignored } = at.matcher.test(path.slice(at.base.length) + (isFolder ? '/' : ''))
    if (ignored) return true
    if (unignored) return false
  }
  return false
}

/**
 * The rules to go by inside a folder that is not ignored. Where a nearer rule (`!build/`) brought it back that an outer
 * one (`build/`) excludes, the outer rules are told so: else they would still exclude all that is in it.
 */
export function enterFolder(rules: IgnoreRules | null, path: string): IgnoreRules | null {
  if (rules === null) return null
  const outer = enterFolder(rules.outer, path)
  const inside = `${path.slice(rules.base.length)}/`
  if (rules.matcher.test(inside).ignored)
    return {
      base: rules.base,
      outer,
      matcher: ignore({ ignorecase: false })
        .add(rules.matcher)
        .add(`!/${inside.replace(/[\\*?[\]!# ]/g, '\\$&')}`),
    }
  return outer === rules.outer ? rules : { ...rules, outer }
}
