/**
 * Which addresses Baton may be told to call. Whoever may register a URL must not reach through it what only this machine can.
 *
 * Invariants: G1 of addresses only public ones are permitted, and those of networks that the settings allow, in whatever
 * spelling: what is judged is the parsed address, never the text. G2 a name is judged by what it resolves to, at
 * registration and again by the very answer that is connected to; so a name that changes its mind gains nothing. G3 nothing
 * but http and https, without user info, and without characters that URL parsers pass over.
 */
import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { BatonError, urlIssue } from '@baton/shared'
import { atMost } from '@baton/shared/node'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = readonly [Address, number]
interface Resolved {
  readonly address: string
  readonly family: number
}

export interface AddressGuardOptions {
  /** Networks that are permitted though they are not public: `10.1.0.0/16`, `127.0.0.1`. */
  readonly networks?: readonly string[]
  /** Default: the system's resolver. */
  readonly resolve?: (name: string) => Promise<readonly Resolved[]>
  /** How long registration waits for a name to be resolved; default 2,000 ms. */
  readonly resolveMs?: number
}

/** The code of the error of a connection that was not made. */
export const refusedAddress = 'BATON_REFUSED_ADDRESS'

const globalUnicast = ipaddr.parseCIDR('2000::/3')
const rememberedMs = 30_000
const rememberedNames = 1_000

export class AddressGuard {
  private readonly networks: readonly Network[]
  private readonly resolve: (name: string) => Promise<readonly Resolved[]>
  private readonly resolveMs: number
  /** Names that were found well a moment ago, for whoever registers many URLs of one host. */
  private readonly remembered = new Map<string, number>()

  /** Throws `invalid_configuration` for networks that are none. */
  constructor(options: AddressGuardOptions = {}) {
    this.networks = (options.networks ?? []).map(networkOf)
    this.resolve = options.resolve ?? systemResolve
    this.resolveMs = options.resolveMs ?? 2_000
  }

  /** What is wrong with a URL; undefined: nothing. A name that cannot be resolved now is judged when it is connected to. */
  async problemOf(text: string): Promise<string | undefined> {
    const host = hostOf(text)
    if ('problem' in host) return host.problem
    const { name } = host
    const address = addressOf(name)
    if (address) return this.permits(address) ? undefined : notPublic(name)
    if (isLocalName(name)) return this.permits('127.0.0.1') ? undefined : notPublic(name)
    if ((this.remembered.get(name) ?? 0) > performance.now()) return undefined
    let found: readonly Resolved[] = []
    await atMost(
      this.resolveMs,
      this.resolve(name).then(
        answer => {
          found = answer
        },
        () => undefined,
      ),
    )
    const refused = found.find(({ address }) => !this.permits(address))
    if (refused) return `leads to ${refused.address}, which is not a public address${remedy}`
    if (found.length > 0) this.remember(name)
    return undefined
  }

  /** Whether an address may be connected to (G1). */
  permits(address: string | Address): boolean {
    const parsed = typeof address === 'string' ? addressOf(address) : address
    if (!parsed) return false
    const plain = parsed.kind() === 'ipv6' ? unmapped(parsed as ipaddr.IPv6) : parsed
    if (this.networks.some(([base, bits]) => base.kind() === plain.kind() && plain.match(base as never, bits))) return true // of one kind, as match wants them
    if (plain.range() !== 'unicast') return false
    return plain.kind() === 'ipv4' || plain.match(globalUnicast as never) // an IPv6 network, as the address is
  }

  /** For `connect`: resolves a name to addresses that are permitted, or fails with `refusedAddress` (G2). */
  readonly lookup: LookupFunction = (name, options, callback) => {
    this.resolve(name).then(
      found => {
        const refused = found.find(({ address }) => !this.permits(address))
        const first = found[0]
        if (refused) callback(refusal(`${name} leads to ${refused.address}, which is not a public address`), [])
        else if (!first) callback(Object.assign(new Error(`${name} has no address`), { code: 'ENOTFOUND' }), [])
        else if (options.all)
          callback(
            null,
            found.map(({ address, family }) => ({ address, family })),
          )
        else callback(null, first.address, first.family)
      },
      error => callback(error as NodeJS.ErrnoException, []), // of the resolver, which rejects with nothing else
    )
  }

  private remember(name: string): void {
    if (this.remembered.size >= rememberedNames) this.remembered.clear()
    this.remembered.set(name, performance.now() + rememberedMs)
  }
}

const remedy = '; private networks are allowed by name in BATON_WEBHOOK_NETWORKS'
const notPublic = (host: string): string => `leads to ${host}, which is not a public address${remedy}`

export function refusal(message: string): Error {
  return Object.assign(new Error(message), { code: refusedAddress })
}

/** The host of a URL, as an address or name in its one spelling (G3). */
export function hostOf(text: string): { readonly name: string } | { readonly problem: string } {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u0020\u007f-\u00a0\u2028\u2029\\]/.test(text))
    return { problem: 'must not hold spaces, line breaks, control characters or backslashes' }
  const problem = urlIssue(text)
  if (problem !== undefined) return { problem }
  const url = new URL(text)
  if (url.username || url.password || /^[^/]*\/\/[^/?#]*@/.test(text)) return { problem: 'must not hold a user or password' }
  // A name may end with the dot of the root, and means the same.
  return { name: url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '') }
}

const isLocalName = (name: string): boolean => /(?:^|\.)localhost$/i.test(name)

function addressOf(text: string): Address | undefined {
  const bare = text.replace(/%.*$/, '') // a zone
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare) ? ipaddr.parse(bare) : undefined
}

function unmapped(address: ipaddr.IPv6): Address {
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}

function networkOf(text: string): Network {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text)
    const address = ipaddr.parse(text)
    return [address, address.kind() === 'ipv4' ? 32 : 128]
  } catch (cause) {
    const issue = `${JSON.stringify(text)} is not a network such as 10.1.0.0/16`
    throw new BatonError('invalid_configuration', `networks that webhooks may reach: ${issue}`, {
      cause,
      fields: [{ path: 'BATON_WEBHOOK_NETWORKS', issue }],
    })
  }
}

function systemResolve(name: string): Promise<readonly Resolved[]> {
  return new Promise((resolve, reject) => {
    systemLookup(name, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)))
  })
}
