/** What stands in paths. */
import { artifactNameSchema, nameSchema, taskIdSchema } from '@baton/shared'
import { z } from 'zod'
import { line } from '../query.js'

export const taskPath = z.strictObject({ task_id: taskIdSchema })
export const subtaskPath = z.strictObject({ task_id: taskIdSchema, subtask_id: line(512) })
export const artifactPath = z.strictObject({ task_id: taskIdSchema, subtask_id: line(512), name: artifactNameSchema })
export const workerPath = z.strictObject({ id: line(200) })
export const orchestratorPath = z.strictObject({ id: nameSchema })
export const reviewPath = z.strictObject({ id: line(64) })
export const keyPath = z.strictObject({ id: nameSchema })
export const webhookPath = z.strictObject({ id: nameSchema })
export const deliveryPath = z.strictObject({ id: nameSchema, delivery_id: line(64) })
