-- Messages to webhooks. They have an outbox of their own: an email has a feature, a threshold and a
-- period after which it is pointless, a message has none of these, and neither may wait for the other.
create table periodd_webhook_outbox (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    channel text not null default 'webhook' check (channel = 'webhook'),
    endpoint text not null,
    event_id uuid not null,
    kind text not null,
    body text not null check (octet_length(body) <= 20480),
    state text not null default 'due' check (state in ('due', 'sent', 'given_up')),
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    leased_until timestamptz,
    lease uuid,
    answer text,
    settled_at timestamptz,
    recorded_at timestamptz not null default now(),
    primary key (org_id, id),
    unique (org_id, event_id, channel, endpoint),
    check ((state = 'due') = (settled_at is null))
)
-- A message is claimed and settled: room for both on the page.
with (fillfactor = 60);
comment on table periodd_webhook_outbox is 'Messages to webhooks: written in the transaction of their event, sent after its commit.';
comment on column periodd_webhook_outbox.org_id is 'The org.';
comment on column periodd_webhook_outbox.id is 'Id of the message, which is its webhook-id at every attempt.';
comment on column periodd_webhook_outbox.channel is 'How it travels.';
comment on column periodd_webhook_outbox.endpoint is 'Name of the endpoint.';
comment on column periodd_webhook_outbox.event_id is 'Id of the event.';
comment on column periodd_webhook_outbox.kind is 'Kind of the event.';
comment on column periodd_webhook_outbox.body is 'Body of the message, the same at every attempt.';
comment on column periodd_webhook_outbox.state is 'due: to be sent; sent: accepted by the endpoint; given_up: never to be sent.';
comment on column periodd_webhook_outbox.attempts is 'Number of failed attempts.';
comment on column periodd_webhook_outbox.next_attempt_at is 'Earliest time of the next attempt, in real time.';
comment on column periodd_webhook_outbox.leased_until is 'End of the lease of the sending process, in real time. Null: no lease.';
comment on column periodd_webhook_outbox.lease is 'Lease of the sending process.';
comment on column periodd_webhook_outbox.answer is 'Last answer of the endpoint, or the reason for giving up.';
comment on column periodd_webhook_outbox.settled_at is 'Time at which the message was sent or given up, in real time. Null while due.';
comment on column periodd_webhook_outbox.recorded_at is 'Time at which the row was written.';
create index periodd_webhook_outbox_due on periodd_webhook_outbox (endpoint, next_attempt_at, org_id, id) where state = 'due';
create index periodd_webhook_outbox_waiting on periodd_webhook_outbox (recorded_at, org_id, id) where state = 'due';
create index periodd_webhook_outbox_oldest on periodd_webhook_outbox (endpoint, recorded_at) where state = 'due';
create index periodd_webhook_outbox_given_up on periodd_webhook_outbox (endpoint, settled_at) where state = 'given_up';
create index periodd_webhook_outbox_settled on periodd_webhook_outbox (settled_at) where settled_at is not null;
alter table periodd_webhook_outbox enable row level security;
alter table periodd_webhook_outbox
    add constraint periodd_webhook_outbox_next_attempt_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> next_attempt_at) not valid,
    add constraint periodd_webhook_outbox_leased_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> leased_until) not valid,
    add constraint periodd_webhook_outbox_settled_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> settled_at) not valid,
    add constraint periodd_webhook_outbox_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
