-- Planning by models, plans that change, and what is measured of agents.

-- Who has a model plan which request at the moment, so that a repeat of it, at whichever coordinator, waits instead of asking
-- again. A row outlives its coordinator by `until_at` at most.
create table plannings (
  tenant_id int not null,
  task_id text not null,
  -- Of the request: another body under the same id is another planning.
  digest text not null,
  coordinator_id text not null,
  until_at timestamptz not null,
  primary key (tenant_id, task_id, digest)
);
