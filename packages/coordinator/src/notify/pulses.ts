/**
 * Pulses between coordinators: "look at Postgres now". They carry no facts and may be lost; timers carry correctness.
 */

import type { Subjects } from '@baton/shared'
import type { Bus, BusSubscription, Service } from '@baton/shared/node'
import { z } from 'zod'
import type { Topic } from './changes.js'

const pulseSchema = z.object({
  from: z.string(),
  ready: z.boolean().optional(),
  fleet: z.boolean().optional(),
  changed: z.array(z.string()).optional(),
  statuses: z.array(z.string()).optional(),
})

interface PulsesOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly coordinatorId: string
  readonly onReady: () => void
  /** Workers came or went. */
  readonly onFleet: () => void
  readonly onChanged: (topic: Topic, taskPks: string[]) => void
}

export class Pulses implements Service {
  readonly name = 'pulses'
  private readonly options: PulsesOptions
  private subscription: BusSubscription | undefined

  constructor(options: PulsesOptions) {
    this.options = options
  }

  async start(): Promise<void> {
    const { bus, subjects, coordinatorId, onReady, onFleet, onChanged } = this.options
    const own = `{"from":${JSON.stringify(coordinatorId)}`
    this.subscription = await bus.subscribe(subjects.pulses, {}, payload => {
      if (payload.startsWith(own)) return // unread: under load they are long, and there may be nobody else
      const pulse = pulseSchema.safeParse(JSON.parse(payload))
      if (!pulse.success) return
      if (pulse.data.ready) onReady()
      if (pulse.data.fleet) onFleet()
      if (pulse.data.changed) onChanged('change', pulse.data.changed)
      if (pulse.data.statuses) onChanged('status', pulse.data.statuses)
    })
  }

  /** Tells the other coordinators. */
  send(pulse: { ready?: boolean; fleet?: boolean; changed?: string[]; statuses?: string[] }): void {
    const { bus, subjects, coordinatorId } = this.options
    bus.publish(subjects.pulses, JSON.stringify({ from: coordinatorId, ...pulse }))
  }

  async stop(): Promise<void> {
    await this.subscription?.unsubscribe()
  }
}
