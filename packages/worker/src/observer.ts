/** What a worker tells whoever counts. Implementations neither throw nor wait. */
import type { ClaimReply, Outcome, ReportReply } from '@baton/shared'

export interface WorkerObserver {
  claimed(agent: string, status: ClaimReply['status']): void
  ran(agent: string, outcome: Outcome['kind'], seconds: number): void
  reported(agent: string, status: ReportReply['status']): void
}
