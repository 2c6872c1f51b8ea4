/**
 * Attempts that a coordinator starts here, in slots that nobody uses: they were queued and started with one
 * commit, and need neither a job that waits nor a claim. A part of the slots is kept for what comes by the queue, so
 * that others' work finds its way; a worker with one slot has none to spare.
 *
 * Invariants: W1 a request is taken once, however often it is repeated: what ran and ended in between does not run again. W2 an
 * agent of which a queue took no job, since it is paused or limited, has nothing to spare for a while: what is for it is
 * better left to that queue. W3 a worker that was not heard for a while claims what it is sent before it runs: the request may be as
 * old as its silence, and what it brings be somebody else's by now.
 */
import { protocolVersion, type Reply, type Spare, type StartReply, startRequestSchema } from '@baton/shared'
import type { JobConsumption, NextJob, Slots } from '@baton/shared/node'
import type { Agent } from './agent.js'
import type { Executor } from './executor.js'
import type { Standing } from './lanes.js'

interface Place {
  readonly agent: Agent
  readonly slots: Slots
  readonly consumption: JobConsumption
}

/** One in so many of an agent's slots is kept for the queues, and one at least. */
const keptSlotsShare = 10
/** So many answers are kept to be given again: a coordinator has few requests under way, and repeats each for a few seconds. */
const maxAnswers = 256
/** How long nothing is started of an agent when a queue took no job of it. */
const heldMs = 5_000

type ExecutorOfStarts = Pick<Executor, 'started' | 'isDraining' | 'withAgents'>

export class Starts {
  private readonly executor: ExecutorOfStarts
  private readonly places = new Map<string, Place>()
  private readonly slots = new Map<string, Slots>()
  private readonly answers = new Map<string, string>()
  /** Until when these agents have nothing to spare, on the process' own clock in ms. */
  private readonly held = new Map<string, number>()

  private readonly isHeard: () => boolean

  /** `isHeard`: whether a coordinator answered a heartbeat lately. */
  constructor(executor: ExecutorOfStarts, isHeard: () => boolean = () => true) {
    this.executor = executor
    this.isHeard = isHeard
  }

  /** An agent consumes a queue. */
  add(queue: string, place: Place): void {
    this.places.set(placeKey(place.agent.name, queue), place)
    this.slots.set(place.agent.name, place.slots)
  }

  standing(): Standing {
    let used = 0
    for (const { active } of this.slots.values()) used += active
    return { spare: this.spare(), busy: { slots: used, waiting: Math.max(0, used - this.executor.withAgents) } }
  }

  /** What coordinators may fill. */
  private spare(): Spare {
    const spare: Record<string, number> = {}
    if (this.executor.isDraining) return spare
    for (const [agent, { free, total }] of this.slots) {
      if (this.isHeld(agent)) continue
      const count = free - Math.ceil(total / keptSlotsShare)
      if (count > 0) spare[agent] = count
    }
    return spare
  }

  private isHeld(agent: string): boolean {
    return (this.held.get(agent) ?? Number.NEGATIVE_INFINITY) > performance.now()
  }

  /** The same job; when its queue does not take it, that is kept in mind. */
  private holding(agent: Agent, job: NextJob): NextJob {
    return {
      ...job,
      giveBack: () => {
        this.held.set(agent.name, performance.now() + heldMs) // W2
        return job.giveBack()
      },
    }
  }

  /** Starts what there are slots for; the answer says which. Throws where it is no such request. */
  async answer(payload: string): Promise<string> {
    const { id, coordinator, items } = startRequestSchema.parse(JSON.parse(payload))
    const before = this.answers.get(id)
    if (before !== undefined) return before // W1
    const isHeard = this.isHeard()
    const started = items.map(({ grant, ...item }) => {
      const place = this.places.get(placeKey(item.agent, item.queue))
      if (!place || this.executor.isDraining || this.isHeld(item.agent)) return false
      const { agent, slots, consumption } = place
      return consumption.begin(turn =>
        this.holding(
          agent,
          this.executor.started(agent, isHeard ? { ...item, grant } : item, coordinator, { hasSpare: () => slots.free > 0, turn }),
        ),
      )
    })
    const reply: Reply<StartReply> = { v: protocolVersion, status: 'ok', body: { started, ...this.standing() } }
    const text = JSON.stringify(reply)
    this.answers.set(id, text)
    for (const oldest of this.answers.keys()) {
      if (this.answers.size <= maxAnswers) break
      this.answers.delete(oldest)
    }
    return text
  }
}

const placeKey = (agent: string, queue: string): string => `${agent} ${queue}`
