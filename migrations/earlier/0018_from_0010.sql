-- From the schema of the first ten migrations (0001 to 0010, before there was a release) to that of
-- 0011 to 0018, in place: grants on tables, views and functions stay, and only closed periods are
-- written again. Ranges and functions come afterwards, as in every migration; the comments are those
-- of 0011 to 0018.

-- Functions whose result is another now, or that nothing calls any more.
drop function periodd_foreseen(uuid, text, timestamptz);
drop function periodd_allowance(uuid, text, timestamptz);

-- 0011: orgs and limits ---------------------------------------------------------------------------

-- What a range says is not said twice.
alter table tier_limits
    drop constraint tier_limits_included_check,
    add constraint tier_limits_included_check check (included >= 0),
    drop constraint tier_limits_judged_included_check,
    add constraint tier_limits_judged_included_check check (judged_included >= 0);
alter table limit_overrides
    drop constraint limit_overrides_included_check,
    add constraint limit_overrides_included_check check (included >= 0),
    drop constraint limit_overrides_judged_included_check,
    add constraint limit_overrides_judged_included_check check (judged_included >= 0);
alter table pack_offers
    drop constraint pack_offers_quantity_check,
    add constraint pack_offers_quantity_check check (quantity > 0);
alter table users
    drop constraint users_usage_this_month_check,
    drop constraint users_plan_limits_scrapes_check,
    add constraint users_plan_limits_scrapes_check check (plan_limits_scrapes >= 0);

-- Its condition became the column has_stale_ends.
drop index organizations_stale_ends;
alter table organizations
    drop constraint organizations_used_minutes_check,
    drop constraint organizations_overage_minutes_check,
    add constraint organizations_overage_minutes_check check (overage_minutes >= 0),
    drop constraint organizations_overage_minutes_written_check,
    add constraint organizations_overage_minutes_written_check check (overage_minutes_written >= 0),
    drop constraint organizations_overage_minutes_granted_check,
    add constraint organizations_overage_minutes_granted_check check (overage_minutes_granted >= 0),
    drop constraint organizations_cycle_check,
    add constraint organizations_cycle_check
        check (cycle in ('monthly', 'quarterly', 'semiannual', 'yearly', 'weekly', 'daily')),
    add column anchor_time time not null default '00:00:00',
    add column ends_anchor_time time not null default '00:00:00',
    add column period_day_ends timestamptz[];
alter table organizations
    add column has_stale_ends boolean not null generated always as (
        next_period_ends is null
        or (period_day_ends is null
            and (next_subscription_tier_at is not null
                 or coalesce(subscription_ends_at, 'infinity') <> 'infinity'))
        or (time_zone, cycle, anchor_day, anchor_month, anchor_time)
           is distinct from (ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                             ends_anchor_time)) stored,
    add column parked_code text
        check (parked_code in ('by_hand', 'gap', 'halted', 'invalid_cycle', 'inverted_period',
                               'negative_pack', 'out_of_range', 'plan_fault', 'refused_by_database',
                               'unknown_zone', 'unprocessable', 'unreadable_row'));
-- The one time that sentences become codes: those of the periodd that wrote them.
update organizations set parked_code = case
        when parked_reason like 'time zone %' then 'unknown_zone'
        when parked_reason like '%does not end after it starts' then 'inverted_period'
        when parked_reason like 'the open period starts at %' then 'gap'
        when parked_reason like 'more than one period is due %' then 'halted'
        when parked_reason like 'pack % holds less than nothing' then 'negative_pack'
        when parked_reason like 'a row holds a value that cannot be read%' then 'unreadable_row'
        when parked_reason like 'periodd planned a rollover that breaks a rule%' then 'plan_fault'
    end
where parked_at is not null;
create index organizations_stale_ends on organizations (id)
    where parked_at is null and has_stale_ends;
create index organizations_parked_by_periodd on organizations (id)
    where parked_at is not null and parked_code is distinct from 'by_hand';
create index organizations_parked_by_hand on organizations (id)
    where parked_at is not null and parked_code = 'by_hand';
create or replace view organisations with (security_invoker = true) as select * from organizations;

