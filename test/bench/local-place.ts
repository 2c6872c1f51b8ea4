/** A temporary folder with a configuration that hosts the no-op agent. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface LocalPlace {
  readonly dir: string
  readonly config: string
}

/** Removes the folder when `work` is done, however it ended. */
export async function withLocalPlace<T>(work: (place: LocalPlace) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'baton-bench-'))
  try {
    const config = join(dir, 'baton.config.json')
    const module = fileURLToPath(new URL('./no-op-agent.js', import.meta.url))
    await writeFile(config, JSON.stringify({ agents: [{ name: 'no-op', kind: 'module', module }] }))
    return await work({ dir, config })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
