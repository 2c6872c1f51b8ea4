/** `baton keys [VERB]`. */
import { BatonError, type KeyScope, type KeyView, keyScopes } from '@baton/shared'
import { connect, type RemoteOptions } from '../client.js'
import { type ExitCode, exitCodes } from '../exit-codes.js'
import type { Io } from '../io.js'
import { columnsOf, printJson, printLines } from '../output/print.js'
import { type Paint, paintFor } from '../output/style.js'
import { tableLines } from '../output/table.js'
import { visible } from '../output/text.js'

export interface KeyOptions extends RemoteOptions {
  readonly scope?: string
  readonly revoked?: boolean
  readonly limit?: number
}

const keyVerbs = ['list', 'create', 'revoke'] as const

export async function keys(verb: string | undefined, target: string | undefined, options: KeyOptions, io: Io): Promise<ExitCode> {
  const client = connect(options, io).keys
  const named = (what: string): string => {
    if (target !== undefined) return target
    throw new BatonError('invalid_request', `say which: baton keys ${verb} ${what}`)
  }
  const show = (answer: unknown, lines: string[]): ExitCode => {
    if (options.json) printJson(io, answer)
    else printLines(io, lines)
    return exitCodes.done
  }
  switch (verb ?? 'list') {
    case 'list': {
      const answer = await client.list({ limit: options.limit ?? 100, ...(options.revoked && { revoked: true }) })
      return show(answer, keyLines(answer.keys, paintFor(io), columnsOf(io)))
    }
    case 'create': {
      const answer = await client.create({ name: named('NAME'), scope: scopeOf(options.scope) })
      return show(answer, [
        `${answer.id} (${visible(answer.name)}) may ${answer.scope}`,
        'the key, which is not shown again:',
        answer.secret,
      ])
    }
    case 'revoke': {
      const answer = await client.revoke(named('ID'))
      return show(answer, [`${answer.id} (${visible(answer.name)}) is revoked, since ${answer.revoked_at}`])
    }
    default:
      throw new BatonError('invalid_request', `${JSON.stringify(verb)} is not known; there are ${keyVerbs.join(', ')}`)
  }
}

/** Nobody is given more than was asked for: there is no default. */
function scopeOf(text: string | undefined): KeyScope {
  const known = keyScopes.find(scope => scope === text)
  if (known) return known
  const asked = text === undefined ? 'say what it may do' : `${JSON.stringify(text)} is not a scope`
  throw new BatonError('invalid_request', `${asked}: --scope ${keyScopes.join('|')}`)
}

export function keyLines(list: readonly KeyView[], paint: Paint, columns: number): string[] {
  if (list.length === 0) return ['no keys; make one with: baton keys create NAME --scope read']
  const rows = list.map(one => [
    one.id,
    visible(one.name),
    one.scope,
    paint(one.revoked_at === null ? 'green' : 'dim', one.revoked_at === null ? 'in force' : 'revoked'),
    one.created_at,
    one.last_used_at ?? 'never',
  ])
  return tableLines(['key', 'name', 'scope', 'state', 'made', 'last used'], rows, columns)
}
