-- Events for programs: rows to be read from a cursor, and messages for webhooks. Both are written by
-- the transaction that they tell of.

-- Who hears of events. A control table: it stays in one place when the org tables are spread over
-- machines. Without a row, nothing is written for anybody.
create table periodd_listeners (
    channel text not null check (channel in ('table', 'webhook')),
    name text not null check (name <> ''),
    kinds text[],
    only_org uuid,
    failures integer not null default 0 check (failures >= 0),
    rests_until timestamptz,
    switched_off_at timestamptz,
    answer text,
    recorded_at timestamptz not null default now(),
    primary key (channel, name)
);
comment on table periodd_listeners is 'Listeners of events, as configured: the event table and webhooks.';
comment on column periodd_listeners.channel is 'table: rows of periodd_events; webhook: messages to an endpoint.';
comment on column periodd_listeners.name is 'Name of the endpoint; events for the table.';
comment on column periodd_listeners.kinds is 'Kinds of events. Null: all.';
comment on column periodd_listeners.only_org is 'Org that the listener is limited to. Null: all.';
comment on column periodd_listeners.failures is 'Number of attempts in a row that failed because of the endpoint.';
comment on column periodd_listeners.rests_until is 'Earliest time of the next attempt, in real time. Null: now.';
comment on column periodd_listeners.switched_off_at is 'Time at which the endpoint asked for no more messages. Null: it is on.';
comment on column periodd_listeners.answer is 'Last answer of the endpoint, where it failed.';
comment on column periodd_listeners.recorded_at is 'Time at which the row was written.';
alter table periodd_listeners enable row level security;
alter table periodd_listeners
    add constraint periodd_listeners_rests_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> rests_until) not valid,
    add constraint periodd_listeners_switched_off_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> switched_off_at) not valid,
    add constraint periodd_listeners_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;

-- Positions rise as rows are inserted, and transactions commit in another order: a reader reads up
-- to the position that is settled (src/store/exports/settled.rs).
create table periodd_events (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    position bigint not null generated always as identity,
    kind text not null check (kind ~ '^[a-z_]+[.][a-z_]+$'),
    payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
    at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, id)
);
comment on table periodd_events is 'Events for programs, written in the transaction that they tell of. Read by position.';
comment on column periodd_events.org_id is 'The org.';
comment on column periodd_events.id is 'Id of the event: the same for the same fact, which is entered once.';
comment on column periodd_events.position is 'Cursor: rises with every insert.';
comment on column periodd_events.kind is 'Kind of the event, such as period.closed.';
comment on column periodd_events.payload is 'What happened.';
comment on column periodd_events.at is 'Business time of the event.';
comment on column periodd_events.recorded_at is 'Time at which the row was written.';
create index periodd_events_position on periodd_events (position);
create index periodd_events_of_org on periodd_events (org_id, position);
create index periodd_events_recorded on periodd_events (recorded_at);
alter table periodd_events enable row level security;
alter table periodd_events
    add constraint periodd_events_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at) not valid,
    add constraint periodd_events_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
