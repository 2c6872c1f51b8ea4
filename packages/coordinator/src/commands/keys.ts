/** API keys as they are asked for: made, listed, revoked. */
import { createHash, randomBytes } from 'node:crypto'
import { BatonError, type CreateKeyRequest, type KeyList, type KeyView, type KeyWithSecret } from '@baton/shared'
import type { Database } from '../store/database.js'
import { insertKey, type KeyRow, listKeys, readKey, revokeKey } from '../store/keys.js'
import type { Caller } from './api.js'
import { maxKeys } from './key-ring.js'
import { badCursor } from './task-view.js'

interface KeysOptions {
  readonly database: Database
  /** Whether requests have to show a key here. */
  readonly needed: boolean
  /** A key was made or revoked. */
  readonly onChange: () => Promise<void>
}

export function createKeys({ database, needed, onChange }: KeysOptions) {
  return {
    async createKey({ tenantId, actor }: Caller, { name, scope }: CreateKeyRequest): Promise<KeyWithSecret> {
      if (!needed)
        throw new BatonError(
          'state_conflict',
          'this coordinator asks nobody for a key, so that another one would keep nobody out: start it with BATON_API_KEY, and make keys with that one',
        )
      const secret = `baton_${randomBytes(32).toString('base64url')}`
      const hash = createHash('sha256').update(secret).digest('hex')
      const row = await insertKey(database, { tenantId, name, hash, scope, by: actor }, maxKeys)
      if (!row)
        throw new BatonError(
          'state_conflict',
          `a key in force is called ${name} already, or there are ${maxKeys} of them: revoke one, or choose another name`,
        )
      await onChange()
      return { ...viewOf(row), secret }
    },

    async keys({ tenantId }: Caller, page: { revoked: boolean; limit: number; cursor?: string }): Promise<KeyList> {
      const after = page.cursor ?? '0'
      if (!/^\d{1,18}$/.test(after)) throw badCursor('cursor')
      const rows = await listKeys(database, tenantId, { after, revoked: page.revoked, limit: page.limit + 1 })
      const shown = rows.slice(0, page.limit)
      return { keys: shown.map(viewOf), next_cursor: rows.length > page.limit ? (shown.at(-1)?.pk ?? null) : null }
    },

    async revokeKey({ tenantId, actor }: Caller, id: string): Promise<KeyView> {
      const row = (await revokeKey(database, tenantId, id, actor)) ?? (await readKey(database, tenantId, id))
      if (!row) throw new BatonError('key_not_found', `there is no key ${id}`)
      await onChange()
      return viewOf(row)
    },
  }
}
export type Keys = ReturnType<typeof createKeys>

function viewOf(row: KeyRow): KeyView {
  return {
    id: row.id,
    name: row.name,
    scope: row.scope,
    tenant: row.tenant,
    created_at: row.created_at.toISOString(),
    created_by: row.created_by,
    revoked_at: row.revoked_at?.toISOString() ?? null,
    last_used_at: row.last_used_at?.toISOString() ?? null,
  }
}
