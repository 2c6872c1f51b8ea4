-- API keys with one scope each. The table is from the first migration; nothing has been written to it before.

alter table api_keys drop column scopes;
alter table api_keys add column scope text not null default 'read' check (scope in ('read', 'submit', 'operate', 'admin', 'worker'));
-- What people call it by.
alter table api_keys add column public_id text not null unique default 'key-' || replace(gen_random_uuid()::text, '-', '');
alter table api_keys add column created_by text not null default '';

-- A name says who acted; a key that takes the place of a revoked one may have its name.
create unique index api_keys_name on api_keys (tenant_id, name) where revoked_at is null;
create index api_keys_list on api_keys (tenant_id, id);
-- Read every second while requests come, however many were revoked.
create index api_keys_in_force on api_keys (id) where revoked_at is null;
