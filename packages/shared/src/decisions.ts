/** What people send to tasks and reviews: reasons, assignments, decisions. */
import { z } from 'zod'
import { nameSchema } from './names.js'
import { jsonValueSchema, maxSubtasks, subtaskRequestSchema } from './submission.js'

export const reviewKinds = ['approval', 'plan', 'exhausted', 'unroutable'] as const
export type ReviewKind = (typeof reviewKinds)[number]

export const reviewStatuses = ['open', 'decided', 'closed'] as const
export type ReviewStatus = (typeof reviewStatuses)[number]

export const reviewDecisions = ['approve', 'reject', 'retry', 'reassign', 'supply', 'fail'] as const
export type ReviewDecisionName = (typeof reviewDecisions)[number]

/** Which decisions fit which kind of review. */
export const fittingDecisions: Readonly<Record<ReviewKind, readonly ReviewDecisionName[]>> = {
  approval: ['approve', 'reject', 'supply', 'fail'],
  exhausted: ['retry', 'reassign', 'supply', 'fail', 'reject'],
  unroutable: ['retry', 'reassign', 'supply', 'fail', 'reject'],
  plan: ['approve', 'reject'],
}

const reasonSchema = z.string().regex(/\S/, 'must not be empty').max(2_000, 'must be at most 2000 characters')

export const controlRequestSchema = z.strictObject({ reason: reasonSchema.optional() })
export type ControlRequest = z.infer<typeof controlRequestSchema>

export const reassignRequestSchema = z.strictObject({ agent: nameSchema, reason: reasonSchema.optional() })
export type ReassignRequest = z.infer<typeof reassignRequestSchema>

export const rerunRequestSchema = z.strictObject({
  from: z
    .array(z.string().min(1).max(300))
    .min(1, 'must name at least one subtask')
    .max(1_000)
    .meta({ description: 'Names or ids of subtasks. They run again, and with them everything downstream that has started.' }),
  input: jsonValueSchema.optional().meta({ description: 'Replaces the input of the one subtask that `from` names.' }),
  reason: reasonSchema.optional(),
})
export type RerunRequest = z.infer<typeof rerunRequestSchema>

export const replanRequestSchema = z
  .strictObject({
    description: z
      .string()
      .min(1, 'must not be empty')
      .max(100_000, 'must be at most 100000 characters')
      .optional()
      .meta({ description: 'Words for the new plan; default: those of the task.' }),
    subtasks: z
      .array(subtaskRequestSchema)
      .min(1, 'must hold at least one subtask')
      .max(maxSubtasks)
      .optional()
      .meta({ description: 'The new plan itself: of what is not finished, whatever it does not name goes.' }),
    running: z.enum(['keep', 'cancel']).optional().meta({ description: 'What becomes of subtasks that run; default `keep`.' }),
    requires_approval: z.boolean().optional().meta({ description: 'Open a review that applies the change when it is approved.' }),
    reason: reasonSchema.optional(),
  })
  .refine(r => r.description === undefined || r.subtasks === undefined, said('description', 'goes with a plan in words only'))
export type ReplanRequest = z.infer<typeof replanRequestSchema>

const assigneeSchema = z
  .string()
  .regex(/\S/, 'must not be empty; null takes the assignment back')
  .max(200, 'must be at most 200 characters')
  .nullable()

export const assignRequestSchema = z.strictObject({
  assignee: assigneeSchema.meta({ description: 'Null takes the assignment back.' }),
  escalate_to: assigneeSchema.optional().meta({ description: 'Who gets it when it is still open at its due time.' }),
  due_at: z.iso
    .datetime({ offset: true, error: 'must be a date-time, such as 2026-12-01T12:00:00Z' })
    .regex(/^(?!0000)/, 'must not be in the year 0')
    .optional()
    .meta({ description: 'Without it the date stays as it is.' }),
})
export type AssignRequest = z.infer<typeof assignRequestSchema>

export const decideRequestSchema = z
  .strictObject({
    decision: z.enum(reviewDecisions),
    reason: reasonSchema,
    output: jsonValueSchema.optional(),
    agent: nameSchema.optional(),
    digest: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be the digest of a review')
      .optional()
      .meta({ description: 'Of an approval, as it was shown: when what would be approved is no longer that, nothing is decided.' }),
  })
  .refine(r => r.decision !== 'supply' || r.output !== undefined, said('output', 'is required for `supply`'))
  .refine(r => !goesElsewhere(r.decision, 'supply') || r.output === undefined, said('output', 'goes with `supply` only'))
  .refine(r => r.decision !== 'reassign' || r.agent !== undefined, said('agent', 'is required for `reassign`'))
  .refine(r => !goesElsewhere(r.decision, 'reassign') || r.agent === undefined, said('agent', 'goes with `reassign` only'))
export type DecideRequest = z.infer<typeof decideRequestSchema>

/** Keys whose values are kept byte for byte when a rerun is parsed. */
export const rawRerunKeys: ReadonlySet<string> = new Set(['input'])

/** Keys whose values are kept byte for byte when a decision is parsed. */
export const rawDecisionKeys: ReadonlySet<string> = new Set(['output'])

function goesElsewhere(decision: ReviewDecisionName, than: ReviewDecisionName): boolean {
  return decision !== than && reviewDecisions.includes(decision) // an unknown one is told of already
}

function said(key: string, message: string) {
  // Also beside other problems: all are said at once.
  return {
    path: [key],
    message,
    when: ({ value }: { value: unknown }) => value !== null && typeof value === 'object' && !Array.isArray(value),
  }
}
