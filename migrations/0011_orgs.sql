-- Who is billed, and what their tiers grant.
--
-- Rules that hold in every migration:
--
-- Every primary, unique and foreign key of an org's data contains the org's id
-- (`organizations.slug` and `users.id` are the two exceptions), and no table of an org's data
-- has a trigger: so the tables can be sharded by org.
--
-- What the program cannot read, the schema refuses: quantities below 10^22 with at most 6 decimals,
-- instants and dates from the year 1 to 9999, arrays without null elements. Where null means never
-- ('expires_at', 'subscription_ends_at'), 'infinity' says the same. Every column that holds such a
-- value has a constraint of its own, TABLE_COLUMN_range, one a line. A later migration adds one
-- 'not valid', which reads no row: periodd then looks for rows that break it, names these and takes
-- everything back, or validates it while reads and writes go on.
--
-- PostgreSQL parses a table's constraints anew at every statement that writes to it, and an
-- increment writes to four tables: a range is the shortest way to bound an instant, and no
-- constraint repeats what a range says.
--
-- Columns stand in the order in which they came, so that a database that was upgraded has the same.
--
-- Functions, policies and rights are in `api`, a file each, and the views that call functions.

create table features (
    feature text primary key check (feature = lower(feature) and feature <> ''),
    unit text not null default 'units'
);
comment on table features is 'Metered features. Names are in lower case; case does not matter when they are matched.';
comment on column features.feature is 'Name, such as minutes_transcribed.';
comment on column features.unit is 'Name of the unit, such as minutes.';
alter table features enable row level security;

insert into features (feature, unit) values
    ('minutes_transcribed', 'minutes'),
    ('sms_sent', 'messages'),
    ('emails_sent', 'emails'),
    ('scrapes', 'scrapes'),
    ('ai_messages', 'messages');

create table subscription_tiers (
    code text primary key,
    name text,
    monthly_price_cents bigint not null default 0 check (monthly_price_cents >= 0),
    currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$')
);
comment on table subscription_tiers is 'Subscription tiers.';
comment on column subscription_tiers.code is 'Code of the tier, such as pro; organizations refer to it.';
comment on column subscription_tiers.name is 'Display name; null: the code.';
comment on column subscription_tiers.monthly_price_cents is 'Price per month in the currency''s smallest unit.';
comment on column subscription_tiers.currency is 'ISO 4217 currency code.';
alter table subscription_tiers enable row level security;

-- Inserted once, by this migration: later edits are the operator's and are never overwritten.
insert into subscription_tiers (code, name, monthly_price_cents) values
    ('free', 'Free', 0),
    ('starter', 'Starter', 2900),
    ('pro', 'Pro', 7900),
    ('business', 'Business', 14900);

create table tier_limits (
    tier text not null references subscription_tiers (code),
    feature text not null references features (feature),
    included numeric check (included >= 0),
    judged boolean not null default false,
    judged_included numeric check (judged_included >= 0),
    primary key (tier, feature),
    constraint tier_limits_included_range check (abs(included) < 1e22 and included = round(included, 6)),
    constraint tier_limits_judged_included_range check (abs(judged_included) < 1e22 and judged_included = round(judged_included, 6))
);
comment on table tier_limits is 'Quantity that each tier includes per period. No row: nothing is included.';
comment on column tier_limits.tier is 'The tier.';
comment on column tier_limits.feature is 'The feature.';
comment on column tier_limits.included is 'Included quantity per period; null: unlimited.';
comment on column tier_limits.judged is 'Whether alerts have been evaluated with this row.';
comment on column tier_limits.judged_included is 'Included quantity at the last evaluation of alerts; null: unlimited.';
alter table tier_limits enable row level security;

create table pack_offers (
    code text primary key,
    feature text not null references features (feature),
    quantity numeric not null check (quantity > 0),
    price_cents bigint not null default 0 check (price_cents >= 0),
    currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
    constraint pack_offers_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6))
);
comment on table pack_offers is 'Overage packs on sale.';
comment on column pack_offers.code is 'Code of the offer.';
comment on column pack_offers.feature is 'Feature that the pack covers.';
comment on column pack_offers.quantity is 'Quantity in the pack.';
comment on column pack_offers.price_cents is 'Price in the currency''s smallest unit.';
comment on column pack_offers.currency is 'ISO 4217 currency code.';
alter table pack_offers enable row level security;

