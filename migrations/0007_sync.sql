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
comment on column organizations.overage_minutes_granted is 'Minutes granted in packs since periodd wrote overage_minutes last: what the column holds without a pack is less by that much.';
update organizations o set overage_minutes_granted = p.granted
from (select org_id, sum(quantity) as granted from overage_packs
      where feature = 'minutes_transcribed' group by 1) p
where o.id = p.org_id and o.overage_minutes_written is null;
create or replace view organisations with (security_invoker = true) as select * from organizations;

-- Counters of closed periods that still move: a sync looks at them for late usage.
comment on column usage_counters.last_synced_at is 'When the derived columns were written last, or an audit mended the counter.';
comment on column feature_usage.last_synced_at is 'When the derived columns were written last, or an audit mended the counter.';

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
comment on table periodd_drift is 'The drift log: every value that an audit found wrong and mended.';
comment on column periodd_drift.org_id is 'The org.';
comment on column periodd_drift.id is 'The entry''s id.';
comment on column periodd_drift.run is 'The run that mended it, by its number in periodd_runs.';
comment on column periodd_drift.found_at is 'When, in business time.';
comment on column periodd_drift.feature is 'The feature.';
comment on column periodd_drift.period_start is 'The period, by its start.';
comment on column periodd_drift.place is 'Where: table.column.';
comment on column periodd_drift.subject is 'Whose row: the user''s id, or the org''s.';
comment on column periodd_drift.before is 'What it held; null: there was no row, or null in it.';
comment on column periodd_drift.after is 'What it holds since.';
comment on column periodd_drift.difference is 'After less before.';
comment on column periodd_drift.reason is 'What was wrong, in a sentence.';
comment on column periodd_drift.recorded_at is 'When the row was written.';
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
comment on table periodd_derived is 'What periodd wrote last to derived columns that depend on more than a counter, but for organizations.overage_minutes.';
comment on column periodd_derived.org_id is 'The org.';
comment on column periodd_derived.target is 'The column: table.column.';
comment on column periodd_derived.key is 'The row''s key: the id of the org or of the user.';
comment on column periodd_derived.written is 'What was written, without what others had added.';
comment on column periodd_derived.granted is 'What packs had granted in all by then.';

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
comment on table periodd_audited is 'How many metrics each period held when it was audited last: a row per page of orgs, an entry of its arrays per period.';
comment on column periodd_audited.audit is 'The audit.';
comment on column periodd_audited.first_org is 'The first org of the page.';
comment on column periodd_audited.last_org is 'The last org of the page.';
comment on column periodd_audited.orgs is 'Whose period it is, entry by entry.';
comment on column periodd_audited.starts is 'When it starts.';
comment on column periodd_audited.ends is 'When it ends.';
comment on column periodd_audited.metrics is 'How many metrics it held.';
comment on column periodd_audited.is_complete is 'The audit came to its end: the next one is compared with it.';

create table periodd_removed (
    org_id uuid primary key references organizations (id),
    before timestamptz not null
);
comment on table periodd_removed is 'Up to where an org''s metrics may be gone, because they have been kept long enough.';
comment on column periodd_removed.org_id is 'The org.';
comment on column periodd_removed.before is 'The end of the last closed period whose metrics were removed.';
