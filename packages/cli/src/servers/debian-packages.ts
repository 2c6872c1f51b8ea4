// Installs missing servers on Debian and Ubuntu, when we are root. Only their binaries are wanted: no system service
// is started, because private servers run on ports of their own.

import { readFile } from 'node:fs/promises'
import type { ServerName } from './handle.js'
import { runTool } from './run-tool.js'

const installTimeoutMs = 10 * 60_000

/** The packages by which Debian and Ubuntu know the servers. */
export const debianPackages: Record<ServerName, string> = {
  postgres: 'postgresql',
  redis: 'redis-server',
  nats: 'nats-server',
}

/** True on Debian and its descendants, as root, with an apt-get that answers. */
export async function canInstallPackages(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  if (!/^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release)) return false
  const apt = await runTool({ command: 'apt-get', args: ['--version'], timeoutMs: 5_000 })
  return apt.kind === 'done'
}

// A package asks policy-rc.d before it starts its service; 101 means no. The script puts one there unless the machine
// has its own, and takes it away itself, so that it goes even when this process is gone. For the same reason the
// output is collected inside: a broken pipe would end apt in the middle of an installation.
// Arguments: the policy file, the packages.
const script = `
policy=$1
shift
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
output=$(apt-get update 2>&1 && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" 2>&1)
code=$?
[ $code -eq 0 ] || printf '%s\\n' "$output" | tail -n 20
exit $code
`

/** Installs the packages of the given servers. Throws with the end of apt's output when that fails. */
export async function installPackages(names: readonly ServerName[], policyFile = '/usr/sbin/policy-rc.d'): Promise<void> {
  const packages = names.map(name => debianPackages[name])
  const args = ['-c', script, 'install', policyFile, ...packages]
  const result = await runTool({ command: 'sh', args, timeoutMs: installTimeoutMs, cwd: '/', detached: true })
  if (result.kind === 'failed') {
    throw new Error(`apt-get could not install ${packages.join(', ')}. It printed:\n${result.output.trim()}`)
  }
}