-- The same addresses, spelt without the character that mapping tools stumble over.
alter table org_contacts
    drop constraint org_contacts_email_check,
    add constraint org_contacts_email_check check (
        length(email) <= 254
        and email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_\u0060{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$');
create index org_contacts_email on org_contacts (lower(email));

-- 0012: usage -------------------------------------------------------------------------------------

-- An empty key was one key of its org; as no key, its metric still counts once.
update usage_metrics set idempotency_key = null where idempotency_key = '';
alter table usage_metrics
    drop constraint usage_metrics_metric_value_check,
    add constraint usage_metrics_idempotency_key_check check (idempotency_key <> '');
drop index usage_metrics_key;
create unique index usage_metrics_key on usage_metrics (organization_id, idempotency_key);
alter table usage_counters drop constraint usage_counters_used_check;
alter table feature_usage drop constraint feature_usage_usage_count_check;

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
alter table periodd_usage_keys enable row level security;

-- 0013: packs -------------------------------------------------------------------------------------

alter table overage_packs
    drop constraint overage_packs_remaining_check,
    drop constraint overage_packs_quantity_check,
    add constraint overage_packs_quantity_check check (quantity >= 0);
alter table overage_entries
    drop constraint overage_entries_quantity_check,
    drop constraint overage_entries_remaining_check,
    add constraint overage_entries_remaining_check check (remaining >= 0);

create table periodd_refund_keys (
    org_id uuid not null,
    idempotency_key text not null check (idempotency_key <> ''),
    pack_id uuid not null,
    seq integer not null,
    asked numeric check (asked >= 0 and asked < 'Infinity' and asked = round(asked, 6)),
    primary key (org_id, idempotency_key),
    foreign key (org_id, pack_id, seq) references overage_entries (org_id, pack_id, seq)
);
alter table periodd_refund_keys enable row level security;

-- 0014: periods -----------------------------------------------------------------------------------

-- The usage of a closed period stands in its row, and keys begin with the time.
drop index billing_periods_first;
alter table billing_adjustments drop constraint billing_adjustments_org_id_period_start_fkey;
alter table billing_period_usage drop constraint billing_period_usage_org_id_period_start_fkey;
alter table billing_periods
    drop constraint billing_periods_org_id_follows_fkey,
    drop constraint billing_periods_org_id_period_end_key,
    drop constraint billing_periods_pkey,
    add column features text[] not null default '{}',
    add column used_each numeric[] not null default '{}',
    add column included_each numeric[] not null default '{}',
    add column drawn_each numeric[] not null default '{}',
    add column uncovered_each numeric[] not null default '{}';
-- Written again in the order of time, without a gap: each close locks the period before, and those of
-- one close would otherwise lie in as many pages.
create table periodd_former_periods as
select b.org_id, b.period_start, b.period_end, b.follows, b.time_zone, b.tzdb_version, b.tier,
       b.closed_at, b.recorded_at, coalesce(u.features, '{}') as features,
       coalesce(u.used, '{}') as used_each, coalesce(u.included, '{}') as included_each,
       coalesce(u.drawn, '{}') as drawn_each, coalesce(u.uncovered, '{}') as uncovered_each
from billing_periods b
left join (select org_id, period_start, array_agg(feature order by feature collate "C") as features,
                  array_agg(used order by feature collate "C") as used,
                  array_agg(included order by feature collate "C") as included,
                  array_agg(drawn order by feature collate "C") as drawn,
                  array_agg(uncovered order by feature collate "C") as uncovered
           from billing_period_usage group by 1, 2) u
  on u.org_id = b.org_id and u.period_start = b.period_start;
truncate billing_periods;
insert into billing_periods
    (org_id, period_start, period_end, follows, time_zone, tzdb_version, tier, closed_at,
     recorded_at, features, used_each, included_each, drawn_each, uncovered_each)
select * from periodd_former_periods order by period_start, org_id;
drop table periodd_former_periods;

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

alter table billing_periods
    add primary key (period_start, org_id),
    add unique (period_end, org_id),
    add constraint billing_periods_first unique nulls not distinct (follows, org_id),
    add foreign key (org_id, follows) references billing_periods (org_id, period_end),
    add constraint billing_periods_adds_up check (periodd_adds_up(features, used_each, included_each, drawn_each, uncovered_each)),
    add constraint billing_periods_included_each_check check (0 <= all (included_each)),
    add constraint billing_periods_drawn_each_check check (0 <= all (drawn_each)),
    add constraint billing_periods_uncovered_each_check check (0 <= all (uncovered_each));
create index billing_periods_org on billing_periods (org_id, period_start);
alter table billing_adjustments
    add foreign key (org_id, period_start) references billing_periods (org_id, period_start);

-- Whoever could read the table can read the view, and what it reads of the other table.
alter table billing_period_usage rename to billing_period_usage_table;
create view billing_period_usage with (security_invoker = true) as
select b.org_id, u.feature, b.period_start, u.used, u.included, u.drawn, u.uncovered
from billing_periods b
cross join lateral unnest(b.features, b.used_each, b.included_each, b.drawn_each, b.uncovered_each)
    as u (feature, used, included, drawn, uncovered);
do $$
declare
    v_text text;
begin
    for v_text in
        select format('grant %s to %s', g.what,
                      case when a.grantee = 0 then 'public'
                           else quote_ident(pg_get_userbyid(a.grantee)) end)
        from pg_class c cross join lateral aclexplode(c.relacl) a
        cross join (values
            ('select on billing_period_usage'),
            ('select (org_id, period_start, features, used_each, included_each, drawn_each, uncovered_each) on billing_periods')
        ) as g (what)
        where c.oid = 'billing_period_usage_table'::regclass and a.privilege_type = 'SELECT'
          and a.grantee <> c.relowner
    loop
        execute v_text;
    end loop;
end
$$;
drop table billing_period_usage_table;
alter table billing_adjustments
    drop constraint billing_adjustments_used_check,
    drop constraint billing_adjustments_drawn_check,
    drop constraint billing_adjustments_uncovered_check;

-- 0015: control tables ----------------------------------------------------------------------------

alter table periodd_runs
    drop constraint periodd_runs_reason_check,
    add constraint periodd_runs_reason_check
        check (reason in ('paused', 'overlapped', 'too late', 'clock'));

create table periodd_daemons (
    replica text primary key,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    stopped_at timestamptz,
    config_file text,
    config_digest text,
    listening text[] not null default '{}'
);
alter table periodd_daemons enable row level security;

create table periodd_clocks (
    boot text primary key,
    machine text not null,
    database_at timestamptz not null,
    machine_at timestamptz not null,
    awake_us bigint not null,
    expected_at timestamptz
);
alter table periodd_clocks enable row level security;

create table periodd_api (
    name text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now()
);
alter table periodd_api enable row level security;

insert into periodd_facts (name, value) values ('ended_tier', 'free');

-- 0016: sync --------------------------------------------------------------------------------------

alter table periodd_drift
    drop constraint periodd_drift_before_check,
    drop constraint periodd_drift_after_check,
    drop constraint periodd_drift_difference_check;
alter table periodd_removed add column counters_before timestamptz;
alter table periodd_derived
    drop constraint periodd_derived_written_check,
    drop constraint periodd_derived_granted_check,
    add constraint periodd_derived_granted_check check (granted >= 0);

-- 0017: alerts ------------------------------------------------------------------------------------

alter table periodd_alert_limits
    drop constraint periodd_alert_limits_used_check,
    drop constraint periodd_alert_limits_quantity_check,
    add constraint periodd_alert_limits_quantity_check check (quantity >= 0);
alter table periodd_alerts
    drop constraint periodd_alerts_used_check,
    drop constraint periodd_alerts_included_check,
    add constraint periodd_alerts_included_check check (included >= 0),
    drop constraint periodd_alerts_drawn_check,
    add constraint periodd_alerts_drawn_check check (drawn >= 0),
    drop constraint periodd_alerts_purchased_check,
    add constraint periodd_alerts_purchased_check check (purchased >= 0);
alter table periodd_outbox
    add column fault text check (fault in ('login', 'server', 'refused'));
create index periodd_outbox_waiting on periodd_outbox (recorded_at, org_id, id) where state = 'due';
alter table periodd_suppressions alter column reason set default 'unknown';

create table periodd_unsubscribe_tokens (
    org_id uuid not null references organizations (id),
    email text not null check (email = lower(email)),
    token uuid not null default gen_random_uuid(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, email)
);
alter table periodd_unsubscribe_tokens enable row level security;

-- 0018: imports -----------------------------------------------------------------------------------

-- A feature's total was kept under -infinity, and is now under the first instant that there is; what
-- metrics brought without a period is part of it.
alter table periodd_imports
    alter column after_sql drop not null,
    alter column after_sql drop default;
update periodd_imports set after_sql = case when after_sql <> '' then format(
    'select org_id, feature, period_start <> ''-infinity'' as is_period,
            greatest(period_start, ''0001-01-01 00:00:00+00'') as since, amount
     from (%s) e where period_start is not null', after_sql) end;
alter table periodd_import_sums add column is_period boolean, add column since timestamptz;
delete from periodd_import_sums where period_start is null;
update periodd_import_sums
    set is_period = period_start <> '-infinity',
        since = greatest(period_start, '0001-01-01 00:00:00+00');
alter table periodd_import_sums
    drop constraint periodd_import_sums_amount_check,
    drop column period_start,
    add primary key (import, org_id, feature, is_period, since);

alter table usage_metrics
    drop constraint usage_metrics_pkey,
    add primary key (id, organization_id);

create table periodd_import_ids (
    kind text not null,
    former_id text not null,
    id uuid not null,
    primary key (kind, former_id)
);
create index periodd_import_ids_id on periodd_import_ids (id);
alter table periodd_import_ids enable row level security;