create table organizations (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique check (slug <> ''),
    name text not null,
    time_zone text not null,
    cycle text not null default 'monthly'
        check (cycle in ('monthly', 'quarterly', 'semiannual', 'yearly', 'weekly', 'daily')),
    anchor_day smallint not null default 1 check (anchor_day between 1 and 31),
    anchor_month smallint not null default 1 check (anchor_month between 1 and 12),
    subscription_tier text not null default 'free' references subscription_tiers (code),
    next_subscription_tier text references subscription_tiers (code),
    next_subscription_tier_at timestamptz,
    subscription_status text,
    subscription_ends_at timestamptz,
    current_period_start timestamptz,
    current_period_end timestamptz,
    current_period_end_date date,
    next_period_ends timestamptz[],
    ends_time_zone text,
    ends_cycle text,
    ends_anchor_day smallint,
    ends_anchor_month smallint,
    ends_tzdb_version text,
    used_minutes numeric not null default 0,
    overage_minutes numeric not null default 0 check (overage_minutes >= 0),
    overage_minutes_written numeric check (overage_minutes_written >= 0),
    parked_at timestamptz,
    parked_reason text,
    revision bigint not null default 0,
    created_at timestamptz not null default now(),
    overage_minutes_granted numeric not null default 0 check (overage_minutes_granted >= 0),
    judged_tier text,
    locale text check (locale ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    anchor_time time not null default '00:00:00',
    ends_anchor_time time not null default '00:00:00',
    period_day_ends timestamptz[],
    has_stale_ends boolean not null generated always as (
        next_period_ends is null
        or (period_day_ends is null
            and (next_subscription_tier_at is not null
                 or coalesce(subscription_ends_at, 'infinity') <> 'infinity'))
        or (time_zone, cycle, anchor_day, anchor_month, anchor_time)
           is distinct from (ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                             ends_anchor_time)) stored,
    parked_code text
        check (parked_code in ('by_hand', 'gap', 'halted', 'invalid_cycle', 'inverted_period',
                               'negative_pack', 'out_of_range', 'plan_fault', 'refused_by_database',
                               'unknown_zone', 'unprocessable', 'unreadable_row')),
    constraint organizations_next_subscription_tier_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> next_subscription_tier_at),
    constraint organizations_subscription_ends_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> subscription_ends_at or subscription_ends_at = 'infinity'),
    constraint organizations_current_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> current_period_start),
    constraint organizations_current_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> current_period_end),
    constraint organizations_current_period_end_date_range check (current_period_end_date between '0001-01-01' and '9999-12-31'),
    constraint organizations_next_period_ends_range check (case when cardinality(next_period_ends) = 0 then true when array_ndims(next_period_ends) > 1 then false else array_position(next_period_ends, null) is null and '0001-01-01 00:00:00+00' <= all (next_period_ends) and '9999-12-31 23:59:59.999999+00' >= all (next_period_ends) end),
    constraint organizations_anchor_time_range check (anchor_time < '24:00:00' and mod(extract(microsecond from anchor_time), 1000000) = 0),
    constraint organizations_ends_anchor_time_range check (ends_anchor_time < '24:00:00' and mod(extract(microsecond from ends_anchor_time), 1000000) = 0),
    constraint organizations_period_day_ends_range check (case when cardinality(period_day_ends) = 0 then true when array_ndims(period_day_ends) > 1 then false else array_position(period_day_ends, null) is null and '0001-01-01 00:00:00+00' <= all (period_day_ends) and '9999-12-31 23:59:59.999999+00' >= all (period_day_ends) end),
    constraint organizations_used_minutes_range check (abs(used_minutes) < 1e22 and used_minutes = round(used_minutes, 6)),
    constraint organizations_overage_minutes_range check (abs(overage_minutes) < 1e22 and overage_minutes = round(overage_minutes, 6)),
    constraint organizations_overage_minutes_written_range check (abs(overage_minutes_written) < 1e22 and overage_minutes_written = round(overage_minutes_written, 6)),
    constraint organizations_parked_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> parked_at),
    constraint organizations_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at),
    constraint organizations_overage_minutes_granted_range check (abs(overage_minutes_granted) < 1e22 and overage_minutes_granted = round(overage_minutes_granted, 6))
)
-- A rollover moves every row once per period: room for the new version on the same page.
with (fillfactor = 80);
comment on table organizations is 'Billed organizations. A single paying user is an org of one.';
comment on column organizations.id is 'Id of the org; part of every key of its data.';
comment on column organizations.slug is 'Short name, for commands and URLs.';
comment on column organizations.name is 'Display name.';
comment on column organizations.time_zone is 'tz database name; periods end at a local time of this zone. A change applies from the end of the open period.';
comment on column organizations.cycle is 'Billing cycle: monthly, quarterly, semiannual, yearly, weekly or daily.';
comment on column organizations.anchor_day is 'Day of the month (the last day in shorter months), or ISO weekday of a weekly cycle.';
comment on column organizations.anchor_month is 'Month of a yearly cycle, or one of the months of a quarterly or semiannual one.';
comment on column organizations.subscription_tier is 'Current tier.';
comment on column organizations.next_subscription_tier is 'Scheduled tier; applied at the first boundary on or after the local date of next_subscription_tier_at.';
comment on column organizations.next_subscription_tier_at is 'Earliest time of the scheduled tier, which means its local date; null: the next boundary.';
comment on column organizations.subscription_status is 'Status from the payment provider; shown, never interpreted.';
comment on column organizations.subscription_ends_at is 'End of the subscription: the org falls back to the ended tier at the first boundary on or after its local date.';
comment on column organizations.current_period_start is 'Start of the open period (inclusive); null until periodd opens one.';
comment on column organizations.current_period_end is 'End of the open period (exclusive); the period is due once it has passed.';
comment on column organizations.current_period_end_date is 'Local date of current_period_end.';
comment on column organizations.next_period_ends is 'Ends of the periods after the open one: functions find the period of an instant among them, however late the rollover is.';
comment on column organizations.ends_time_zone is 'Zone from which next_period_ends was computed; the ends are recomputed where it differs from time_zone.';
comment on column organizations.ends_cycle is 'Cycle from which next_period_ends was computed.';
comment on column organizations.ends_anchor_day is 'anchor_day from which next_period_ends was computed.';
comment on column organizations.ends_anchor_month is 'anchor_month from which next_period_ends was computed.';
comment on column organizations.ends_tzdb_version is 'tz database release with which current_period_end was computed.';
comment on column organizations.used_minutes is 'Derived: minutes_transcribed used in the open period.';
comment on column organizations.overage_minutes is 'Derived: remaining minutes_transcribed of packs, plus minutes that an application added to the column without a pack.';
comment on column organizations.overage_minutes_written is 'Last value that periodd wrote to overage_minutes, without additions by applications; null until the first write.';
comment on column organizations.parked_at is 'Time at which the org was parked; null: not parked.';
comment on column organizations.parked_reason is 'Reason for parking, as a sentence.';
comment on column organizations.revision is 'Raised by changes that a planned rollover depends on, such as a grant or a refund; a rollover that was planned before is planned again.';
comment on column organizations.created_at is 'Time at which the row was written.';
comment on column organizations.overage_minutes_granted is 'Minutes granted in packs since periodd last wrote overage_minutes; they are not additions by an application.';
comment on column organizations.judged_tier is 'Tier at the last evaluation of alerts; null: not evaluated yet.';
comment on column organizations.locale is 'Language and region of emails, such as en-GB; null: en.';
comment on column organizations.anchor_time is 'Local time of day at which periods end, to the second.';
comment on column organizations.ends_anchor_time is 'anchor_time from which next_period_ends was computed.';
comment on column organizations.period_day_ends is 'Ends of the local days on which the open period and those after it end, where next_subscription_tier_at or subscription_ends_at is set: these take effect at the first boundary whose day ends after them.';
comment on column organizations.has_stale_ends is 'Whether next_period_ends or period_day_ends is missing or was computed for another zone, cycle or anchor.';
comment on column organizations.parked_code is 'Reason for parking, as a code; null: not parked, or a reason without a code.';

