/** Networks as settings name them. */
import { z } from 'zod'

const schema = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()])

/** An address, or an address with the length of its prefix: `10.1.0.0/16`, `fd00::/8`. */
export function isNetwork(text: string): boolean {
  return schema.safeParse(text).success
}
