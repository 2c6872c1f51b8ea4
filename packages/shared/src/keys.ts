/** API keys as people make and see them, and what their scopes allow. */
import { z } from 'zod'

/** From the least to the most; each may do what those before it may. */
export const keyLevels = ['read', 'submit', 'operate', 'admin'] as const
/** `worker` stands apart: what the host of a worker needs, and nothing else. */
export const keyScopes = [...keyLevels, 'worker'] as const
export type KeyScope = (typeof keyScopes)[number]

/** What a request needs: nothing, or a key of one of these scopes. */
export type Access = 'open' | { readonly level: (typeof keyLevels)[number]; readonly worker?: boolean }

/** Whether a key of this scope may do what needs that. */
export function allows(scope: KeyScope, needed: Access): boolean {
  if (needed === 'open') return true
  if (scope === 'worker') return needed.worker === true
  return keyLevels.indexOf(scope) >= keyLevels.indexOf(needed.level)
}

/** What a key looks like, so that one that went astray is found: 256 random bits behind `baton_`. */
export const keyPattern = /^baton_[\w-]{43}$/

/** The tenant of all keys; others are not offered yet. */
export const defaultTenant = 'default'
/** Who acts without a key that was made: such a name would put somebody else's words into the history. */
const takenNames: readonly string[] = ['api_key', 'local', 'intake']

export const createKeyRequestSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_. @-]{0,99}$/, 'use letters, digits, `_`, `.`, `-`, `@` and spaces, at most 100')
    .refine(name => !takenNames.includes(name), `must not be one of ${takenNames.join(', ')}`)
    .meta({ description: 'Who or what has it; stands in the history of what it does. No two keys in force have the same.' }),
  scope: z.enum(keyScopes).meta({
    description: '`read` < `submit` < `operate` < `admin`; `worker`: asking for the standing of a worker, and draining it.',
  }),
  tenant: z
    .literal(defaultTenant, { error: `must be ${defaultTenant}: there are no other tenants yet` })
    .optional()
    .meta({ description: 'Default: `default`.' }),
})
export type CreateKeyRequest = z.infer<typeof createKeyRequestSchema>

export interface KeyView {
  id: string
  name: string
  scope: KeyScope
  tenant: string
  created_at: string
  created_by: string
  /** Null: it is in force. */
  revoked_at: string | null
  /** To the minute; null: never. */
  last_used_at: string | null
}

/** Only the answer to creation shows the key itself. */
export interface KeyWithSecret extends KeyView {
  secret: string
}

export interface KeyList {
  keys: KeyView[]
  next_cursor: string | null
}
