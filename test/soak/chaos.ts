/**
 * Faults at random, one at a time: 5 s on, 5 s off. The whole schedule follows from the seed, before anything runs.
 *
 * The last coordinator and the last worker are never killed, so that there is one of each whose memory is seen over the
 * whole run; frozen and cut off they are like the others.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerName } from '@baton/cli/servers'
import {
  type Choices,
  type CoordinatorMember,
  type FaultFleet,
  type FaultProxy,
  type MemberName,
  seeded,
  type WorkerMember,
} from '../faults/kit/index.js'

export const onMs = 5_000
export const everyMs = 10_000

export const coordinators = 2
export const workers = 4

/** Before which stores a proxy stands: of one coordinator, and of two workers of four. */
export const proxies: Partial<Record<MemberName, readonly ServerName[]>> = {
  coordinator1: ['postgres', 'redis', 'nats'],
  worker2: ['redis', 'nats'],
  worker3: ['redis', 'nats'],
}

const members: readonly MemberName[] = ['coordinator0', 'coordinator1', 'worker0', 'worker1', 'worker2', 'worker3']
const mortal: readonly MemberName[] = ['coordinator0', 'worker0', 'worker1', 'worker2']
const servers: readonly ServerName[] = ['postgres', 'redis', 'nats']

export type Fault =
  | { readonly kind: 'kill' | 'freeze' | 'restart'; readonly member: MemberName }
  | { readonly kind: 'cut' | 'stall'; readonly member: MemberName; readonly store: ServerName }
  | { readonly kind: 'server-killed' | 'server-restarted'; readonly store: ServerName }
  | { readonly kind: 'flush' }

const weights: Readonly<Record<Fault['kind'], number>> = {
  kill: 5,
  freeze: 4,
  restart: 2,
  cut: 3,
  stall: 3,
  'server-killed': 2,
  'server-restarted': 1,
  flush: 2,
}

export function schedule(seed: number, count: number): Fault[] {
  const choices = seeded(seed)
  return Array.from({ length: count }, () => oneFault(choices))
}

function oneFault({ pick }: Choices): Fault {
  const kinds = Object.entries(weights).flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind as Fault['kind'])) // its keys
  const kind = pick(kinds)
  if (kind === 'flush') return { kind }
  if (kind === 'server-killed' || kind === 'server-restarted') return { kind, store: pick(servers) }
  if (kind === 'cut' || kind === 'stall') {
    const member = pick(Object.keys(proxies) as MemberName[]) // its keys
    return { kind, member, store: pick(proxies[member] ?? []) }
  }
  return { kind, member: pick(kind === 'freeze' ? members : mortal) }
}

export function faultText(fault: Fault): string {
  if (fault.kind === 'flush') return 'FLUSHALL'
  if (!('member' in fault))
    return fault.kind === 'server-killed' ? `${fault.store} killed, back after ${onMs / 1_000} s` : `${fault.store} restarted`
  if (fault.kind === 'cut' || fault.kind === 'stall')
    return `${fault.member} ${fault.kind === 'cut' ? 'cut from' : 'stalled towards'} ${fault.store}`
  const done = { kill: 'killed', freeze: 'stopped (SIGSTOP)', restart: 'restarted by SIGTERM' }
  return `${fault.member} ${done[fault.kind]}`
}

/** A fault that was, in milliseconds of this machine's clock. */
export interface Happened {
  readonly fault: Fault
  readonly from: number
  /** When all was undone, and what was killed answered again. */
  readonly until: number
  /** Of the process that it met. */
  readonly pid: number | undefined
}

/** Does it, keeps it for its time, undoes it. `signal` ends it early, undone. */
export async function inflict(fleet: FaultFleet, fault: Fault, signal: AbortSignal): Promise<Happened> {
  const from = Date.now()
  const pid = 'member' in fault ? memberOf(fleet, fault.member).pid : undefined
  const undo = await begin(fleet, fault)
  await delay(Math.max(0, from + onMs - Date.now()), undefined, { signal }).catch(() => undefined)
  await undo()
  return { fault, from, until: Date.now(), pid }
}

async function begin(fleet: FaultFleet, fault: Fault): Promise<() => Promise<unknown> | unknown> {
  switch (fault.kind) {
    case 'flush':
      await fleet.redis('FLUSHALL')
      return () => undefined
    case 'server-killed': {
      const server = fleet.servers[fault.store]
      await server.kill()
      return () => server.restart()
    }
    case 'server-restarted':
      await fleet.servers[fault.store].restart()
      return () => undefined
    case 'kill': {
      const member = memberOf(fleet, fault.member)
      await member.kill()
      return () => member.restart()
    }
    case 'restart': {
      const member = memberOf(fleet, fault.member)
      await member.stop()
      return () => member.restart()
    }
    case 'freeze': {
      const member = memberOf(fleet, fault.member)
      member.pause()
      return () => member.resume()
    }
    case 'cut':
    case 'stall': {
      const proxy = proxyOf(memberOf(fleet, fault.member), fault.store)
      proxy[fault.kind]()
      return () => proxy.heal()
    }
  }
}

function memberOf(fleet: FaultFleet, name: MemberName): CoordinatorMember | WorkerMember {
  const n = Number(/\d+$/.exec(name)?.[0])
  return name.startsWith('coordinator') ? fleet.coordinator(n) : fleet.worker(n)
}

function proxyOf({ name, proxies: own }: CoordinatorMember | WorkerMember, store: ServerName): FaultProxy {
  const proxy = own[store]
  if (!proxy) throw new Error(`${name} has no proxy before ${store}`)
  return proxy
}
