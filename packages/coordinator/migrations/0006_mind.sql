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
create index plannings_over on plannings (until_at);

-- How each agent does at each capability: exponentially weighted over its attempts, the newest count most.
create table agent_measures (
  tenant_id int not null,
  agent text not null,
  capability text not null,
  attempts bigint not null,
  success_rate double precision not null check (success_rate between 0 and 1),
  -- Of attempts that completed; null: none has.
  latency_ms double precision,
  measured_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, agent, capability)
);

-- One row: up to which event agents were measured, and when. Whichever coordinator finds it old takes the next turn.
create table measuring (
  only_one boolean primary key default true check (only_one),
  xid xid8 not null default '0',
  seq bigint not null default 0,
  at timestamptz not null default '-infinity'
);
insert into measuring default values;

-- What a review of kind `plan` would apply, word for word.
create table proposals (
  review_id bigint primary key,
  tenant_id int not null,
  task_pk bigint not null,
  proposal text not null
);
create index proposals_task on proposals (task_pk);
