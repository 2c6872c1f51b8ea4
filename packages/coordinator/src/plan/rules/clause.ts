/** What one clause of a sentence says: work, order, a gate, a limit, a criterion, or nothing that is to be done. */
import type { Strength } from './lexicon.js'
import type { Order } from './phrases.js'
import type { Prose } from './prose.js'

export interface WorkClause {
  readonly kind: 'work'
  readonly prose: Prose
  readonly order: Order | null
  /** The verb in its base form; empty when only a thing is named ("documentation"). */
  readonly verb: string
  readonly strength: Strength | 'thing'
  readonly capability: string
  /** It has no object of its own, or "it": it works on what came before. */
  readonly refersBack: boolean
  readonly isTests: boolean
}

export type Clause =
  | WorkClause
  /** `work` is set when the clause itself names work with a gerund: "before deploying to production". */
  | { readonly kind: 'order'; readonly prose: Prose; readonly relation: 'before' | 'after'; readonly work: WorkClause | null }
  | {
      readonly kind: 'approval' | 'constraint' | 'acceptance' | 'condition' | 'remark'
      readonly prose: Prose
      readonly order: Order | null
    }
