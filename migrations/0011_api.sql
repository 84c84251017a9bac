-- Functions, views and rights live in migrations/api, a file each, and are made again whenever
-- their text has changed.

create table periodd_api (
    name text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now()
);
comment on table periodd_api is 'Texts of the functions, views and rights that were applied.';
comment on column periodd_api.name is 'Name of the text.';
comment on column periodd_api.checksum is 'Checksum of the text; a changed text is applied again.';
comment on column periodd_api.applied_at is 'Time at which the text was last applied.';
alter table periodd_api enable row level security;
