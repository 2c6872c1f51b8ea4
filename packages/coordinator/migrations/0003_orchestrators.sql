-- Orchestrators that are created, limited, paused and deleted by people; pauses of everything; how long each pause took.

-- Milliseconds, from the metadata; null: the defaults.
alter table orchestrators add column if not exists queue_wait_ms bigint;
alter table orchestrators add column if not exists deadline_ms bigint;
alter table orchestrators add column if not exists lease_ms bigint;
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

-- A task that is to start as soon as its orchestrator may run one more, and before which of its subtasks it then waits.
alter table tasks add column start_wanted_at timestamptz;
alter table tasks add column start_checkpoints text[];
create index tasks_waiting on tasks (tenant_id, orchestrator_id, priority, id) where start_wanted_at is not null and status = 'planned';
-- For the limits of orchestrators: unfinished tasks are counted, not remembered.
create index tasks_unfinished on tasks (tenant_id, orchestrator_id, status) where status not in ('completed', 'failed', 'cancelled');
