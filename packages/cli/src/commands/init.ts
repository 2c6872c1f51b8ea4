/** `baton init [DIR]`: a project that runs at once. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { BatonError } from '@baton/shared'
import { shortName } from '../config/load.js'
import { configTemplate, echoTemplate } from '../config/template.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { printLines } from '../output/print.js'

export async function init(dir: string | undefined, options: { force?: boolean }, io: Io): Promise<ExitCode> {
  const folder = resolve(io.cwd, dir ?? '.')
  const files = { 'baton.config.ts': configTemplate, 'echo.mjs': echoTemplate }
  // Another kind of configuration counts too: the new file would be taken in its place.
  const present = [...Object.keys(files), 'baton.config.js', 'baton.config.json'].filter(name => existsSync(join(folder, name)))
  if (present.length > 0 && !options.force)
    throw new BatonError(
      'invalid_configuration',
      `${present.join(' and ')} ${present.length === 1 ? 'is' : 'are'} there already; \`baton init --force\` overwrites baton.config.ts and echo.mjs`,
    )
  await mkdir(folder, { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const place = folder === io.cwd ? '' : shortName(folder, io.cwd)
  printLines(io, [
    `wrote ${Object.keys(files)
      .map(name => join(place, name))
      .join(' and ')}`,
    '',
    'next:',
    ...(place ? [`  cd ${place}`] : []),
    '  baton up                 # runs the coordinator and the agent `echo`, and prints a curl to try',
    '  baton doctor             # says what is wrong, if something is',
  ])
  return exitCodes.done
}