-- What is due, in the order in which passes walk over it.
create index organizations_due on organizations (current_period_end, id) where parked_at is null;
-- What has no open period yet.
create index organizations_unopened on organizations (id)
    where parked_at is null and (current_period_start is null or current_period_end is null);
create index organizations_stale_ends on organizations (id)
    where parked_at is null and has_stale_ends;
create index organizations_parked on organizations (id) where parked_at is not null;
-- What status looks at: an org that a person set aside is no fault.
create index organizations_parked_by_periodd on organizations (id)
    where parked_at is not null and parked_code is distinct from 'by_hand';
create index organizations_parked_by_hand on organizations (id)
    where parked_at is not null and parked_code = 'by_hand';
-- What alerts judged by last stands beside what holds now, here and in the tables of limits. Where
-- the two differ, a limit has moved since: the partial indexes hold just those rows, and are empty
-- most of the time.
create index organizations_tier_moved on organizations (id) include (subscription_tier)
    where judged_tier <> subscription_tier;
-- Orgs that alerts have not looked at yet.
create index organizations_tier_unjudged on organizations (id) where judged_tier is null;
alter table organizations enable row level security;

create table limit_overrides (
    org_id uuid not null references organizations (id),
    feature text not null references features (feature),
    included numeric check (included >= 0),
    judged boolean not null default false,
    judged_included numeric check (judged_included >= 0),
    primary key (org_id, feature),
    constraint limit_overrides_included_range check (abs(included) < 1e22 and included = round(included, 6)),
    constraint limit_overrides_judged_included_range check (abs(judged_included) < 1e22 and judged_included = round(judged_included, 6))
);
comment on table limit_overrides is 'Included quantities of single orgs, instead of those of their tier.';
comment on column limit_overrides.org_id is 'The org.';
comment on column limit_overrides.feature is 'The feature.';
comment on column limit_overrides.included is 'Included quantity per period; null: unlimited.';
comment on column limit_overrides.judged is 'Whether alerts have been evaluated with this row.';
comment on column limit_overrides.judged_included is 'Included quantity at the last evaluation of alerts; null: unlimited.';
create index limit_overrides_moved on limit_overrides (org_id) include (feature, included)
    where not judged or included is distinct from judged_included;
