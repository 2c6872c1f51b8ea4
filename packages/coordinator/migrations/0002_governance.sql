-- Governance: deadlines with clocks of their own, cancels that are acknowledged, suspects, generations, reviews that
-- fall due, orchestrators with limits, pauses of everything.

-- How long a subtask may wait for a worker, and how long it may take from the first time it was ready to its end.
-- Copied from its definition, its orchestrator or the defaults, so that a sweep reads one table.
alter table subtask_states add column queue_wait_ms bigint not null default 3600000;
alter table subtask_states add column deadline_ms bigint not null default 86400000;
-- When the deadline's clock began: the first time it was ready, or a person's latest decision.
alter table subtask_states add column scheduled_at timestamptz;
-- Null: the coordinator's lease.
alter table subtask_states add column lease_ms bigint;
-- Attempts that were lost together with their worker; from the second on it runs alone.
alter table subtask_states add column losses smallint not null default 0;
alter table subtask_states add column cancel_requested_at timestamptz;
alter table subtask_states add column cancelled_how text check (cancelled_how in ('requested', 'acknowledged', 'forced'));
-- The last attempt whose SLA was foreseen to be missed.
alter table subtask_states add column warned_attempt int;
create index subtask_states_suspects on subtask_states (worker_id) where state = 'running' and losses >= 2;
create index subtask_states_cancelling on subtask_states (cancel_requested_at) where state = 'running' and cancel_requested_at is not null;

-- What its definition allows; a person may have granted more since.
alter table subtasks add column attempt_limit smallint;
alter table subtasks add column lease_ms bigint;
alter table subtasks add column backoff_initial_ms bigint;
alter table subtasks add column backoff_max_ms bigint;
-- 0 for what is in force; its own id once a rerun put a row of the next generation in its place. Part of the keys, rather
-- than a condition of partial indexes, which would invite the planner to read those whole.
alter table subtasks add column superseded bigint not null default 0;
drop index subtasks_ordinal;
create unique index subtasks_ordinal on subtasks (task_pk, superseded, ordinal);
drop index subtasks_name;
create unique index subtasks_name on subtasks (task_pk, superseded, name);

alter table tasks add column broken boolean not null default false;
-- Up to which of its subtasks the sweep of an ended task has come.
alter table tasks add column swept_to int not null default 0;
alter table tasks add column checkpoints text[] not null default '{}';
-- 1: a breach of its due date or SLA was foreseen; 2: it happened.
alter table tasks add column sla_alerts smallint not null default 0;
create index tasks_timed on tasks (id) where (due_at is not null or sla_ms is not null) and sla_alerts < 2 and status in ('running', 'paused', 'blocked', 'needs_review');

alter table worker_agents add column queue_wait_ms bigint;
alter table worker_agents add column deadline_ms bigint;
alter table worker_agents add column lease_ms bigint;

-- Milliseconds, from the metadata; null: the defaults.
alter table orchestrators add column queue_wait_ms bigint;
alter table orchestrators add column deadline_ms bigint;
alter table orchestrators add column lease_ms bigint;

-- Who gets a tenant's reviews, and for how long; null: nobody in particular.
alter table tenants add column review_assignee text;
alter table tenants add column review_escalate_to text;
alter table tenants add column review_due_ms bigint not null default 86400000;
alter table reviews add column escalated_at timestamptz;
-- When the alert that it is due was raised.
alter table reviews add column alerted_at timestamptz;
drop index reviews_open;
create index reviews_by_status on reviews (tenant_id, status, id);
create index reviews_due on reviews (due_at) where status = 'open' and alerted_at is null;

-- Reviews are opened by many statements; that each has its assignee and its due time from the first moment on is held here.
create function assign_new_review() returns trigger language plpgsql as $$ begin
  select coalesce(new.assignee, t.review_assignee), coalesce(new.escalate_to, t.review_escalate_to),
    coalesce(new.due_at, clock_timestamp() + t.review_due_ms * interval '1 millisecond')
  into new.assignee, new.escalate_to, new.due_at
  from tenants t where t.id = new.tenant_id; return new; end $$;
create trigger reviews_assigned before insert on reviews for each row execute function assign_new_review();

-- A deleted one keeps its row, because its finished tasks are still shown, and its id, so that it means one thing for good.
alter table orchestrators add column deleted_at timestamptz;

-- Not null: nothing of the tenant starts.
alter table tenants add column paused_at timestamptz;
alter table tenants add column paused_by text;
alter table tenants add column pause_reason text;
-- Empty but for a pause: what every claim asks is answered without reading a row.
create index tenants_paused on tenants (id) where paused_at is not null;

-- When a task, an orchestrator or a tenant was held up; deadlines leave this time out. `ref` is the task's internal id, the
-- orchestrator's id, or empty. A pause that goes on ends at infinity, so that one comparison finds what overlaps.
create table pauses (
  id bigint generated always as identity primary key,
  tenant_id int not null,
  scope text not null check (scope in ('task', 'orchestrator', 'tenant')),
  ref text not null,
  from_at timestamptz not null default clock_timestamp(),
  to_at timestamptz not null default 'infinity'
);
create index pauses_of on pauses (tenant_id, scope, ref, to_at);
create unique index pauses_open on pauses (tenant_id, scope, ref) where to_at = 'infinity';
insert into pauses (tenant_id, scope, ref) select tenant_id, 'task', id::text from tasks where status = 'paused';
insert into pauses (tenant_id, scope, ref, from_at) select tenant_id, 'orchestrator', id, updated_at from orchestrators where status <> 'running';

-- A task that is to start as soon as its orchestrator may run one more.
alter table tasks add column start_wanted_at timestamptz;
create index tasks_waiting on tasks (tenant_id, orchestrator_id, priority, id) where start_wanted_at is not null and status = 'planned';
-- For the limits of orchestrators: unfinished tasks are counted, not remembered.
create index tasks_unfinished on tasks (tenant_id, orchestrator_id, status) where status not in ('completed', 'failed', 'cancelled');
