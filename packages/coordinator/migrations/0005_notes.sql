-- Ephemeral notes of tasks in local mode; fleets keep theirs in Redis.
create table notes (
  task_pk bigint not null,
  name text not null,
  -- JSON text.
  value text not null,
  runs_out_at timestamptz not null,
  primary key (task_pk, name)
);
