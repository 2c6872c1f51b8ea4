-- Voice: what agents say while they run, and webhooks.

-- Chunks of output that agents stream: apart from events, so that the facts of a task are read without wading through its
-- words. Positions are drawn from the sequence of the events: both together are one order, by (xid, seq).
create table stream_chunks (
  xid xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('events_seq_seq'),
  at timestamptz not null default clock_timestamp(),
  tenant_id int not null,
  task_pk bigint not null,
  subtask_pk bigint not null,
  attempt int not null,
  agent text,
  claim_id uuid not null,
  -- The number of the first chunk within its attempt, from 0.
  n int not null,
  -- JSON text: a list of chunks, one row for all that travelled together.
  chunks text not null,
  primary key (xid, seq)
);
create unique index stream_chunks_claim on stream_chunks (claim_id, n);
create index stream_chunks_task on stream_chunks (task_pk, xid, seq);

-- A subscription, or a tenant's one row `callbacks`, which stands for the callback_url of each of its tasks.
create table webhooks (
  pk bigint generated always as identity primary key,
  tenant_id int not null references tenants (id),
  id text not null,
  kind text not null check (kind in ('subscription', 'callbacks')),
  url text,
  description text not null default '',
  -- As they were given (`task.*`), and as LIKE takes them.
  events text[] not null,
  patterns text[] not null,
  enabled boolean not null default true,
  secret text not null,
  previous_secret text,
  previous_until timestamptz,
  -- Events of earlier transactions are not its.
  since xid8 not null default pg_snapshot_xmin(pg_current_snapshot()),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  -- Its deliveries are dropped in bounded batches, then the row itself.
  deleted_at timestamptz,
  unique (tenant_id, id),
  check ((kind = 'subscription') = (url is not null))
);
create index webhooks_listening on webhooks (pk) where kind = 'subscription' and enabled and deleted_at is null;
create index webhooks_deleted on webhooks (pk) where deleted_at is not null;

create table webhook_deliveries (
  pk bigint generated always as identity primary key,
  webhook_pk bigint not null,
  -- The event.
  xid xid8 not null,
  seq bigint not null,
  at timestamptz not null,
  name text not null,
  task_pk bigint,
  -- Who receives it: deliveries of one lane share a few places, so that a receiver that hangs holds up itself only.
  lane text not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'given_up')),
  attempts int not null default 0,
  -- The last ones: when, how long, the status or what went wrong.
  tries jsonb not null default '[]',
  -- When it is due; while it is being sent, when a peer may take it.
  next_at timestamptz not null default clock_timestamp(),
  give_up_at timestamptz not null,
  ended_at timestamptz,
  unique (webhook_pk, xid, seq)
);
create index webhook_deliveries_due on webhook_deliveries (lane, next_at) where state = 'pending';
create index webhook_deliveries_log on webhook_deliveries (webhook_pk, pk);
create index webhook_deliveries_at on webhook_deliveries (webhook_pk, at, pk);
create index webhook_deliveries_ended on webhook_deliveries (ended_at) where ended_at is not null;

-- Whether anybody listens: tasks with a callback that are unfinished, or finished a moment ago.
create index tasks_callbacks on tasks (finished_at) where callback_url is not null;

insert into event_cursors (consumer, xid, seq) values ('webhooks', pg_snapshot_xmin(pg_current_snapshot()), 0);
