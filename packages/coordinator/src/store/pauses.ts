/**
 * When something was held up. Every statement that pauses or resumes a task, an orchestrator or everything records it in
 * the same transaction, because the clocks of queue waits and deadlines stand still meanwhile.
 *
 * Invariants: P1 one pause at most is open per thing (a unique index holds it). P2 a thing is paused exactly as long as
 * its pause is open.
 */

export type PauseScope = 'task' | 'orchestrator' | 'tenant'

/** Opens a pause for each row of CTE `things(tenant_id, ref)`. */
export const openPauses = (cte: string, scope: PauseScope, things: string): string => `
${cte} as (
  insert into pauses (tenant_id, scope, ref) select tenant_id, '${scope}', ref from (${things}) t
  on conflict (tenant_id, scope, ref) where to_at = 'infinity' do nothing
)`

/**
 * Ends the pause of each row of `things(tenant_id, ref)`: of things that were paused (P2). An update would not see a pause
 * that began while its statement waited for the thing; what an insert conflicts with, it sees.
 */
export const closePauses = (cte: string, scope: PauseScope, things: string): string => `
${cte} as (
  insert into pauses as p (tenant_id, scope, ref) select tenant_id, '${scope}', ref from (${things}) t
  on conflict (tenant_id, scope, ref) where to_at = 'infinity' do update set to_at = greatest(clock_timestamp(), p.from_at)
)`

/**
 * The tenants that are paused, as an array for `<> all (…)`. Depends on no row, hence is read once per statement, from an
 * index that is empty but for a pause: no join, and nothing for the planner to get wrong.
 */
export const pausedTenants = '(array(select id from tenants where paused_at is not null))'

/**
 * How many milliseconds (float8) of the time between the expressions `from` and `to` a task was held up: by a pause of
 * itself, of its orchestrator (`idle` is one) or of everything. Times that overlap count once. `task` is the alias of a
 * row of `tasks`, and no alias may be one of those within. Three probes of an index per row: for a handful of candidates,
 * not for a table.
 */
export const pausedMs = (task: string, from: string, to: string): string => `(
  select coalesce(sum(greatest(extract(epoch from span.ends - greatest(span.begins, span.counted)), 0)), 0)::float8 * 1000
  from (
    -- In order of their beginnings, each adds what no earlier one reached.
    select piece.begins, piece.ends,
      max(piece.ends) over (order by piece.begins, piece.ends rows between unbounded preceding and 1 preceding) as counted
    from (
      select greatest(pause.from_at, ${from}) as begins, least(pause.to_at, ${to}) as ends
      from (values ('task', ${task}.id::text), ('orchestrator', ${task}.orchestrator_id), ('tenant', '')) as holder(scope, ref)
      cross join lateral (
        select held.from_at, held.to_at from pauses held
        where held.tenant_id = ${task}.tenant_id and held.scope = holder.scope and held.ref = holder.ref and held.to_at > ${from} and held.from_at < ${to}
        offset 0
      ) pause
    ) piece
  ) span)`

/** Whether the time `ms` of row `s` that began at column `start` is over, pauses left out; nothing is over during one. */
const passed = (s: string, start: string, ms: string, at: string): string => `(
  select k.status in ('running', 'blocked', 'needs_review') and ${s}.${start} + (${s}.${ms} + ${pausedMs('k', `${s}.${start}`, at)}) * interval '1 millisecond' < ${at}
  from tasks k where k.id = ${s}.task_pk limit 1)`

/** Whether the queue wait of row `s` of `subtask_states` is over. */
export const queueWaitPassed = (s: string, at: string): string => passed(s, 'ready_at', 'queue_wait_ms', at)

/** The same of the deadline of the whole subtask. */
export const deadlinePassed = (s: string, at: string): string => passed(s, 'scheduled_at', 'deadline_ms', at)
