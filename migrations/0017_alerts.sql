-- Alerts: what has been crossed, who is to be told, and what became of the emails.

create table org_alert_settings (
    org_id uuid not null references organizations (id),
    feature text not null default '*' check (feature <> ''),
    thresholds smallint[]
        check (1 <= all (thresholds) and 100 >= all (thresholds) and cardinality(thresholds) <= 10
               and array_position(thresholds, null) is null),
    basis text check (basis in ('allowance', 'included')),
    judged boolean not null default false,
    judged_thresholds smallint[],
    judged_basis text,
    primary key (org_id, feature)
);
comment on table org_alert_settings is 'Alert settings of single orgs, instead of those in the configuration.';
comment on column org_alert_settings.org_id is 'The org.';
comment on column org_alert_settings.feature is 'The feature, or * for all features without a row of their own.';
comment on column org_alert_settings.thresholds is 'Thresholds in percent; empty: no alerts; null: as configured.';
comment on column org_alert_settings.basis is 'Basis of the percentages: allowance or included; null: as configured.';
comment on column org_alert_settings.judged is 'Whether alerts have been evaluated with this row.';
comment on column org_alert_settings.judged_thresholds is 'Thresholds at the last evaluation of alerts.';
comment on column org_alert_settings.judged_basis is 'Basis at the last evaluation of alerts.';
create index org_alert_settings_moved on org_alert_settings (org_id)
    where not judged
       or (thresholds, basis) is distinct from (judged_thresholds, judged_basis);
alter table org_alert_settings enable row level security;

create table periodd_alert_limits (
    org_id uuid not null references organizations (id),
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    generation integer not null default 1 check (generation > 0),
    quantity numeric check (quantity >= 0),
    used numeric not null default 0,
    seq integer not null default 1 check (seq > 0),
    judged_at timestamptz not null default now(),
    primary key (org_id, period_start, feature),
    check (period_end > period_start),
    constraint periodd_alert_limits_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint periodd_alert_limits_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint periodd_alert_limits_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)),
    constraint periodd_alert_limits_used_range check (abs(used) < 1e22 and used = round(used, 6)),
    constraint periodd_alert_limits_judged_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> judged_at)
)
with (fillfactor = 70);
comment on table periodd_alert_limits is 'Counters that have crossed a threshold, with limit and usage at their last evaluation.';
comment on column periodd_alert_limits.org_id is 'The org.';
comment on column periodd_alert_limits.feature is 'The feature.';
comment on column periodd_alert_limits.period_start is 'Start of the period of the counter.';
comment on column periodd_alert_limits.period_end is 'End of the period of the counter.';
comment on column periodd_alert_limits.generation is '1 plus the number of increases of the limit in this period.';
comment on column periodd_alert_limits.quantity is 'Limit: allowance or included, by the basis; null: unlimited.';
comment on column periodd_alert_limits.used is 'Usage at the last evaluation.';
comment on column periodd_alert_limits.seq is 'Raised by every evaluation: of two concurrent ones, only one is written.';
comment on column periodd_alert_limits.judged_at is 'Business time of the event.';
alter table periodd_alert_limits enable row level security;

create table periodd_alerts (
    org_id uuid not null references organizations (id),
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    generation integer not null default 1 check (generation > 0),
    threshold smallint not null check (threshold between 1 and 100),
    state text not null default 'notified'
        check (state in ('notified', 'covered', 'waiting', 'recorded', 'expired')),
    limit_change boolean not null default false,
    basis text not null default 'allowance' check (basis in ('allowance', 'included')),
    used numeric not null default 0,
    included numeric check (included >= 0),
    drawn numeric not null default 0 check (drawn >= 0),
    purchased numeric not null default 0 check (purchased >= 0),
    decided_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, period_start, feature, generation, threshold),
    check (period_end > period_start),
    constraint periodd_alerts_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint periodd_alerts_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint periodd_alerts_used_range check (abs(used) < 1e22 and used = round(used, 6)),
    constraint periodd_alerts_included_range check (abs(included) < 1e22 and included = round(included, 6)),
    constraint periodd_alerts_drawn_range check (abs(drawn) < 1e22 and drawn = round(drawn, 6)),
    constraint periodd_alerts_purchased_range check (abs(purchased) < 1e22 and purchased = round(purchased, 6)),
    constraint periodd_alerts_decided_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> decided_at),
    constraint periodd_alerts_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_alerts is 'Crossed thresholds: each once per org, feature, period and generation of the limit.';
comment on column periodd_alerts.org_id is 'The org.';
comment on column periodd_alerts.feature is 'The feature.';
comment on column periodd_alerts.period_start is 'Start of the period.';
comment on column periodd_alerts.period_end is 'End of the period: no emails are sent after it.';
comment on column periodd_alerts.generation is 'Generation of the limit.';
comment on column periodd_alerts.threshold is 'Threshold in percent.';
comment on column periodd_alerts.state is 'notified: emails were queued; covered: included in a higher threshold; waiting: for a recipient; recorded: transport none; expired: no recipient before the end of the period.';
comment on column periodd_alerts.limit_change is 'Whether a lower limit crossed the threshold, rather than more usage.';
comment on column periodd_alerts.basis is 'Basis of the percentage.';
comment on column periodd_alerts.used is 'Usage at the decision.';
comment on column periodd_alerts.included is 'Included quantity at the decision; null: unlimited.';
comment on column periodd_alerts.drawn is 'Quantity drawn from packs in the period at the decision.';
comment on column periodd_alerts.purchased is 'Remaining quantity of usable packs at the decision.';
comment on column periodd_alerts.decided_at is 'Business time of the decision.';
comment on column periodd_alerts.recorded_at is 'Time at which the row was written.';
create index periodd_alerts_waiting on periodd_alerts (period_end, org_id) where state = 'waiting';
alter table periodd_alerts enable row level security;

