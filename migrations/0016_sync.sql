-- Sync: what audits, derived columns and retention keep in mind.

create table periodd_drift (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    run bigint,
    found_at timestamptz not null default now(),
    feature text not null,
    period_start timestamptz not null,
    place text not null,
    subject uuid,
    before numeric,
    after numeric not null,
    difference numeric not null,
    reason text not null,
    recorded_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint periodd_drift_found_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> found_at),
    constraint periodd_drift_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint periodd_drift_before_range check (abs(before) < 1e22 and before = round(before, 6)),
    constraint periodd_drift_after_range check (abs(after) < 1e22 and after = round(after, 6)),
    constraint periodd_drift_difference_range check (abs(difference) < 1e22 and difference = round(difference, 6)),
    constraint periodd_drift_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_drift is 'Drift log: every wrong value that an audit found and repaired.';
comment on column periodd_drift.org_id is 'The org.';
comment on column periodd_drift.id is 'Id of the entry.';
comment on column periodd_drift.run is 'Run that repaired the value: its number in periodd_runs.';
comment on column periodd_drift.found_at is 'Business time of the event.';
comment on column periodd_drift.feature is 'The feature.';
comment on column periodd_drift.period_start is 'Start of the period.';
comment on column periodd_drift.place is 'Column of the value: table.column.';
comment on column periodd_drift.subject is 'Id of the row: the user, or the org.';
comment on column periodd_drift.before is 'Value before the repair; null: no row, or null in it.';
comment on column periodd_drift.after is 'Value after the repair.';
comment on column periodd_drift.difference is 'Value after minus value before.';
comment on column periodd_drift.reason is 'Description of the fault, as a sentence.';
comment on column periodd_drift.recorded_at is 'Time at which the row was written.';
-- What has been kept long enough.
create index periodd_drift_age on periodd_drift (found_at);
alter table periodd_drift enable row level security;

create table periodd_derived (
    org_id uuid not null references organizations (id),
    target text not null,
    key uuid not null,
    written numeric not null default 0,
    granted numeric not null default 0 check (granted >= 0),
    primary key (org_id, target, key),
    constraint periodd_derived_written_range check (abs(written) < 1e22 and written = round(written, 6)),
    constraint periodd_derived_granted_range check (abs(granted) < 1e22 and granted = round(granted, 6))
);
comment on table periodd_derived is 'Last values that periodd wrote to derived columns that depend on more than a counter, except organizations.overage_minutes.';
comment on column periodd_derived.org_id is 'The org.';
comment on column periodd_derived.target is 'Derived column: table.column.';
comment on column periodd_derived.key is 'Key of the row: the id of the org or of the user.';
comment on column periodd_derived.written is 'Written value, without additions by applications.';
comment on column periodd_derived.granted is 'Total quantity granted in packs at that time.';
alter table periodd_derived enable row level security;

create table periodd_audited (
    audit uuid not null,
    first_org uuid not null,
    last_org uuid not null,
    orgs uuid[] not null,
    starts timestamptz[] not null,
    ends timestamptz[] not null,
    metrics bigint[] not null,
    is_complete boolean not null default false,
    primary key (audit, first_org),
    constraint periodd_audited_starts_range check (case when cardinality(starts) = 0 then true when array_ndims(starts) > 1 then false else array_position(starts, null) is null and '0001-01-01 00:00:00+00' <= all (starts) and '9999-12-31 23:59:59.999999+00' >= all (starts) end),
    constraint periodd_audited_ends_range check (case when cardinality(ends) = 0 then true when array_ndims(ends) > 1 then false else array_position(ends, null) is null and '0001-01-01 00:00:00+00' <= all (ends) and '9999-12-31 23:59:59.999999+00' >= all (ends) end)
);
comment on table periodd_audited is 'Number of metrics per period at the last audit: a row per page of orgs, an array entry per period.';
comment on column periodd_audited.audit is 'The audit.';
comment on column periodd_audited.first_org is 'The first org of the page.';
comment on column periodd_audited.last_org is 'The last org of the page.';
comment on column periodd_audited.orgs is 'Orgs of the periods, entry by entry.';
comment on column periodd_audited.starts is 'Starts of the periods, entry by entry.';
comment on column periodd_audited.ends is 'Ends of the periods, entry by entry.';
comment on column periodd_audited.metrics is 'Numbers of metrics, entry by entry.';
comment on column periodd_audited.is_complete is 'Whether the audit was completed; the next audit is compared with completed ones only.';
alter table periodd_audited enable row level security;

create table periodd_removed (
    org_id uuid primary key references organizations (id),
    before timestamptz not null,
    counters_before timestamptz,
    constraint periodd_removed_before_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> before),
    constraint periodd_removed_counters_before_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> counters_before)
);
comment on table periodd_removed is 'Times before which retention may have removed the metrics of an org, and has removed its counters.';
comment on column periodd_removed.org_id is 'The org.';
comment on column periodd_removed.before is 'End of the last closed period whose metrics were removed.';
comment on column periodd_removed.counters_before is 'End of the last closed period whose counters were removed: a counter of an earlier period holds only what came afterwards. Null: none were.';
alter table periodd_removed enable row level security;
