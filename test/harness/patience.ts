/** `vi.waitFor` gives up after a second by default, which a busy machine takes now and then. */
import { vi } from 'vitest'

const timeout = 20_000
const waitFor: typeof vi.waitFor & { readonly isPatient?: true } = vi.waitFor

// Files that share a process share `vi` as well.
if (!waitFor.isPatient) {
  const patient: typeof vi.waitFor = (callback, options) =>
    waitFor(callback, typeof options === 'object' ? { timeout, ...options } : { timeout: options ?? timeout })
  vi.waitFor = Object.assign(patient, { isPatient: true as const })
}
