-- Closed periods with their usage. They are never edited.

-- One row for each period: its usage of all features stands in arrays beside each other, a place for
-- each feature. A row for each feature cost as much again as all else that a close writes.
--
-- Keys begin with the time. What closes together then stands together, and a close reads and writes
-- the last pages of an index, however many periods lie behind it; keys that begin with the org would
-- have it read and write a page of its own for each. One index is left for readers of one org.

-- plpgsql because it is called for every row: its expressions are planned once in a session.
create function periodd_adds_up(
    p_features text[], p_used_each numeric[], p_included_each numeric[],
    p_drawn_each numeric[], p_uncovered_each numeric[]
) returns boolean
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_features constant integer := cardinality(p_features);
    v_dimensions constant text := array_dims(p_features);
begin
    if v_dimensions is distinct from array_dims(p_used_each)
       or v_dimensions is distinct from array_dims(p_included_each)
       or v_dimensions is distinct from array_dims(p_drawn_each)
       or v_dimensions is distinct from array_dims(p_uncovered_each)
       or v_dimensions <> '[1:' || v_features || ']' then
        return false;
    end if;
    for v_place in 1 .. v_features loop
        -- Also where something is null.
        if (p_features[v_place] > coalesce(p_features[v_place - 1], '') collate "C"
            and p_drawn_each[v_place] + p_uncovered_each[v_place]
                = greatest(0, p_used_each[v_place]
                              - coalesce(p_included_each[v_place], p_used_each[v_place])))
           is not true then
            return false;
        end if;
    end loop;
    return true;
end
$$;
comment on function periodd_adds_up is 'Whether the usage of a closed period is consistent: each feature once, in the order of their bytes, with a place in every array, and drawn + uncovered = used above included.';

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
    features text[] not null default '{}',
    used_each numeric[] not null default '{}',
    included_each numeric[] not null default '{}' check (0 <= all (included_each)),
    drawn_each numeric[] not null default '{}' check (0 <= all (drawn_each)),
    uncovered_each numeric[] not null default '{}' check (0 <= all (uncovered_each)),
    primary key (period_start, org_id),
    unique (period_end, org_id),
    check (period_end > period_start),
    -- A period starts where another one ended (unique, so only one can follow it) …
    check (follows = period_start),
    foreign key (org_id, follows) references billing_periods (org_id, period_end),
    -- … but for the first of an org, of which there is one: null is a value here. (A partial index
    -- would say the same, and mapping tools take it for an index on all rows.)
    constraint billing_periods_first unique nulls not distinct (follows, org_id),
    constraint billing_periods_adds_up check (periodd_adds_up(features, used_each, included_each, drawn_each, uncovered_each)),
    constraint billing_periods_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint billing_periods_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint billing_periods_follows_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> follows),
    constraint billing_periods_closed_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> closed_at),
    constraint billing_periods_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at),
    -- At most six decimals: no digit but 0 comes after the sixth.
    constraint billing_periods_used_each_range check (case when cardinality(used_each) = 0 then true when array_ndims(used_each) > 1 then false else array_position(used_each, null) is null and 1e22 > all (used_each) and -1e22 < all (used_each) and used_each::text !~ '\.\d{6}\d*[1-9]' end),
    constraint billing_periods_included_each_range check (case when cardinality(included_each) = 0 then true when array_ndims(included_each) > 1 then false else 1e22 > all (included_each) and -1e22 < all (included_each) and included_each::text !~ '\.\d{6}\d*[1-9]' end),
    constraint billing_periods_drawn_each_range check (case when cardinality(drawn_each) = 0 then true when array_ndims(drawn_each) > 1 then false else array_position(drawn_each, null) is null and 1e22 > all (drawn_each) and -1e22 < all (drawn_each) and drawn_each::text !~ '\.\d{6}\d*[1-9]' end),
    constraint billing_periods_uncovered_each_range check (case when cardinality(uncovered_each) = 0 then true when array_ndims(uncovered_each) > 1 then false else array_position(uncovered_each, null) is null and 1e22 > all (uncovered_each) and -1e22 < all (uncovered_each) and uncovered_each::text !~ '\.\d{6}\d*[1-9]' end)
);
comment on table billing_periods is 'Closed periods with their usage. The periods of an org have no gaps, overlaps or duplicates: a foreign key ensures this.';
comment on column billing_periods.org_id is 'The org.';
comment on column billing_periods.period_start is 'Start of the period (inclusive).';
comment on column billing_periods.period_end is 'End of the period (exclusive).';
comment on column billing_periods.follows is 'End of the previous period, equal to period_start; null for the first period of the org.';
comment on column billing_periods.time_zone is 'Zone of the org at the close; null: unknown.';
comment on column billing_periods.tzdb_version is 'tz database release at the close; null: unknown.';
comment on column billing_periods.tier is 'Tier of the org in the period.';
comment on column billing_periods.closed_at is 'Business time of the close.';
comment on column billing_periods.recorded_at is 'Time at which the row was written.';
comment on column billing_periods.features is 'Features with usage or a draw, in the order of their bytes; billing_period_usage has a row for each.';
comment on column billing_periods.used_each is 'Used quantity of each feature.';
comment on column billing_periods.included_each is 'Included quantity of each feature; null: unlimited.';
comment on column billing_periods.drawn_each is 'Overage of each feature covered by packs.';
comment on column billing_periods.uncovered_each is 'Overage of each feature that nothing covered.';
-- For readers of one org. The last place of a close that is found by org: all else is found by time.
create index billing_periods_org on billing_periods (org_id, period_start);
alter table billing_periods enable row level security;

