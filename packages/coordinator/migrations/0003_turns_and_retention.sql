-- Fairness between orchestrators and tenants: who owns a subtask stands in its state, so that the dispatcher finds the
-- owners of a route's ready rows one by one, however many tasks each of them has.

alter table orchestrators add column number int generated always as identity;
create unique index orchestrators_number on orchestrators (number);

-- The number of its orchestrator. What a coordinator of the version before inserts takes the turns of the default one.
alter table subtask_states add column owner int not null default 1;
update subtask_states s set owner = o.number
from tasks k join orchestrators o on o.tenant_id = k.tenant_id and o.id = k.orchestrator_id where k.id = s.task_pk;

drop index subtask_states_ready;
create index subtask_states_ready on subtask_states (route_id, priority, owner, task_pk, id) where state = 'ready';

-- Retention: what ended is found by when it ended. Events of no task (workers, orchestrators) are few.
create index tasks_finished on tasks (finished_at) where finished_at is not null;
create index event_cursors_behind on event_cursors (xid, seq);
create index events_of_no_task on events (at) where task_pk is null;
-- Tasks that retention deleted and whose rows are still to be swept, in bounded pieces.
create table purges (task_pk bigint primary key);
