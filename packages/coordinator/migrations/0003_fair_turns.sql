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
