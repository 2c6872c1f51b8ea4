// Asks whether a Docker engine answers. A client on the PATH says nothing about an engine, and the engine's socket
// may lie there with nobody behind it.

import { request } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type EnvironmentSource, processEnvironment } from '../env.js'

const answerTimeoutMs = 3_000

/** True when an engine answers where Testcontainers would look for one. */
export async function dockerEngineAnswers(env: EnvironmentSource = processEnvironment()): Promise<boolean> {
  const answers = await Promise.all(enginePlaces(env).map(ping))
  return answers.includes(true)
}

type Place = { socketPath: string } | { host: string; port: number }

function enginePlaces(env: EnvironmentSource): Place[] {
  const configured = env.DOCKER_HOST
  if (configured) {
    if (!URL.canParse(configured)) return []
    const url = new URL(configured)
    if (url.protocol === 'unix:') return [{ socketPath: url.pathname }]
    // With TLS the port answers plain HTTP with a refusal, which is an answer too.
    return [{ host: url.hostname, port: Number(url.port || 2375) }]
  }
  return [
    '/var/run/docker.sock',
    ...(env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'docker.sock')] : []),
    join(homedir(), '.docker/run/docker.sock'),
    join(homedir(), '.docker/desktop/docker.sock'),
    `/run/user/${process.getuid?.() ?? 0}/docker.sock`,
  ].map(socketPath => ({ socketPath }))
}

function ping(place: Place): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request({ ...place, path: '/_ping', timeout: answerTimeoutMs }, response => {
      response.resume()
      resolve(response.statusCode !== undefined)
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(false))
    asked.end()
  })
}
