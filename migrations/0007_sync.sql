-- Sync: what counting, audits, late usage and retention keep in mind.

-- Sums over a stretch of time are answered by the index alone, in the order of orgs: an audit of
-- metrics that lie scattered over the table would otherwise read most of it again for every page.
drop index usage_metrics_time;
create index usage_metrics_time on usage_metrics (organization_id, created_at)
    include (metric_type, metric_value, user_id, counted_at);
-- The index answers alone only for pages that a vacuum has seen.
alter table usage_metrics set (
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);

alter table organizations add overage_minutes_granted numeric not null default 0
    check (overage_minutes_granted >= 0 and overage_minutes_granted < 'Infinity'
           and overage_minutes_granted = round(overage_minutes_granted, 6));
comment on column organizations.overage_minutes_granted is 'Minutes granted in packs since periodd last wrote overage_minutes; they are not additions by an application.';
update organizations o set overage_minutes_granted = p.granted
from (select org_id, sum(quantity) as granted from overage_packs
      where feature = 'minutes_transcribed' group by 1) p
where o.id = p.org_id and o.overage_minutes_written is null;
create or replace view organisations with (security_invoker = true) as select * from organizations;

-- Counters of closed periods that still move: a sync looks at them for late usage.
comment on column usage_counters.last_synced_at is 'Time of the last write of the derived columns, or of the last repair by an audit.';
comment on column feature_usage.last_synced_at is 'Time of the last write of the derived columns, or of the last repair by an audit.';

create table periodd_drift (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    run bigint,
    found_at timestamptz not null default now(),
    feature text not null,
    period_start timestamptz not null,
    place text not null,
    subject uuid,
    before numeric
        check (before > '-Infinity' and before < 'Infinity' and before = round(before, 6)),
    after numeric not null
        check (after > '-Infinity' and after < 'Infinity' and after = round(after, 6)),
    difference numeric not null
        check (difference > '-Infinity' and difference < 'Infinity' and difference = round(difference, 6)),
    reason text not null,
    recorded_at timestamptz not null default now(),
    primary key (org_id, id)
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

create table periodd_derived (
    org_id uuid not null references organizations (id),
    target text not null,
    key uuid not null,
    written numeric not null default 0
        check (written > '-Infinity' and written < 'Infinity' and written = round(written, 6)),
    granted numeric not null default 0
        check (granted >= 0 and granted < 'Infinity' and granted = round(granted, 6)),
    primary key (org_id, target, key)
);
comment on table periodd_derived is 'Last values that periodd wrote to derived columns that depend on more than a counter, except organizations.overage_minutes.';
comment on column periodd_derived.org_id is 'The org.';
comment on column periodd_derived.target is 'Derived column: table.column.';
comment on column periodd_derived.key is 'Key of the row: the id of the org or of the user.';
comment on column periodd_derived.written is 'Written value, without additions by applications.';
comment on column periodd_derived.granted is 'Total quantity granted in packs at that time.';

create table periodd_audited (
    audit uuid not null,
    first_org uuid not null,
    last_org uuid not null,
    orgs uuid[] not null,
    starts timestamptz[] not null,
    ends timestamptz[] not null,
    metrics bigint[] not null,
    is_complete boolean not null default false,
    primary key (audit, first_org)
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

create table periodd_removed (
    org_id uuid primary key references organizations (id),
    before timestamptz not null
);
comment on table periodd_removed is 'Time before which retention may have removed the metrics of an org.';
comment on column periodd_removed.org_id is 'The org.';
comment on column periodd_removed.before is 'End of the last closed period whose metrics were removed.';

-- Retention moves them here, so that a key outlives its metric.
create table periodd_usage_keys (
    org_id uuid not null references organizations (id),
    idempotency_key text not null check (idempotency_key <> ''),
    metric_id uuid not null,
    user_id uuid,
    feature text not null,
    quantity numeric not null
        check (quantity > '-Infinity' and quantity < 'Infinity' and quantity = round(quantity, 6)),
    used_at timestamptz not null,
    recorded_at timestamptz not null,
    primary key (org_id, idempotency_key)
);
comment on table periodd_usage_keys is 'Idempotency keys of metrics that retention has removed, with what they were used for: a repeated key still counts once.';
comment on column periodd_usage_keys.org_id is 'The org.';
comment on column periodd_usage_keys.idempotency_key is 'The key.';
comment on column periodd_usage_keys.metric_id is 'The id of the removed metric.';
comment on column periodd_usage_keys.user_id is 'The user of the metric; null: none.';
comment on column periodd_usage_keys.feature is 'The feature of the metric.';
comment on column periodd_usage_keys.quantity is 'The quantity of the metric.';
comment on column periodd_usage_keys.used_at is 'The time of use.';
comment on column periodd_usage_keys.recorded_at is 'When the metric was recorded.';
