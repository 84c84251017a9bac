-- Alerts: what has been crossed, who is to be told, and what became of the emails.

-- What alerts judged by last stands beside what holds now. Where the two differ, a limit has
-- moved since: the partial indexes hold just those rows, and are empty most of the time.

alter table organizations
    add column judged_tier text,
    add column locale text check (locale ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$');
comment on column organizations.judged_tier is 'The tier that alerts judged by last; null until then.';
comment on column organizations.locale is 'Language and region of the org''s emails, such as en-GB; null: en.';
create index organizations_tier_moved on organizations (id) include (subscription_tier)
    where judged_tier <> subscription_tier;
-- Orgs that alerts have not looked at yet.
create index organizations_tier_unjudged on organizations (id) where judged_tier is null;

alter table tier_limits
    add column judged boolean not null default false,
    add column judged_included numeric
        check (judged_included >= 0 and judged_included < 'Infinity'
               and judged_included = round(judged_included, 6));
comment on column tier_limits.judged is 'Whether alerts have judged by this row.';
comment on column tier_limits.judged_included is 'The included quantity that alerts judged by last; null is unlimited.';

alter table limit_overrides
    add column judged boolean not null default false,
    add column judged_included numeric
        check (judged_included >= 0 and judged_included < 'Infinity'
               and judged_included = round(judged_included, 6));
comment on column limit_overrides.judged is 'Whether alerts have judged by this row.';
comment on column limit_overrides.judged_included is 'The included quantity that alerts judged by last; null is unlimited.';
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
    and email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'
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
comment on table org_alert_settings is 'Thresholds of one org''s own, instead of those of the configuration.';
comment on column org_alert_settings.org_id is 'The org.';
comment on column org_alert_settings.feature is 'The feature, or * for all that have no row of their own.';
comment on column org_alert_settings.thresholds is 'Percentages; empty: no alerts; null: as the configuration says.';
comment on column org_alert_settings.basis is 'What they are percentages of: allowance or included; null: as the configuration says.';
comment on column org_alert_settings.judged is 'Whether alerts have judged by this row.';
comment on column org_alert_settings.judged_thresholds is 'The thresholds that alerts judged by last.';
comment on column org_alert_settings.judged_basis is 'The basis that alerts judged by last.';
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
comment on table periodd_alert_limits is 'Counters that have crossed a threshold, with the limit and the usage that they were judged by last.';
comment on column periodd_alert_limits.org_id is 'The org.';
comment on column periodd_alert_limits.feature is 'The feature.';
comment on column periodd_alert_limits.period_start is 'Start of the counter''s period.';
comment on column periodd_alert_limits.period_end is 'End of the counter''s period.';
comment on column periodd_alert_limits.generation is 'How often the limit has risen in this period, counted from 1.';
comment on column periodd_alert_limits.quantity is 'The limit: allowance or included, by the basis; null is unlimited.';
comment on column periodd_alert_limits.used is 'Usage at that time.';
comment on column periodd_alert_limits.seq is 'Moves with every judgement: of two at once only one is written.';
comment on column periodd_alert_limits.judged_at is 'When, in business time.';

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
comment on table periodd_alerts is 'Thresholds that were crossed: each once per org, feature, period and generation of the limit.';
comment on column periodd_alerts.org_id is 'The org.';
comment on column periodd_alerts.feature is 'The feature.';
comment on column periodd_alerts.period_start is 'Start of the period.';
comment on column periodd_alerts.period_end is 'End of the period: nobody is told after it.';
comment on column periodd_alerts.generation is 'The generation of the limit.';
comment on column periodd_alerts.threshold is 'The percentage.';
comment on column periodd_alerts.state is 'notified: emails were queued; covered: a higher one says it; waiting: for a recipient; recorded: transport none; expired: no recipient before the period''s end.';
comment on column periodd_alerts.limit_change is 'Whether it was crossed because the limit fell, not because usage rose.';
comment on column periodd_alerts.basis is 'What it is a percentage of.';
comment on column periodd_alerts.used is 'Usage when it was decided.';
comment on column periodd_alerts.included is 'Included quantity when it was decided; null is unlimited.';
comment on column periodd_alerts.drawn is 'What packs had paid for in the period when it was decided.';
comment on column periodd_alerts.purchased is 'What usable packs held when it was decided.';
comment on column periodd_alerts.decided_at is 'When it was decided, in business time.';
comment on column periodd_alerts.recorded_at is 'When the row was written.';
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
comment on table periodd_outbox is 'Emails: written with the alert that they tell of, sent after that is committed.';
comment on column periodd_outbox.org_id is 'The org.';
comment on column periodd_outbox.id is 'The email.';
comment on column periodd_outbox.feature is 'The alert''s feature.';
comment on column periodd_outbox.period_start is 'Start of the alert''s period.';
comment on column periodd_outbox.period_end is 'End of the alert''s period: an email that has not been sent by then is given up.';
comment on column periodd_outbox.generation is 'The alert''s generation of the limit.';
comment on column periodd_outbox.threshold is 'The alert''s percentage.';
comment on column periodd_outbox.recipient is 'The address.';
comment on column periodd_outbox.state is 'due: to be sent; sent: accepted; given_up: never to be sent; suppressed: the address is dead.';
comment on column periodd_outbox.attempts is 'Attempts that failed.';
comment on column periodd_outbox.next_attempt_at is 'From when it may be tried again, in real time.';
comment on column periodd_outbox.leased_until is 'Until when somebody is at it, in real time; null: nobody.';
comment on column periodd_outbox.lease is 'Who is at it.';
comment on column periodd_outbox.message_id is 'The Message-ID of every attempt, without angle brackets; null until it is composed.';
comment on column periodd_outbox.dated is 'The Date of every attempt, in business time; null until it is composed.';
comment on column periodd_outbox.letter is 'What it says, as JSON, the same at every attempt; null until it is composed.';
comment on column periodd_outbox.answer is 'What the server answered last, or why the email was given up.';
comment on column periodd_outbox.settled_at is 'When it was sent or given up, in real time; null while it is due.';
comment on column periodd_outbox.recorded_at is 'When the row was written.';
create index periodd_outbox_due on periodd_outbox (next_attempt_at, org_id, id) where state = 'due';
create index periodd_outbox_ending on periodd_outbox (period_end) where state = 'due';
create index periodd_outbox_settled on periodd_outbox (settled_at) where settled_at is not null;

create table periodd_suppressions (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    reason text not null default '',
    suppressed_at timestamptz not null default now(),
    primary key (org_id, email)
);
comment on table periodd_suppressions is 'Addresses that a mail server does not know: nothing is sent there any more.';
comment on column periodd_suppressions.org_id is 'The org.';
comment on column periodd_suppressions.email is 'The address, in lower case.';
comment on column periodd_suppressions.reason is 'What the server said.';
comment on column periodd_suppressions.suppressed_at is 'Since when, in real time.';
