// The hooks of source-loader.mjs. Rolldown, which Vitest brings along, takes the types away.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { transform } from 'rolldown/utils'

/** For a source, `./x.js` is `./x.ts`, and a package of this repository is its source too. */
export async function resolve(specifier, context, next) {
  if (!context.parentURL?.endsWith('.ts')) return next(specifier, context)
  if (specifier.startsWith('.') && specifier.endsWith('.js')) return next(`${specifier.slice(0, -3)}.ts`, context)
  if (specifier.startsWith('@baton/')) return next(specifier, { ...context, conditions: [...context.conditions, 'baton:source'] })
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context)
  const file = fileURLToPath(url)
  const { code, errors } = await transform(file, await readFile(file, 'utf8'), { target: 'es2023' })
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`)
  return { format: 'module', source: code, shortCircuit: true }
}
