/**
 * The one place of the command line that touches `process.env`. Settings of Baton are read by `readEnvironment` of
 * `@baton/shared`; here is only what terminals, npm and child processes need.
 */
import { dirname, resolve } from 'node:path'

export type EnvironmentSource = Readonly<Record<string, string | undefined>>

export function processEnvironment(): EnvironmentSource {
  return process.env
}

/** Whether the terminal is to be written to in colours and redrawn. */
export function terminalWishes(env: EnvironmentSource): { readonly color: boolean; readonly redraw: boolean } {
  const dumb = env.TERM === 'dumb'
  return { color: !env.NO_COLOR && !dumb, redraw: !dumb && !env.CI }
}

/**
 * Where the user called from. `npm run` changes into the folder of package.json and tells the former one in INIT_CWD,
 * which stays set in shells that were started below it; hence both are compared.
 */
export function callerDirectory(env: EnvironmentSource, cwd: string): string {
  const calledFrom = env.INIT_CWD
  const packageFile = env.npm_package_json
  return calledFrom && packageFile && dirname(packageFile) === resolve(cwd) ? calledFrom : cwd
}

/** The environment of a child process: ours without Baton's settings and without those of the stores, then `settings`. */
export function childEnvironment(env: EnvironmentSource, settings: Record<string, string | undefined>): Record<string, string> {
  const inherited = Object.entries(env).filter(
    ([name]) => !/^(BATON_.*|PORT|DATABASE_URL|REDIS_URL|NATS_URL|NODE_OPTIONS|VITEST.*)$/.test(name),
  )
  const all = [...inherited, ...Object.entries(settings)]
  return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== undefined))
}
