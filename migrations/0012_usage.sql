-- Usage: the metrics, which are the truth, and the counters that are derived from them.

create table usage_metrics (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    user_id uuid,
    metric_type text not null check (metric_type <> ''),
    metric_value numeric not null,
    created_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    counted_at timestamptz,
    idempotency_key text check (idempotency_key <> ''),
    -- The id first, which rises with time.
    primary key (id, organization_id),
    constraint usage_metrics_metric_value_range check (abs(metric_value) < 1e22 and metric_value = round(metric_value, 6)),
    constraint usage_metrics_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at),
    constraint usage_metrics_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at),
    constraint usage_metrics_counted_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> counted_at)
)
-- The index over time answers alone only for pages that a vacuum has seen.
with (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
comment on table usage_metrics is 'Recorded usage, append-only. A correction is a metric with a negative value.';
comment on column usage_metrics.id is 'Id of the metric.';
comment on column usage_metrics.organization_id is 'The org that is billed.';
comment on column usage_metrics.user_id is 'User; null: usage of the org as a whole.';
comment on column usage_metrics.metric_type is 'The feature, in any case.';
comment on column usage_metrics.metric_value is 'Quantity; negative for a correction.';
comment on column usage_metrics.created_at is 'Time of the usage: decides in which period it counts.';
comment on column usage_metrics.recorded_at is 'Time at which the row was written.';
comment on column usage_metrics.counted_at is 'Time at which the metric was added to its counter; null: not counted yet.';
comment on column usage_metrics.idempotency_key is 'Idempotency key: a key that an org repeats counts once.';

-- Not a partial index: clients name its columns in `on conflict`, and cannot add a condition.
create unique index usage_metrics_key on usage_metrics (organization_id, idempotency_key);
-- What is still to be counted: small, whatever the size of the table.
create index usage_metrics_uncounted on usage_metrics (organization_id, created_at)
    where counted_at is null;
-- Sums over a stretch of time, for audits and for usage before an expiry, are answered by the index
-- alone, in the order of orgs: metrics that lie scattered over the table would otherwise make an
-- audit read most of it again for every page.
create index usage_metrics_time on usage_metrics (organization_id, created_at)
    include (metric_type, metric_value, user_id, counted_at);
alter table usage_metrics enable row level security;

create view usage_events with (security_invoker = true) as select * from usage_metrics;
comment on view usage_events is 'usage_metrics under the name that some applications use.';

create table usage_counters (
    org_id uuid not null references organizations (id),
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    used numeric not null default 0,
    sync_status text not null default 'pending' check (sync_status in ('pending', 'synced')),
    last_synced_at timestamptz,
    discrepancy_count integer not null default 0 check (discrepancy_count >= 0),
    updated_at timestamptz not null default now(),
    revision bigint not null default 0,
    primary key (org_id, period_start, feature),
    check (period_end > period_start),
    constraint usage_counters_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint usage_counters_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint usage_counters_used_range check (abs(used) < 1e22 and used = round(used, 6)),
    constraint usage_counters_last_synced_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_synced_at),
    constraint usage_counters_updated_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> updated_at)
)
-- Counters change with every use; room on the page keeps those updates away from the indexes.
with (fillfactor = 70);
comment on table usage_counters is 'Usage per org, feature and period: the sum of the counted metrics.';
comment on column usage_counters.revision is 'Revision of the org at the last decrease of its packs outside of a rollover; an increment that read its limit before decides again.';
comment on column usage_counters.org_id is 'The org.';
comment on column usage_counters.feature is 'The feature.';
comment on column usage_counters.period_start is 'Start of the period (inclusive).';
comment on column usage_counters.period_end is 'End of the period (exclusive).';
comment on column usage_counters.used is 'The sum of the counted metrics with created_at in [period_start, period_end).';
comment on column usage_counters.sync_status is 'pending: changed since the derived columns were written; synced: the derived columns agree.';
comment on column usage_counters.last_synced_at is 'Time of the last write of the derived columns, or of the last repair by an audit.';
comment on column usage_counters.discrepancy_count is 'Number of audits that found this counter wrong.';
comment on column usage_counters.updated_at is 'Time of the last change of the counter.';
create index usage_counters_pending on usage_counters (org_id) where sync_status = 'pending';
-- Counters move too often for an index on when they did: it would cost every increment its place
-- on the page. Those that moved since they were synced are in usage_counters_pending; syncing
-- takes them out of there, and into this one.
create index usage_counters_synced on usage_counters (last_synced_at);
alter table usage_counters enable row level security;

create table feature_usage (
    organization_id uuid not null references organizations (id),
    user_id uuid not null,
    feature text not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    usage_count numeric not null default 0,
    sync_status text not null default 'pending' check (sync_status in ('pending', 'synced')),
    last_synced_at timestamptz,
    discrepancy_count integer not null default 0 check (discrepancy_count >= 0),
    updated_at timestamptz not null default now(),
    primary key (organization_id, user_id, period_start, feature),
    check (period_end > period_start),
    constraint feature_usage_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint feature_usage_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end),
    constraint feature_usage_usage_count_range check (abs(usage_count) < 1e22 and usage_count = round(usage_count, 6)),
    constraint feature_usage_last_synced_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_synced_at),
    constraint feature_usage_updated_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> updated_at)
)
with (fillfactor = 70);
comment on table feature_usage is 'Usage per user, feature and period of the user''s org.';
comment on column feature_usage.organization_id is 'The org that is billed.';
comment on column feature_usage.user_id is 'The user.';
comment on column feature_usage.feature is 'The feature.';
comment on column feature_usage.period_start is 'Start of the period (inclusive).';
comment on column feature_usage.period_end is 'End of the period (exclusive).';
comment on column feature_usage.usage_count is 'The sum of the user''s counted metrics with created_at in [period_start, period_end).';
comment on column feature_usage.sync_status is 'pending: changed since the derived columns were written; synced: the derived columns agree.';
comment on column feature_usage.last_synced_at is 'Time of the last write of the derived columns, or of the last repair by an audit.';
comment on column feature_usage.discrepancy_count is 'Number of audits that found this counter wrong.';
comment on column feature_usage.updated_at is 'Time of the last change of the counter.';
create index feature_usage_pending on feature_usage (organization_id) where sync_status = 'pending';
alter table feature_usage enable row level security;

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
    primary key (org_id, idempotency_key),
    constraint periodd_usage_keys_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)),
    constraint periodd_usage_keys_used_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> used_at),
    constraint periodd_usage_keys_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
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
alter table periodd_usage_keys enable row level security;
