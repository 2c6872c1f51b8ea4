-- Tasks are looked up by their task_id, which nearly names one; the tenant, of which there is mostly one, names all. An index
-- that begins with the tenant looks to the planner, while the table is small, as good as any other that does: it then chose
-- one that reads every task of the tenant, and kept to it.
create unique index tasks_key on tasks (task_id, tenant_id);
alter table tasks drop constraint tasks_tenant_id_task_id_key;
