/** `Range: bytes=…` with one range (RFC 9110, 14.2). What asks for several, or in other units, gets the whole. */

export type ByteRange = { readonly from: number; readonly to: number }

const pattern = /^bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})$/i

/** The range within `size` bytes, both ends included; undefined: the whole; `unsatisfiable`: there is nothing there. */
export function rangeOf(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = pattern.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  if (first === '') return last === '0' || size === 0 ? 'unsatisfiable' : { from: Math.max(0, size - Number(last)), to: size - 1 }
  const from = Number(first)
  const to = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < from) return undefined
  return from >= size ? 'unsatisfiable' : { from, to }
}
