/** `baton doctor`. */
import type { RemoteOptions } from '../client.js'
import { type Check, checkConfigFile, checkCoordinator, checkEnvironment, checkNode, checkServers } from '../doctor/checks.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { printJson, printLines } from '../output/print.js'
import { type Colour, type Paint, paintFor } from '../output/style.js'
import { padEnd, visible } from '../output/text.js'

interface DoctorOptions extends RemoteOptions {
  readonly config?: string
}

export async function doctor(options: DoctorOptions, io: Io): Promise<ExitCode> {
  const { check, environment } = checkEnvironment(io)
  const checks: Check[] = [
    checkNode(process.versions.node),
    check,
    await checkConfigFile(io, options.config ?? (io.env.BATON_CONFIG || undefined)),
    ...(environment
      ? await Promise.all([checkServers(environment), checkCoordinator(environment, options.url ?? environment.url)])
      : []
    ).flat(),
  ]
  if (options.json) printJson(io, { checks })
  else printLines(io, doctorLines(checks, paintFor(io)))
  return exitCodeOfChecks(checks)
}

/** What the user can mend here comes first. */
export function exitCodeOfChecks(checks: readonly Check[]): ExitCode {
  const failed = checks.filter(check => check.state === 'failed')
  if (failed.length === 0) return exitCodes.done
  return failed.some(check => check.kind === 'configuration') ? exitCodes.usage : exitCodes.unreachable
}

const looks: Record<Check['state'], { sign: string; colour: Colour }> = {
  ok: { sign: '✔', colour: 'green' },
  note: { sign: '!', colour: 'yellow' },
  failed: { sign: '✘', colour: 'red' },
}

export function doctorLines(checks: readonly Check[], paint: Paint): string[] {
  const width = Math.max(...checks.map(check => check.name.length))
  return checks.flatMap(({ name, state, says, remedy }) => {
    const { sign, colour } = looks[state]
    return [`${paint(colour, sign)} ${padEnd(name, width)}  ${visible(says)}`, ...(remedy ? [`  ${' '.repeat(width)}  → ${remedy}`] : [])]
  })
}
