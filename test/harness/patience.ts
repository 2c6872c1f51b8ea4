/** `vi.waitFor` gives up after a second by default, which a busy machine takes now and then. */
import { vi } from 'vitest'

const timeout = 20_000
const waitFor = vi.waitFor

vi.waitFor = (callback, options) =>
  waitFor(callback, typeof options === 'object' ? { timeout, ...options } : { timeout: options ?? timeout })