create table periodd_outbox (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    generation integer not null default 1 check (generation > 0),
    threshold smallint not null check (threshold between 1 and 100),
    recipient text not null,
    state text not null default 'due' check (state in ('due', 'sent', 'given_up', 'suppressed')),
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    leased_until timestamptz,
    lease uuid,
    message_id text,
    dated timestamptz,
    letter text,
    answer text,
    settled_at timestamptz,
    recorded_at timestamptz not null default now(),
    fault text check (fault in ('login', 'server', 'refused')),
    primary key (org_id, id),
    unique (org_id, period_start, feature, generation, threshold, recipient),
    check (period_end > period_start),
    check ((message_id is null) = (letter is null) and (dated is null) = (letter is null)),
    check ((state = 'due') = (settled_at is null)),
    constraint periodd_outbox_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint periodd_outbox_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint periodd_outbox_next_attempt_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> next_attempt_at),
    constraint periodd_outbox_leased_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> leased_until),
    constraint periodd_outbox_dated_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> dated),
    constraint periodd_outbox_settled_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> settled_at),
    constraint periodd_outbox_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
)
-- An email is claimed and settled: room for both on the page.
with (fillfactor = 60);
comment on table periodd_outbox is 'Emails: written in the transaction of their alert, sent after its commit.';
comment on column periodd_outbox.org_id is 'The org.';
comment on column periodd_outbox.id is 'Id of the email.';
comment on column periodd_outbox.feature is 'Feature of the alert.';
comment on column periodd_outbox.period_start is 'Start of the period of the alert.';
comment on column periodd_outbox.period_end is 'End of the period of the alert: an unsent email is given up then.';
comment on column periodd_outbox.generation is 'Generation of the limit of the alert.';
comment on column periodd_outbox.threshold is 'Threshold of the alert, in percent.';
comment on column periodd_outbox.recipient is 'Email address.';
comment on column periodd_outbox.state is 'due: to be sent; sent: accepted by the server; given_up: never to be sent; suppressed: the address does not exist, or had unsubscribed by the time it was due.';
comment on column periodd_outbox.attempts is 'Number of failed attempts.';
comment on column periodd_outbox.next_attempt_at is 'Earliest time of the next attempt, in real time.';
comment on column periodd_outbox.leased_until is 'End of the lease of the sending process, in real time; null: no lease.';
comment on column periodd_outbox.lease is 'Lease of the sending process.';
comment on column periodd_outbox.message_id is 'Message-ID, the same at every attempt, without angle brackets; null until the email is composed.';
comment on column periodd_outbox.dated is 'Date header, the same at every attempt, in business time; null until the email is composed.';
comment on column periodd_outbox.letter is 'Contents as JSON, the same at every attempt; null until the email is composed.';
comment on column periodd_outbox.answer is 'Last answer of the server, or the reason for giving up.';
comment on column periodd_outbox.settled_at is 'Time at which the email was sent or given up, in real time; null while due.';
comment on column periodd_outbox.recorded_at is 'Time at which the row was written.';
comment on column periodd_outbox.fault is 'Reason to wait that is not the email''s own: login (the mail server refuses the login), server (it cannot be reached), refused (it takes no emails from this sender); null: none.';
create index periodd_outbox_due on periodd_outbox (next_attempt_at, org_id, id) where state = 'due';
create index periodd_outbox_waiting on periodd_outbox (recorded_at, org_id, id) where state = 'due';
create index periodd_outbox_ending on periodd_outbox (period_end) where state = 'due';
create index periodd_outbox_settled on periodd_outbox (settled_at) where settled_at is not null;
alter table periodd_outbox enable row level security;

create table periodd_suppressions (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    reason text not null default 'unknown',
    suppressed_at timestamptz not null default now(),
    primary key (org_id, email),
    constraint periodd_suppressions_suppressed_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> suppressed_at)
);
comment on table periodd_suppressions is 'Addresses that a mail server rejected as unknown; no emails are sent to them.';
comment on column periodd_suppressions.org_id is 'The org.';
comment on column periodd_suppressions.email is 'Email address, in lower case.';
comment on column periodd_suppressions.reason is 'Answer of the server.';
comment on column periodd_suppressions.suppressed_at is 'Time of the rejection, in real time.';
alter table periodd_suppressions enable row level security;

create table periodd_unsubscribe_tokens (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    token uuid not null default gen_random_uuid(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, email),
    constraint periodd_unsubscribe_tokens_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_unsubscribe_tokens is 'Tokens of unsubscribe links in emails; valid as long as the contact exists.';
comment on column periodd_unsubscribe_tokens.org_id is 'The org.';
comment on column periodd_unsubscribe_tokens.email is 'Email address, in lower case.';
comment on column periodd_unsubscribe_tokens.token is 'Random part of the link.';
comment on column periodd_unsubscribe_tokens.recorded_at is 'Time at which the token was created.';
alter table periodd_unsubscribe_tokens enable row level security;
