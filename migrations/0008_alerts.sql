-- Alerts: what has been crossed, who is to be told, and what became of the emails.

-- What alerts judged by last stands beside what holds now. Where the two differ, a limit has
-- moved since: the partial indexes hold just those rows, and are empty most of the time.

alter table organizations
    add column judged_tier text,
    add column locale text check (locale ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$');
comment on column organizations.judged_tier is 'Tier at the last evaluation of alerts; null: not evaluated yet.';
comment on column organizations.locale is 'Language and region of emails, such as en-GB; null: en.';
create index organizations_tier_moved on organizations (id) include (subscription_tier)
    where judged_tier <> subscription_tier;
-- Orgs that alerts have not looked at yet.
create index organizations_tier_unjudged on organizations (id) where judged_tier is null;

alter table tier_limits
    add column judged boolean not null default false,
    add column judged_included numeric
        check (judged_included >= 0 and judged_included < 'Infinity'
               and judged_included = round(judged_included, 6));
comment on column tier_limits.judged is 'Whether alerts have been evaluated with this row.';
comment on column tier_limits.judged_included is 'Included quantity at the last evaluation of alerts; null: unlimited.';

alter table limit_overrides
    add column judged boolean not null default false,
    add column judged_included numeric
        check (judged_included >= 0 and judged_included < 'Infinity'
               and judged_included = round(judged_included, 6));
comment on column limit_overrides.judged is 'Whether alerts have been evaluated with this row.';
comment on column limit_overrides.judged_included is 'Included quantity at the last evaluation of alerts; null: unlimited.';
create index limit_overrides_moved on limit_overrides (org_id) include (feature, included)
    where not judged or included is distinct from judged_included;

-- Counters move too often for an index on when they did: it would cost every increment its place
-- on the page. Those that moved since they were synced are in usage_counters_pending; syncing
-- takes them out of there, and into this one.
create index usage_counters_synced on usage_counters (last_synced_at);
-- Packs whose time has come, whether they hold something or not.
create index overage_packs_ending on overage_packs (expires_at, org_id) where expires_at is not null;
-- What was refunded, by when it was written down.
create index overage_entries_refunded on overage_entries (recorded_at, org_id) where kind = 'refunded';

-- One plain address: nothing that a mail program would read as several, or as a header.
alter table org_contacts add constraint org_contacts_email_check check (
    length(email) <= 254
    and email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_\u0060{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'
);

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

create table periodd_alert_limits (
    org_id uuid not null references organizations (id),
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    generation integer not null default 1 check (generation > 0),
    quantity numeric
        check (quantity >= 0 and quantity < 'Infinity' and quantity = round(quantity, 6)),
    used numeric not null default 0
        check (used > '-Infinity' and used < 'Infinity' and used = round(used, 6)),
    seq integer not null default 1 check (seq > 0),
    judged_at timestamptz not null default now(),
    primary key (org_id, period_start, feature),
    check (period_end > period_start)
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
    used numeric not null default 0
        check (used > '-Infinity' and used < 'Infinity' and used = round(used, 6)),
    included numeric
        check (included >= 0 and included < 'Infinity' and included = round(included, 6)),
    drawn numeric not null default 0
        check (drawn >= 0 and drawn < 'Infinity' and drawn = round(drawn, 6)),
    purchased numeric not null default 0
        check (purchased >= 0 and purchased < 'Infinity' and purchased = round(purchased, 6)),
    decided_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, period_start, feature, generation, threshold),
    check (period_end > period_start)
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
    fault text check (fault in ('login', 'server', 'refused')),
    settled_at timestamptz,
    recorded_at timestamptz not null default now(),
    primary key (org_id, id),
    unique (org_id, period_start, feature, generation, threshold, recipient),
    check (period_end > period_start),
    check ((message_id is null) = (letter is null) and (dated is null) = (letter is null)),
    check ((state = 'due') = (settled_at is null))
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
comment on column periodd_outbox.state is 'due: to be sent; sent: accepted by the server; given_up: never to be sent; suppressed: the address does not exist.';
comment on column periodd_outbox.attempts is 'Number of failed attempts.';
comment on column periodd_outbox.next_attempt_at is 'Earliest time of the next attempt, in real time.';
comment on column periodd_outbox.leased_until is 'End of the lease of the sending process, in real time; null: no lease.';
comment on column periodd_outbox.lease is 'Lease of the sending process.';
comment on column periodd_outbox.message_id is 'Message-ID, the same at every attempt, without angle brackets; null until the email is composed.';
comment on column periodd_outbox.dated is 'Date header, the same at every attempt, in business time; null until the email is composed.';
comment on column periodd_outbox.letter is 'Contents as JSON, the same at every attempt; null until the email is composed.';
comment on column periodd_outbox.answer is 'Last answer of the server, or the reason for giving up.';
comment on column periodd_outbox.fault is 'Reason to wait that is not the email''s own: login (the mail server refuses the login), server (it cannot be reached), refused (it takes no emails from this sender); null: none.';
comment on column periodd_outbox.settled_at is 'Time at which the email was sent or given up, in real time; null while due.';
comment on column periodd_outbox.recorded_at is 'Time at which the row was written.';
create index periodd_outbox_due on periodd_outbox (next_attempt_at, org_id, id) where state = 'due';
create index periodd_outbox_waiting on periodd_outbox (recorded_at, org_id, id) where state = 'due';
create index periodd_outbox_ending on periodd_outbox (period_end) where state = 'due';
create index periodd_outbox_settled on periodd_outbox (settled_at) where settled_at is not null;

create table periodd_suppressions (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    reason text not null default 'unknown',
    suppressed_at timestamptz not null default now(),
    primary key (org_id, email)
);
comment on table periodd_suppressions is 'Addresses that a mail server rejected as unknown; no emails are sent to them.';
comment on column periodd_suppressions.org_id is 'The org.';
comment on column periodd_suppressions.email is 'Email address, in lower case.';
comment on column periodd_suppressions.reason is 'Answer of the server.';
comment on column periodd_suppressions.suppressed_at is 'Time of the rejection, in real time.';

create table periodd_unsubscribe_tokens (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    token uuid not null default gen_random_uuid(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, email)
);
comment on table periodd_unsubscribe_tokens is 'Tokens of unsubscribe links in emails; valid as long as the contact exists.';
comment on column periodd_unsubscribe_tokens.org_id is 'The org.';
comment on column periodd_unsubscribe_tokens.email is 'Email address, in lower case.';
comment on column periodd_unsubscribe_tokens.token is 'Random part of the link.';
comment on column periodd_unsubscribe_tokens.recorded_at is 'Time at which the token was created.';
