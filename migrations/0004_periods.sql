-- Closed periods. Neither they nor their usage is ever edited.

create table billing_periods (
    org_id uuid not null references organizations (id),
    period_start timestamptz not null,
    period_end timestamptz not null,
    follows timestamptz,
    time_zone text,
    tzdb_version text,
    tier text not null default 'free',
    closed_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, period_start),
    unique (org_id, period_end),
    check (period_end > period_start),
    -- A period starts where another one ended (unique, so only one can follow it) …
    check (follows = period_start),
    foreign key (org_id, follows) references billing_periods (org_id, period_end)
);
-- … but for the first of an org, of which there is one.
create unique index billing_periods_first on billing_periods (org_id) where follows is null;
comment on table billing_periods is 'Closed periods. Those of an org touch, without gap, overlap or repeat: the foreign key says so.';
comment on column billing_periods.org_id is 'The org.';
comment on column billing_periods.period_start is 'The first instant inside.';
comment on column billing_periods.period_end is 'The first instant after.';
comment on column billing_periods.follows is 'The end of the period before, which is this one''s start; null for the org''s first.';
comment on column billing_periods.time_zone is 'The org''s zone when it closed; null where that is not known any more.';
comment on column billing_periods.tzdb_version is 'The tz database release in use when it closed; null where that is not known.';
comment on column billing_periods.tier is 'The tier that granted in it.';
comment on column billing_periods.closed_at is 'When it closed, in business time.';
comment on column billing_periods.recorded_at is 'When the row was written.';

create table billing_period_usage (
    org_id uuid not null,
    feature text not null,
    period_start timestamptz not null,
    used numeric not null default 0
        check (used > '-Infinity' and used < 'Infinity' and used = round(used, 6)),
    included numeric
        check (included >= 0 and included < 'Infinity' and included = round(included, 6)),
    drawn numeric not null default 0
        check (drawn >= 0 and drawn < 'Infinity' and drawn = round(drawn, 6)),
    uncovered numeric not null default 0
        check (uncovered >= 0 and uncovered < 'Infinity' and uncovered = round(uncovered, 6)),
    primary key (org_id, period_start, feature),
    foreign key (org_id, period_start) references billing_periods (org_id, period_start),
    check (drawn + uncovered = greatest(0, used - coalesce(included, used)))
);
comment on table billing_period_usage is 'What a closed period used and who paid: one row per feature with usage or a draw.';
comment on column billing_period_usage.org_id is 'The org.';
comment on column billing_period_usage.feature is 'The feature.';
comment on column billing_period_usage.period_start is 'The period, by its start.';
comment on column billing_period_usage.used is 'What was used.';
comment on column billing_period_usage.included is 'What was included; null is unlimited.';
comment on column billing_period_usage.drawn is 'Overage that packs paid for.';
comment on column billing_period_usage.uncovered is 'Overage that nothing paid for.';

create table billing_adjustments (
    org_id uuid not null,
    feature text not null,
    period_start timestamptz not null,
    seq integer not null check (seq > 0),
    kind text not null check (kind in ('late', 'set_aside')),
    used numeric not null default 0
        check (used > '-Infinity' and used < 'Infinity' and used = round(used, 6)),
    drawn numeric not null default 0
        check (drawn > '-Infinity' and drawn < 'Infinity' and drawn = round(drawn, 6)),
    uncovered numeric not null default 0
        check (uncovered > '-Infinity' and uncovered < 'Infinity' and uncovered = round(uncovered, 6)),
    reason text,
    decided_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, period_start, feature, seq),
    foreign key (org_id, period_start) references billing_periods (org_id, period_start)
);
comment on table billing_adjustments is 'Late usage of closed periods. Closed used plus adjustments is the sum of the period''s metrics.';
comment on column billing_adjustments.org_id is 'The org.';
comment on column billing_adjustments.feature is 'The feature.';
comment on column billing_adjustments.period_start is 'The closed period, by its start.';
comment on column billing_adjustments.seq is 'The adjustment''s place, from 1 on.';
comment on column billing_adjustments.kind is 'late: within the grace, packs pay; set_aside: after it, nothing is drawn.';
comment on column billing_adjustments.used is 'Usage that came late; negative for a correction.';
comment on column billing_adjustments.drawn is 'What packs paid for it; negative when it went back.';
comment on column billing_adjustments.uncovered is 'What nothing paid for; negative when less is uncovered.';
comment on column billing_adjustments.reason is 'Why, in a sentence.';
comment on column billing_adjustments.decided_at is 'When it was decided, in business time.';
comment on column billing_adjustments.recorded_at is 'When the row was written.';

create table periodd_moved_ends (
    org_id uuid not null references organizations (id),
    moved_at timestamptz not null default now(),
    before timestamptz not null,
    after timestamptz not null,
    tzdb_before text,
    tzdb_after text not null,
    primary key (org_id, moved_at)
);
comment on table periodd_moved_ends is 'Ends of open periods that moved because a government changed its clocks.';
comment on column periodd_moved_ends.org_id is 'The org.';
comment on column periodd_moved_ends.moved_at is 'When, in business time.';
comment on column periodd_moved_ends.before is 'The end before.';
comment on column periodd_moved_ends.after is 'The end after.';
comment on column periodd_moved_ends.tzdb_before is 'The tz database release that the end before came from.';
comment on column periodd_moved_ends.tzdb_after is 'The tz database release that the end after comes from.';

create table periodd_zone_months (
    time_zone text primary key,
    starts timestamptz[] not null,
    tzdb_version text not null
);
comment on table periodd_zone_months is 'When calendar months begin in every accepted zone; db migrate and the daemon keep it filled.';
comment on column periodd_zone_months.time_zone is 'tz database name.';
comment on column periodd_zone_months.starts is 'First instants of consecutive months, rising.';
comment on column periodd_zone_months.tzdb_version is 'The tz database release that they come from.';

create table periodd_facts (
    name text primary key,
    value text not null
);
comment on table periodd_facts is 'Facts about this database that periodd remembers, such as the newest tz database release used.';
comment on column periodd_facts.name is 'Which fact.';
comment on column periodd_facts.value is 'Its value.';
