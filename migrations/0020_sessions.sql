-- Sessions of the dashboard: a browser that somebody has logged in, or a link with which somebody
-- may. Only a digest is kept. A control table, beside the tokens.

create table periodd_sessions (
    digest bytea primary key check (octet_length(digest) = 32),
    token_digest bytea not null check (octet_length(token_digest) = 32),
    is_link boolean not null default false,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index periodd_sessions_expired on periodd_sessions (expires_at);
comment on table periodd_sessions is 'Sessions of the dashboard, and links that begin one.';
comment on column periodd_sessions.digest is 'SHA-256 of the secret in the cookie or in the link.';
comment on column periodd_sessions.token_digest is 'Token that the session acts for, by its digest. The session ends with it.';
comment on column periodd_sessions.is_link is 'Whether this is a link that begins a session, once.';
comment on column periodd_sessions.created_at is 'Time of creation.';
comment on column periodd_sessions.expires_at is 'Time from which the session is refused.';
alter table periodd_sessions
    add constraint periodd_sessions_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at) not valid,
    add constraint periodd_sessions_expires_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expires_at) not valid;
alter table periodd_sessions enable row level security;
