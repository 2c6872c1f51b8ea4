/** `baton config schema`: for `$schema` in baton.config.json, and for editors. */
import { configSchema } from '@baton/shared'
import { z } from 'zod'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'

export function configSchemaCommand(io: Io): ExitCode {
  const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' })
  io.stdout.write(`${JSON.stringify({ ...schema, title: 'baton.config' }, null, 2)}\n`)
  return exitCodes.done
}