alter table limit_overrides enable row level security;

create table users (
    id uuid not null default gen_random_uuid() unique,
    organization_id uuid not null references organizations (id),
    email text not null,
    plan text,
    subscription_status text,
    usage_this_month numeric not null default 0,
    plan_limits_scrapes numeric check (plan_limits_scrapes >= 0),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    constraint users_usage_this_month_range check (abs(usage_this_month) < 1e22 and usage_this_month = round(usage_this_month, 6)),
    constraint users_plan_limits_scrapes_range check (abs(plan_limits_scrapes) < 1e22 and plan_limits_scrapes = round(plan_limits_scrapes, 6)),
    constraint users_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at)
)
with (fillfactor = 80);
comment on table users is 'Users of the orgs.';
comment on column users.id is 'Id of the user, unique across all orgs.';
comment on column users.organization_id is 'The org that is billed.';
comment on column users.email is 'Email address.';
comment on column users.plan is 'Plan of the user, as the application shows it; null: the tier of the org.';
comment on column users.subscription_status is 'Status of the user, as the application shows it; null: the status of the org.';
comment on column users.usage_this_month is 'Derived: scrapes used by this user in the open period.';
comment on column users.plan_limits_scrapes is 'Derived; periodd writes it and never reads it: scrapes that the org may use per period; null: unlimited. A changed limit appears with the next rollover or audit.';
comment on column users.created_at is 'Time at which the row was written.';
create index users_email on users (lower(email));
alter table users enable row level security;

create table org_contacts (
    org_id uuid not null references organizations (id),
    -- One plain address: nothing that a mail program would read as several, or as a header.
    email text not null
        check (length(email) <= 254
               and email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_\u0060{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'),
    opted_out_at timestamptz,
    primary key (org_id, email),
    constraint org_contacts_opted_out_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> opted_out_at)
);
comment on table org_contacts is 'Recipients of the emails about an org; without a row, its users.';
comment on column org_contacts.org_id is 'The org.';
comment on column org_contacts.email is 'Email address.';
comment on column org_contacts.opted_out_at is 'Time at which the address unsubscribed from warnings; null: subscribed.';
create index org_contacts_email on org_contacts (lower(email));
alter table org_contacts enable row level security;

create view organisations with (security_invoker = true) as select * from organizations;
comment on view organisations is 'organizations under its British spelling; updatable.';
