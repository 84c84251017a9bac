-- What the dashboard shows of all orgs.

-- Who wants no warnings: few among many contacts.
create index org_contacts_opted_out on org_contacts (org_id, email) where opted_out_at is not null;

-- What takes all open counters to know is read once an hour and kept, so that a page reads rows and
-- there is history. A control table: it is about all orgs, and is never joined with theirs.
create table periodd_overview (
    hour timestamptz not null,
    feature text not null,
    taken_at timestamptz not null,
    tenths jsonb not null,
    tiers jsonb not null,
    most jsonb not null,
    ahead jsonb not null,
    primary key (hour, feature),
    constraint periodd_overview_hour_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> hour),
    constraint periodd_overview_taken_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> taken_at)
);
comment on table periodd_overview is 'Usage over all orgs: a row per hour and feature.';
comment on column periodd_overview.hour is 'The hour, by its beginning.';
comment on column periodd_overview.feature is 'The feature.';
comment on column periodd_overview.taken_at is 'Business time at which the counters were read.';
comment on column periodd_overview.tenths is 'Number of orgs by tenth of their allowance that they have used; the last one is of 120 percent and more.';
comment on column periodd_overview.tiers is 'Orgs, usage and included quantity by tier.';
comment on column periodd_overview.most is 'The orgs with most usage.';
comment on column periodd_overview.ahead is 'Orgs that will have used up their allowance before the end of their period, by the forecast.';
alter table periodd_overview enable row level security;
