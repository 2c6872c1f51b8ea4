-- Artifacts whose bytes lie in a directory, beside those whose bytes are chunks of this database.

alter table artifacts add column stored text not null default 'postgres' check (stored in ('postgres', 'directory'));

-- Whether anything still refers to a file.
create index artifacts_file on artifacts (sha256) where stored = 'directory';

-- One row, drawn when a directory is used first (not here: a database that was migrated may be copied for many): whose the
-- directory is. It stands in the directory, too, so that nobody deletes what another database refers to.
create table installation (
  only_one boolean primary key default true check (only_one),
  id uuid not null default gen_random_uuid()
);