create view billing_period_usage with (security_invoker = true) as
select b.org_id, u.feature, b.period_start, u.used, u.included, u.drawn, u.uncovered
from billing_periods b
cross join lateral unnest(b.features, b.used_each, b.included_each, b.drawn_each, b.uncovered_each)
    as u (feature, used, included, drawn, uncovered);
comment on view billing_period_usage is 'Usage of closed periods and how it was paid: one row per feature with usage or a draw. It stands in billing_periods.';

create table billing_adjustments (
    org_id uuid not null,
    feature text not null,
    period_start timestamptz not null,
    seq integer not null check (seq > 0),
    kind text not null check (kind in ('late', 'set_aside')),
    used numeric not null default 0,
    drawn numeric not null default 0,
    uncovered numeric not null default 0,
    reason text,
    decided_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, period_start, feature, seq),
    foreign key (org_id, period_start) references billing_periods (org_id, period_start),
    constraint billing_adjustments_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint billing_adjustments_used_range check (abs(used) < 1e22 and used = round(used, 6)),
    constraint billing_adjustments_drawn_range check (abs(drawn) < 1e22 and drawn = round(drawn, 6)),
    constraint billing_adjustments_uncovered_range check (abs(uncovered) < 1e22 and uncovered = round(uncovered, 6)),
    constraint billing_adjustments_decided_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> decided_at),
    constraint billing_adjustments_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table billing_adjustments is 'Late usage of closed periods. Usage at the close plus adjustments is the sum of the metrics of the period.';
comment on column billing_adjustments.org_id is 'The org.';
comment on column billing_adjustments.feature is 'The feature.';
comment on column billing_adjustments.period_start is 'Start of the closed period.';
comment on column billing_adjustments.seq is 'Number of the adjustment, from 1.';
comment on column billing_adjustments.kind is 'late: within the grace period, covered by packs; set_aside: after it, nothing is drawn.';
comment on column billing_adjustments.used is 'Late usage; negative for a correction.';
comment on column billing_adjustments.drawn is 'Quantity drawn from packs; negative: returned to them.';
comment on column billing_adjustments.uncovered is 'Change of the uncovered quantity; negative: less is uncovered.';
comment on column billing_adjustments.reason is 'Reason, as a sentence.';
comment on column billing_adjustments.decided_at is 'Business time of the decision.';
comment on column billing_adjustments.recorded_at is 'Time at which the row was written.';
alter table billing_adjustments enable row level security;

create table periodd_moved_ends (
    org_id uuid not null references organizations (id),
    moved_at timestamptz not null default now(),
    before timestamptz not null,
    after timestamptz not null,
    tzdb_before text,
    tzdb_after text not null,
    primary key (org_id, moved_at),
    constraint periodd_moved_ends_moved_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> moved_at),
    constraint periodd_moved_ends_before_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> before),
    constraint periodd_moved_ends_after_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> after)
);
comment on table periodd_moved_ends is 'Ends of open periods that moved with a change of time zone rules.';
comment on column periodd_moved_ends.org_id is 'The org.';
comment on column periodd_moved_ends.moved_at is 'Business time of the event.';
comment on column periodd_moved_ends.before is 'End before the change.';
comment on column periodd_moved_ends.after is 'End after the change.';
comment on column periodd_moved_ends.tzdb_before is 'tz database release of the end before the change.';
comment on column periodd_moved_ends.tzdb_after is 'tz database release of the end after the change.';
alter table periodd_moved_ends enable row level security;

create table periodd_zone_months (
    time_zone text primary key,
    starts timestamptz[] not null,
    tzdb_version text not null,
    constraint periodd_zone_months_starts_range check (case when cardinality(starts) = 0 then true when array_ndims(starts) > 1 then false else array_position(starts, null) is null and '0001-01-01 00:00:00+00' <= all (starts) and '9999-12-31 23:59:59.999999+00' >= all (starts) end)
);
comment on table periodd_zone_months is 'Starts of calendar months in every accepted zone; db migrate and the daemon fill it.';
comment on column periodd_zone_months.time_zone is 'tz database name.';
comment on column periodd_zone_months.starts is 'First instants of consecutive months, in ascending order.';
comment on column periodd_zone_months.tzdb_version is 'tz database release of the starts.';
alter table periodd_zone_months enable row level security;
