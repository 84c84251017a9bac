-- Tokens of the HTTP server: what a client shows to be let in. Only a digest is kept. A control
-- table: it stays in one place when the org tables are spread over machines.

create table periodd_tokens (
    name text primary key check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    digest bytea not null unique check (octet_length(digest) = 32),
    scopes text[] not null
        check (cardinality(scopes) > 0
               and scopes <@ array['read', 'record', 'sync', 'admin', 'metrics']),
    only_org uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
create index periodd_tokens_expired on periodd_tokens (expires_at) where expires_at is not null;
comment on table periodd_tokens is 'Tokens for the HTTP API. The token itself is shown once and not stored.';
comment on column periodd_tokens.name is 'Name of the token, for lists and logs.';
comment on column periodd_tokens.digest is 'SHA-256 of the token.';
comment on column periodd_tokens.scopes is 'What the token permits: read, record, sync, admin, metrics.';
comment on column periodd_tokens.only_org is 'Organization that the token is limited to. Null: all.';
comment on column periodd_tokens.created_at is 'Time of creation.';
comment on column periodd_tokens.expires_at is 'Time from which the token is refused. Null: never.';
comment on column periodd_tokens.revoked_at is 'Time of revocation. Null: not revoked.';
comment on column periodd_tokens.last_used_at is 'Start of the UTC day of the last use. Null: never used.';
alter table periodd_tokens
    add constraint periodd_tokens_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at) not valid,
    add constraint periodd_tokens_expires_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expires_at) not valid,
    add constraint periodd_tokens_revoked_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> revoked_at) not valid,
    add constraint periodd_tokens_last_used_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_used_at) not valid;
alter table periodd_tokens enable row level security;

alter table periodd_runs add column asked_by text;
comment on column periodd_runs.asked_by is 'Name of the token with which a run was requested over HTTP. Null: a schedule or a command.';
