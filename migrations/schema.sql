-- The schema as the migrations leave it, for reviewers; nothing reads it. Columns stand in
-- the order of their names. Written by tests/schema/dump.rs.

create table billing_adjustments (
    currency text,
    decided_at timestamp with time zone not null default now(),
    drawn numeric not null default 0,
    export_position bigint not null,
    feature text not null,
    keeps_price boolean not null default false,
    kind text not null,
    org_id uuid not null,
    period_start timestamp with time zone not null,
    reason text,
    recorded_at timestamp with time zone not null default now(),
    seq integer not null,
    uncovered numeric not null default 0,
    uncovered_price_cents numeric,
    used numeric not null default 0
);
alter table billing_adjustments add constraint billing_adjustments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text));
alter table billing_adjustments add constraint billing_adjustments_decided_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> decided_at));
alter table billing_adjustments add constraint billing_adjustments_drawn_range CHECK (((abs(drawn) < '10000000000000000000000'::numeric) AND (drawn = round(drawn, 6))));
alter table billing_adjustments add constraint billing_adjustments_kind_check CHECK ((kind = ANY (ARRAY['late'::text, 'set_aside'::text])));
alter table billing_adjustments add constraint billing_adjustments_org_id_period_start_fkey FOREIGN KEY (org_id, period_start) REFERENCES billing_periods(org_id, period_start);
alter table billing_adjustments add constraint billing_adjustments_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table billing_adjustments add constraint billing_adjustments_pkey PRIMARY KEY (org_id, period_start, feature, seq);
alter table billing_adjustments add constraint billing_adjustments_price_check CHECK ((((uncovered_price_cents IS NULL) = (currency IS NULL)) AND (keeps_price OR (currency IS NULL))));
alter table billing_adjustments add constraint billing_adjustments_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table billing_adjustments add constraint billing_adjustments_seq_check CHECK ((seq > 0));
alter table billing_adjustments add constraint billing_adjustments_uncovered_price_cents_check CHECK ((uncovered_price_cents >= (0)::numeric));
alter table billing_adjustments add constraint billing_adjustments_uncovered_price_cents_range CHECK (((abs(uncovered_price_cents) < '10000000000000000000000'::numeric) AND (uncovered_price_cents = round(uncovered_price_cents, 6))));
alter table billing_adjustments add constraint billing_adjustments_uncovered_range CHECK (((abs(uncovered) < '10000000000000000000000'::numeric) AND (uncovered = round(uncovered, 6))));
alter table billing_adjustments add constraint billing_adjustments_used_range CHECK (((abs(used) < '10000000000000000000000'::numeric) AND (used = round(used, 6))));
CREATE INDEX billing_adjustments_position ON billing_adjustments USING btree (export_position);
alter table billing_adjustments enable row level security;
create policy of_the_callers_org on billing_adjustments for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table billing_periods (
    closed_at timestamp with time zone not null default now(),
    currency text,
    drawn_each numeric[] not null default '{}'::numeric[],
    export_position bigint not null,
    features text[] not null default '{}'::text[],
    follows timestamp with time zone,
    included_each numeric[] not null default '{}'::numeric[],
    is_paused boolean not null default false,
    org_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    recorded_at timestamp with time zone not null default now(),
    tier text not null default 'free'::text,
    time_zone text,
    tzdb_version text,
    uncovered_each numeric[] not null default '{}'::numeric[],
    uncovered_prices numeric[],
    unused_features text[],
    unused_prices numeric[],
    used_each numeric[] not null default '{}'::numeric[]
);
alter table billing_periods add constraint billing_periods_adds_up CHECK (periodd_adds_up(features, used_each, included_each, drawn_each, uncovered_each));
alter table billing_periods add constraint billing_periods_check CHECK ((period_end > period_start));
alter table billing_periods add constraint billing_periods_check1 CHECK ((follows = period_start));
alter table billing_periods add constraint billing_periods_closed_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> closed_at));
alter table billing_periods add constraint billing_periods_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text));
alter table billing_periods add constraint billing_periods_drawn_each_check CHECK (((0)::numeric <= ALL (drawn_each)));
alter table billing_periods add constraint billing_periods_drawn_each_range CHECK (
CASE
    WHEN (cardinality(drawn_each) = 0) THEN true
    WHEN (array_ndims(drawn_each) > 1) THEN false
    ELSE ((array_position(drawn_each, NULL::numeric) IS NULL) AND ('10000000000000000000000'::numeric > ALL (drawn_each)) AND ('-10000000000000000000000'::numeric < ALL (drawn_each)) AND ((drawn_each)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
alter table billing_periods add constraint billing_periods_first UNIQUE NULLS NOT DISTINCT (follows, org_id);
alter table billing_periods add constraint billing_periods_follows_fkey FOREIGN KEY (follows, org_id) REFERENCES billing_periods(period_end, org_id);
alter table billing_periods add constraint billing_periods_follows_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> follows));
alter table billing_periods add constraint billing_periods_included_each_check CHECK (((0)::numeric <= ALL (included_each)));
alter table billing_periods add constraint billing_periods_included_each_range CHECK (
CASE
    WHEN (cardinality(included_each) = 0) THEN true
    WHEN (array_ndims(included_each) > 1) THEN false
    ELSE (('10000000000000000000000'::numeric > ALL (included_each)) AND ('-10000000000000000000000'::numeric < ALL (included_each)) AND ((included_each)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
alter table billing_periods add constraint billing_periods_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table billing_periods add constraint billing_periods_period_end_org_id_key UNIQUE (period_end, org_id);
alter table billing_periods add constraint billing_periods_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table billing_periods add constraint billing_periods_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table billing_periods add constraint billing_periods_pkey PRIMARY KEY (period_start, org_id);
alter table billing_periods add constraint billing_periods_prices_check CHECK ((((uncovered_prices IS NULL) = (currency IS NULL)) AND (cardinality(uncovered_prices) = cardinality(features))));
alter table billing_periods add constraint billing_periods_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table billing_periods add constraint billing_periods_uncovered_each_check CHECK (((0)::numeric <= ALL (uncovered_each)));
alter table billing_periods add constraint billing_periods_uncovered_each_range CHECK (
CASE
    WHEN (cardinality(uncovered_each) = 0) THEN true
    WHEN (array_ndims(uncovered_each) > 1) THEN false
    ELSE ((array_position(uncovered_each, NULL::numeric) IS NULL) AND ('10000000000000000000000'::numeric > ALL (uncovered_each)) AND ('-10000000000000000000000'::numeric < ALL (uncovered_each)) AND ((uncovered_each)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
alter table billing_periods add constraint billing_periods_uncovered_prices_check CHECK (((0)::numeric <= ALL (uncovered_prices)));
alter table billing_periods add constraint billing_periods_uncovered_prices_range CHECK (
CASE
    WHEN (cardinality(uncovered_prices) = 0) THEN true
    WHEN (array_ndims(uncovered_prices) > 1) THEN false
    ELSE (('10000000000000000000000'::numeric > ALL (uncovered_prices)) AND ('-10000000000000000000000'::numeric < ALL (uncovered_prices)) AND ((uncovered_prices)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
alter table billing_periods add constraint billing_periods_unused_check CHECK ((cardinality(unused_features) = cardinality(unused_prices)));
alter table billing_periods add constraint billing_periods_unused_prices_check CHECK (((0)::numeric <= ALL (unused_prices)));
alter table billing_periods add constraint billing_periods_unused_prices_range CHECK (
CASE
    WHEN (cardinality(unused_prices) = 0) THEN true
    WHEN (array_ndims(unused_prices) > 1) THEN false
    ELSE (('10000000000000000000000'::numeric > ALL (unused_prices)) AND ('-10000000000000000000000'::numeric < ALL (unused_prices)) AND ((unused_prices)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
alter table billing_periods add constraint billing_periods_used_each_range CHECK (
CASE
    WHEN (cardinality(used_each) = 0) THEN true
    WHEN (array_ndims(used_each) > 1) THEN false
    ELSE ((array_position(used_each, NULL::numeric) IS NULL) AND ('10000000000000000000000'::numeric > ALL (used_each)) AND ('-10000000000000000000000'::numeric < ALL (used_each)) AND ((used_each)::text !~ '\.\d{6}\d*[1-9]'::text))
END);
CREATE INDEX billing_periods_org ON billing_periods USING btree (org_id, period_start);
CREATE INDEX billing_periods_position ON billing_periods USING btree (export_position);
alter table billing_periods enable row level security;
create policy of_the_callers_org on billing_periods for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table feature_usage (
    discrepancy_count integer not null default 0,
    feature text not null,
    last_synced_at timestamp with time zone,
    organization_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    sync_status text not null default 'pending'::text,
    updated_at timestamp with time zone not null default now(),
    usage_count numeric not null default 0,
    user_id uuid not null
);
alter table feature_usage add constraint feature_usage_check CHECK ((period_end > period_start));
alter table feature_usage add constraint feature_usage_discrepancy_count_check CHECK ((discrepancy_count >= 0));
alter table feature_usage add constraint feature_usage_last_synced_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> last_synced_at));
alter table feature_usage add constraint feature_usage_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id);
alter table feature_usage add constraint feature_usage_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table feature_usage add constraint feature_usage_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table feature_usage add constraint feature_usage_pkey PRIMARY KEY (organization_id, user_id, period_start, feature);
alter table feature_usage add constraint feature_usage_sync_status_check CHECK ((sync_status = ANY (ARRAY['pending'::text, 'synced'::text])));
alter table feature_usage add constraint feature_usage_updated_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> updated_at));
alter table feature_usage add constraint feature_usage_usage_count_range CHECK (((abs(usage_count) < '10000000000000000000000'::numeric) AND (usage_count = round(usage_count, 6))));
CREATE INDEX feature_usage_pending ON feature_usage USING btree (organization_id) WHERE (sync_status = 'pending'::text);
alter table feature_usage enable row level security;
create policy of_the_caller on feature_usage for select using (((organization_id = ( SELECT periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT periodd_caller() AS periodd_caller))));

create table features (
    feature text not null,
    kind text not null default 'metered'::text,
    unit text not null default 'units'::text
);
alter table features add constraint features_feature_check CHECK (((feature = lower(feature)) AND (feature <> ''::text)));
alter table features add constraint features_kind_check CHECK ((kind = ANY (ARRAY['metered'::text, 'level'::text])));
alter table features add constraint features_pkey PRIMARY KEY (feature);
alter table features enable row level security;
create policy of_everybody on features for select using (true);

create table limit_overrides (
    feature text not null,
    included numeric,
    judged boolean not null default false,
    judged_included numeric,
    org_id uuid not null
);
alter table limit_overrides add constraint limit_overrides_feature_fkey FOREIGN KEY (feature) REFERENCES features(feature);
alter table limit_overrides add constraint limit_overrides_included_check CHECK ((included >= (0)::numeric));
alter table limit_overrides add constraint limit_overrides_included_range CHECK (((abs(included) < '10000000000000000000000'::numeric) AND (included = round(included, 6))));
alter table limit_overrides add constraint limit_overrides_judged_included_check CHECK ((judged_included >= (0)::numeric));
alter table limit_overrides add constraint limit_overrides_judged_included_range CHECK (((abs(judged_included) < '10000000000000000000000'::numeric) AND (judged_included = round(judged_included, 6))));
alter table limit_overrides add constraint limit_overrides_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table limit_overrides add constraint limit_overrides_pkey PRIMARY KEY (org_id, feature);
CREATE INDEX limit_overrides_moved ON limit_overrides USING btree (org_id) INCLUDE (feature, included) WHERE ((NOT judged) OR (included IS DISTINCT FROM judged_included));
alter table limit_overrides enable row level security;
create policy of_the_callers_org on limit_overrides for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table org_alert_settings (
    basis text,
    feature text not null default '*'::text,
    judged boolean not null default false,
    judged_basis text,
    judged_thresholds smallint[],
    org_id uuid not null,
    thresholds smallint[]
);
alter table org_alert_settings add constraint org_alert_settings_basis_check CHECK ((basis = ANY (ARRAY['allowance'::text, 'included'::text])));
alter table org_alert_settings add constraint org_alert_settings_feature_check CHECK ((feature <> ''::text));
alter table org_alert_settings add constraint org_alert_settings_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table org_alert_settings add constraint org_alert_settings_pkey PRIMARY KEY (org_id, feature);
alter table org_alert_settings add constraint org_alert_settings_thresholds_check CHECK (((1 <= ALL (thresholds)) AND (100 >= ALL (thresholds)) AND (cardinality(thresholds) <= 10) AND (array_position(thresholds, NULL::smallint) IS NULL)));
CREATE INDEX org_alert_settings_moved ON org_alert_settings USING btree (org_id) WHERE ((NOT judged) OR ((thresholds IS DISTINCT FROM judged_thresholds) OR (basis IS DISTINCT FROM judged_basis)));
alter table org_alert_settings enable row level security;
create policy of_the_callers_org on org_alert_settings for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table org_contacts (
    email text not null,
    kinds text[],
    opted_out_at timestamp with time zone,
    opted_out_of text[],
    org_id uuid not null,
    role text
);
alter table org_contacts add constraint org_contacts_email_check CHECK (((length(email) <= 254) AND (email ~ '^[A-Za-z0-9.!#$%&''*+/=?^_\u0060{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'::text)));
alter table org_contacts add constraint org_contacts_kinds_check CHECK ((kinds <@ ARRAY['threshold'::text, 'runs_out'::text, 'pack_expires'::text, 'subscription_ends'::text, 'trial_ends'::text, 'tier_changes'::text, 'limit_reached_again'::text, 'summary'::text]));
alter table org_contacts add constraint org_contacts_opted_out_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> opted_out_at));
alter table org_contacts add constraint org_contacts_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table org_contacts add constraint org_contacts_pkey PRIMARY KEY (org_id, email);
alter table org_contacts add constraint org_contacts_role_check CHECK ((role = ANY (ARRAY['billing'::text, 'technical'::text, 'owner'::text])));
CREATE INDEX org_contacts_email ON org_contacts USING btree (lower(email));
CREATE INDEX org_contacts_opted_out ON org_contacts USING btree (org_id, email) WHERE (opted_out_at IS NOT NULL);
alter table org_contacts enable row level security;
create policy of_the_callers_org on org_contacts for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table organizations (
    anchor_day smallint not null default 1,
    anchor_month smallint not null default 1,
    anchor_time time without time zone not null default '00:00:00'::time without time zone,
    created_at timestamp with time zone not null default now(),
    current_period_end timestamp with time zone,
    current_period_end_date date,
    current_period_start timestamp with time zone,
    cycle text not null default 'monthly'::text,
    ends_anchor_day smallint,
    ends_anchor_month smallint,
    ends_anchor_time time without time zone not null default '00:00:00'::time without time zone,
    ends_cycle text,
    ends_time_zone text,
    ends_tzdb_version text,
    has_stale_ends boolean not null generated always as (((next_period_ends IS NULL) OR ((period_day_ends IS NULL) AND ((next_subscription_tier_at IS NOT NULL) OR (COALESCE(subscription_ends_at, 'infinity'::timestamp with time zone) <> 'infinity'::timestamp with time zone))) OR (((((time_zone IS DISTINCT FROM ends_time_zone) OR (cycle IS DISTINCT FROM ends_cycle)) OR (anchor_day IS DISTINCT FROM ends_anchor_day)) OR (anchor_month IS DISTINCT FROM ends_anchor_month)) OR (anchor_time IS DISTINCT FROM ends_anchor_time)))) stored,
    id uuid not null default periodd_new_id(),
    judged_tier text,
    locale text,
    merged_into uuid,
    name text not null,
    next_period_ends timestamp with time zone[],
    next_subscription_tier text,
    next_subscription_tier_at timestamp with time zone,
    overage_minutes numeric not null default 0,
    overage_minutes_granted numeric not null default 0,
    overage_minutes_written numeric,
    parked_at timestamp with time zone,
    parked_code text,
    parked_reason text,
    pause_reason text,
    paused_from timestamp with time zone,
    paused_until timestamp with time zone,
    period_day_ends timestamp with time zone[],
    period_tier text,
    removed_at timestamp with time zone,
    restarted_at timestamp with time zone,
    restarted_from text,
    restarted_on text,
    restarted_tier text,
    revision bigint not null default 0,
    skipped_end_date date,
    slug text not null,
    subscription_ends_at timestamp with time zone,
    subscription_status text,
    subscription_tier text not null default 'free'::text,
    time_zone text not null,
    used_minutes numeric not null default 0
);
alter table organizations add constraint organizations_anchor_day_check CHECK (((anchor_day >= 1) AND (anchor_day <= 31)));
alter table organizations add constraint organizations_anchor_month_check CHECK (((anchor_month >= 1) AND (anchor_month <= 12)));
alter table organizations add constraint organizations_anchor_time_range CHECK (((anchor_time < '24:00:00'::time without time zone) AND (mod(EXTRACT(microsecond FROM anchor_time), (1000000)::numeric) = (0)::numeric)));
alter table organizations add constraint organizations_created_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> created_at));
alter table organizations add constraint organizations_current_period_end_date_range CHECK (((current_period_end_date >= '0001-01-01'::date) AND (current_period_end_date <= '9999-12-31'::date)));
alter table organizations add constraint organizations_current_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> current_period_end));
alter table organizations add constraint organizations_current_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> current_period_start));
alter table organizations add constraint organizations_cycle_check CHECK ((cycle = ANY (ARRAY['monthly'::text, 'quarterly'::text, 'semiannual'::text, 'yearly'::text, 'weekly'::text, 'daily'::text, 'none'::text])));
alter table organizations add constraint organizations_ends_anchor_time_range CHECK (((ends_anchor_time < '24:00:00'::time without time zone) AND (mod(EXTRACT(microsecond FROM ends_anchor_time), (1000000)::numeric) = (0)::numeric)));
alter table organizations add constraint organizations_locale_check CHECK ((locale ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$'::text));
alter table organizations add constraint organizations_next_period_ends_range CHECK (
CASE
    WHEN (cardinality(next_period_ends) = 0) THEN true
    WHEN (array_ndims(next_period_ends) > 1) THEN false
    ELSE ((array_position(next_period_ends, NULL::timestamp with time zone) IS NULL) AND ('0001-01-01 00:00:00+00'::timestamp with time zone <= ALL (next_period_ends)) AND ('9999-12-31 23:59:59.999999+00'::timestamp with time zone >= ALL (next_period_ends)))
END);
alter table organizations add constraint organizations_next_subscription_tier_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> next_subscription_tier_at));
alter table organizations add constraint organizations_next_subscription_tier_fkey FOREIGN KEY (next_subscription_tier) REFERENCES subscription_tiers(code);
alter table organizations add constraint organizations_overage_minutes_check CHECK ((overage_minutes >= (0)::numeric));
alter table organizations add constraint organizations_overage_minutes_granted_check CHECK ((overage_minutes_granted >= (0)::numeric));
alter table organizations add constraint organizations_overage_minutes_granted_range CHECK (((abs(overage_minutes_granted) < '10000000000000000000000'::numeric) AND (overage_minutes_granted = round(overage_minutes_granted, 6))));
alter table organizations add constraint organizations_overage_minutes_range CHECK (((abs(overage_minutes) < '10000000000000000000000'::numeric) AND (overage_minutes = round(overage_minutes, 6))));
alter table organizations add constraint organizations_overage_minutes_written_check CHECK ((overage_minutes_written >= (0)::numeric));
alter table organizations add constraint organizations_overage_minutes_written_range CHECK (((abs(overage_minutes_written) < '10000000000000000000000'::numeric) AND (overage_minutes_written = round(overage_minutes_written, 6))));
alter table organizations add constraint organizations_parked_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> parked_at));
alter table organizations add constraint organizations_parked_code_check CHECK ((parked_code = ANY (ARRAY['by_hand'::text, 'gap'::text, 'halted'::text, 'invalid_cycle'::text, 'inverted_period'::text, 'negative_pack'::text, 'out_of_range'::text, 'plan_fault'::text, 'refused_by_database'::text, 'removed'::text, 'unknown_zone'::text, 'unprocessable'::text, 'unreadable_row'::text])));
alter table organizations add constraint organizations_paused_check CHECK ((paused_until >= paused_from));
alter table organizations add constraint organizations_paused_from_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> paused_from));
alter table organizations add constraint organizations_paused_until_range CHECK ((('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> paused_until) OR (paused_until = 'infinity'::timestamp with time zone)));
alter table organizations add constraint organizations_period_day_ends_range CHECK (
CASE
    WHEN (cardinality(period_day_ends) = 0) THEN true
    WHEN (array_ndims(period_day_ends) > 1) THEN false
    ELSE ((array_position(period_day_ends, NULL::timestamp with time zone) IS NULL) AND ('0001-01-01 00:00:00+00'::timestamp with time zone <= ALL (period_day_ends)) AND ('9999-12-31 23:59:59.999999+00'::timestamp with time zone >= ALL (period_day_ends)))
END);
alter table organizations add constraint organizations_pkey PRIMARY KEY (id);
alter table organizations add constraint organizations_removed_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> removed_at));
alter table organizations add constraint organizations_removed_check CHECK (((removed_at IS NULL) OR ((parked_at IS NOT NULL) AND (COALESCE(parked_code, ''::text) = 'removed'::text))));
alter table organizations add constraint organizations_restarted_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> restarted_at));
alter table organizations add constraint organizations_skipped_end_date_range CHECK (((skipped_end_date >= '0001-01-01'::date) AND (skipped_end_date <= '9999-12-31'::date)));
alter table organizations add constraint organizations_slug_check CHECK ((slug <> ''::text));
alter table organizations add constraint organizations_slug_key UNIQUE (slug);
alter table organizations add constraint organizations_subscription_ends_at_range CHECK ((('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> subscription_ends_at) OR (subscription_ends_at = 'infinity'::timestamp with time zone)));
alter table organizations add constraint organizations_subscription_tier_fkey FOREIGN KEY (subscription_tier) REFERENCES subscription_tiers(code);
alter table organizations add constraint organizations_used_minutes_range CHECK (((abs(used_minutes) < '10000000000000000000000'::numeric) AND (used_minutes = round(used_minutes, 6))));
CREATE INDEX organizations_changing ON organizations USING btree (current_period_end, id) WHERE ((parked_at IS NULL) AND ((period_day_ends IS NOT NULL) OR (next_subscription_tier IS NOT NULL)));
CREATE INDEX organizations_due ON organizations USING btree (current_period_end, id) WHERE (parked_at IS NULL);
CREATE INDEX organizations_merged ON organizations USING btree (merged_into) WHERE (merged_into IS NOT NULL);
CREATE INDEX organizations_parked ON organizations USING btree (id) WHERE (parked_at IS NOT NULL);
CREATE INDEX organizations_parked_by_hand ON organizations USING btree (id) WHERE ((parked_at IS NOT NULL) AND (parked_code = 'by_hand'::text));
CREATE INDEX organizations_parked_by_periodd ON organizations USING btree (id) WHERE ((parked_at IS NOT NULL) AND (parked_code IS DISTINCT FROM 'by_hand'::text) AND (removed_at IS NULL));
CREATE INDEX organizations_paused ON organizations USING btree (paused_from, id) WHERE (paused_from IS NOT NULL);
CREATE INDEX organizations_removed ON organizations USING btree (id) WHERE (removed_at IS NOT NULL);
CREATE INDEX organizations_stale_ends ON organizations USING btree (id) WHERE ((parked_at IS NULL) AND has_stale_ends);
CREATE INDEX organizations_tier_moved ON organizations USING btree (id) INCLUDE (subscription_tier) WHERE (judged_tier <> subscription_tier);
CREATE INDEX organizations_tier_unjudged ON organizations USING btree (id) WHERE (judged_tier IS NULL);
CREATE INDEX organizations_unopened ON organizations USING btree (id) WHERE ((parked_at IS NULL) AND ((current_period_start IS NULL) OR (current_period_end IS NULL)));
alter table organizations enable row level security;
create policy of_the_callers_org on organizations for select using ((id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table overage_entries (
    at timestamp with time zone not null default now(),
    export_position bigint not null,
    kind text not null,
    org_id uuid not null,
    pack_id uuid not null,
    period_start timestamp with time zone,
    quantity numeric not null default 0,
    recorded_at timestamp with time zone not null default now(),
    remaining numeric not null default 0,
    seq integer not null
);
alter table overage_entries add constraint overage_entries_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> at));
alter table overage_entries add constraint overage_entries_kind_check CHECK ((kind = ANY (ARRAY['granted'::text, 'drawn'::text, 'expired'::text, 'refunded'::text, 'moved'::text])));
alter table overage_entries add constraint overage_entries_org_id_pack_id_fkey FOREIGN KEY (org_id, pack_id) REFERENCES overage_packs(org_id, id);
alter table overage_entries add constraint overage_entries_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table overage_entries add constraint overage_entries_pkey PRIMARY KEY (org_id, pack_id, seq);
alter table overage_entries add constraint overage_entries_quantity_range CHECK (((abs(quantity) < '10000000000000000000000'::numeric) AND (quantity = round(quantity, 6))));
alter table overage_entries add constraint overage_entries_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table overage_entries add constraint overage_entries_remaining_check CHECK ((remaining >= (0)::numeric));
alter table overage_entries add constraint overage_entries_remaining_range CHECK (((abs(remaining) < '10000000000000000000000'::numeric) AND (remaining = round(remaining, 6))));
alter table overage_entries add constraint overage_entries_seq_check CHECK ((seq > 0));
CREATE INDEX overage_entries_drawn ON overage_entries USING btree (org_id, period_start) WHERE (kind = 'drawn'::text);
CREATE INDEX overage_entries_position ON overage_entries USING btree (export_position);
CREATE INDEX overage_entries_refunded ON overage_entries USING btree (recorded_at, org_id) WHERE (kind = 'refunded'::text);
alter table overage_entries enable row level security;
create policy of_the_callers_org on overage_entries for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table overage_packs (
    currency text,
    entries integer not null default 0,
    expires_at timestamp with time zone,
    export_position bigint not null,
    feature text not null,
    id uuid not null default gen_random_uuid(),
    org_id uuid not null,
    price_cents bigint,
    purchased_at timestamp with time zone not null default now(),
    quantity numeric not null default 0,
    reference text,
    remaining numeric
);
alter table overage_packs add constraint overage_packs_check CHECK ((expires_at > purchased_at));
alter table overage_packs add constraint overage_packs_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text));
alter table overage_packs add constraint overage_packs_entries_check CHECK ((entries >= 0));
alter table overage_packs add constraint overage_packs_expires_at_range CHECK ((('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> expires_at) OR (expires_at = 'infinity'::timestamp with time zone)));
alter table overage_packs add constraint overage_packs_feature_fkey FOREIGN KEY (feature) REFERENCES features(feature);
alter table overage_packs add constraint overage_packs_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table overage_packs add constraint overage_packs_org_id_reference_key UNIQUE (org_id, reference);
alter table overage_packs add constraint overage_packs_pkey PRIMARY KEY (org_id, id);
alter table overage_packs add constraint overage_packs_price_cents_check CHECK ((price_cents >= 0));
alter table overage_packs add constraint overage_packs_price_check CHECK (((price_cents IS NULL) = (currency IS NULL)));
alter table overage_packs add constraint overage_packs_purchased_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> purchased_at));
alter table overage_packs add constraint overage_packs_quantity_check CHECK ((quantity >= (0)::numeric));
alter table overage_packs add constraint overage_packs_quantity_range CHECK (((abs(quantity) < '10000000000000000000000'::numeric) AND (quantity = round(quantity, 6))));
alter table overage_packs add constraint overage_packs_remaining_range CHECK (((abs(remaining) < '10000000000000000000000'::numeric) AND (remaining = round(remaining, 6))));
CREATE INDEX overage_packs_ending ON overage_packs USING btree (expires_at, org_id) WHERE (expires_at IS NOT NULL);
CREATE INDEX overage_packs_expiring ON overage_packs USING btree (expires_at, org_id) WHERE ((remaining > (0)::numeric) AND (expires_at IS NOT NULL));
CREATE INDEX overage_packs_holding ON overage_packs USING btree (org_id) WHERE (remaining <> (0)::numeric);
CREATE INDEX overage_packs_position ON overage_packs USING btree (export_position);
CREATE INDEX overage_packs_unseen ON overage_packs USING btree (org_id) WHERE (entries = 0);
alter table overage_packs enable row level security;
create policy of_the_callers_org on overage_packs for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table pack_offers (
    code text not null,
    currency text not null default 'USD'::text,
    feature text not null,
    price_cents bigint not null default 0,
    quantity numeric not null
);
alter table pack_offers add constraint pack_offers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text));
alter table pack_offers add constraint pack_offers_feature_fkey FOREIGN KEY (feature) REFERENCES features(feature);
alter table pack_offers add constraint pack_offers_pkey PRIMARY KEY (code);
alter table pack_offers add constraint pack_offers_price_cents_check CHECK ((price_cents >= 0));
alter table pack_offers add constraint pack_offers_quantity_check CHECK ((quantity > (0)::numeric));
alter table pack_offers add constraint pack_offers_quantity_range CHECK (((abs(quantity) < '10000000000000000000000'::numeric) AND (quantity = round(quantity, 6))));
alter table pack_offers enable row level security;
create policy of_everybody on pack_offers for select using (true);

create table periodd_alert_limits (
    feature text not null,
    generation integer not null default 1,
    judged_at timestamp with time zone not null default now(),
    org_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    quantity numeric,
    seq integer not null default 1,
    used numeric not null default 0
);
alter table periodd_alert_limits add constraint periodd_alert_limits_check CHECK ((period_end > period_start));
alter table periodd_alert_limits add constraint periodd_alert_limits_generation_check CHECK ((generation > 0));
alter table periodd_alert_limits add constraint periodd_alert_limits_judged_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> judged_at));
alter table periodd_alert_limits add constraint periodd_alert_limits_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_alert_limits add constraint periodd_alert_limits_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table periodd_alert_limits add constraint periodd_alert_limits_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table periodd_alert_limits add constraint periodd_alert_limits_pkey PRIMARY KEY (org_id, period_start, feature);
alter table periodd_alert_limits add constraint periodd_alert_limits_quantity_check CHECK ((quantity >= (0)::numeric));
alter table periodd_alert_limits add constraint periodd_alert_limits_quantity_range CHECK (((abs(quantity) < '10000000000000000000000'::numeric) AND (quantity = round(quantity, 6))));
alter table periodd_alert_limits add constraint periodd_alert_limits_seq_check CHECK ((seq > 0));
alter table periodd_alert_limits add constraint periodd_alert_limits_used_range CHECK (((abs(used) < '10000000000000000000000'::numeric) AND (used = round(used, 6))));
alter table periodd_alert_limits enable row level security;

create table periodd_alerts (
    basis text not null default 'allowance'::text,
    decided_at timestamp with time zone not null default now(),
    drawn numeric not null default 0,
    feature text not null,
    generation integer not null default 1,
    included numeric,
    limit_change boolean not null default false,
    org_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    purchased numeric not null default 0,
    recorded_at timestamp with time zone not null default now(),
    state text not null default 'notified'::text,
    threshold smallint not null,
    used numeric not null default 0
);
alter table periodd_alerts add constraint periodd_alerts_basis_check CHECK ((basis = ANY (ARRAY['allowance'::text, 'included'::text])));
alter table periodd_alerts add constraint periodd_alerts_check CHECK ((period_end > period_start));
alter table periodd_alerts add constraint periodd_alerts_decided_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> decided_at));
alter table periodd_alerts add constraint periodd_alerts_drawn_check CHECK ((drawn >= (0)::numeric));
alter table periodd_alerts add constraint periodd_alerts_drawn_range CHECK (((abs(drawn) < '10000000000000000000000'::numeric) AND (drawn = round(drawn, 6))));
alter table periodd_alerts add constraint periodd_alerts_generation_check CHECK ((generation > 0));
alter table periodd_alerts add constraint periodd_alerts_included_check CHECK ((included >= (0)::numeric));
alter table periodd_alerts add constraint periodd_alerts_included_range CHECK (((abs(included) < '10000000000000000000000'::numeric) AND (included = round(included, 6))));
alter table periodd_alerts add constraint periodd_alerts_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_alerts add constraint periodd_alerts_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table periodd_alerts add constraint periodd_alerts_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table periodd_alerts add constraint periodd_alerts_pkey PRIMARY KEY (org_id, period_start, feature, generation, threshold);
alter table periodd_alerts add constraint periodd_alerts_purchased_check CHECK ((purchased >= (0)::numeric));
alter table periodd_alerts add constraint periodd_alerts_purchased_range CHECK (((abs(purchased) < '10000000000000000000000'::numeric) AND (purchased = round(purchased, 6))));
alter table periodd_alerts add constraint periodd_alerts_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_alerts add constraint periodd_alerts_state_check CHECK ((state = ANY (ARRAY['notified'::text, 'covered'::text, 'waiting'::text, 'recorded'::text, 'expired'::text])));
alter table periodd_alerts add constraint periodd_alerts_threshold_check CHECK (((threshold >= 1) AND (threshold <= 250)));
alter table periodd_alerts add constraint periodd_alerts_used_range CHECK (((abs(used) < '10000000000000000000000'::numeric) AND (used = round(used, 6))));
CREATE INDEX periodd_alerts_reached ON periodd_alerts USING btree (period_end, org_id) WHERE (threshold >= 100);
CREATE INDEX periodd_alerts_waiting ON periodd_alerts USING btree (period_end, org_id) WHERE (state = 'waiting'::text);
alter table periodd_alerts enable row level security;

create table periodd_api (
    applied_at timestamp with time zone not null default now(),
    checksum bytea not null,
    name text not null
);
alter table periodd_api add constraint periodd_api_applied_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> applied_at));
alter table periodd_api add constraint periodd_api_pkey PRIMARY KEY (name);
alter table periodd_api enable row level security;

create table periodd_audited (
    audit uuid not null,
    ends timestamp with time zone[] not null,
    first_org uuid not null,
    is_complete boolean not null default false,
    last_org uuid not null,
    metrics bigint[] not null,
    orgs uuid[] not null,
    starts timestamp with time zone[] not null
);
alter table periodd_audited add constraint periodd_audited_ends_range CHECK (
CASE
    WHEN (cardinality(ends) = 0) THEN true
    WHEN (array_ndims(ends) > 1) THEN false
    ELSE ((array_position(ends, NULL::timestamp with time zone) IS NULL) AND ('0001-01-01 00:00:00+00'::timestamp with time zone <= ALL (ends)) AND ('9999-12-31 23:59:59.999999+00'::timestamp with time zone >= ALL (ends)))
END);
alter table periodd_audited add constraint periodd_audited_pkey PRIMARY KEY (audit, first_org);
alter table periodd_audited add constraint periodd_audited_starts_range CHECK (
CASE
    WHEN (cardinality(starts) = 0) THEN true
    WHEN (array_ndims(starts) > 1) THEN false
    ELSE ((array_position(starts, NULL::timestamp with time zone) IS NULL) AND ('0001-01-01 00:00:00+00'::timestamp with time zone <= ALL (starts)) AND ('9999-12-31 23:59:59.999999+00'::timestamp with time zone >= ALL (starts)))
END);
alter table periodd_audited enable row level security;

create table periodd_clocks (
    awake_us bigint not null,
    boot text not null,
    database_at timestamp with time zone not null,
    expected_at timestamp with time zone,
    machine text not null,
    machine_at timestamp with time zone not null
);
alter table periodd_clocks add constraint periodd_clocks_database_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> database_at));
alter table periodd_clocks add constraint periodd_clocks_expected_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> expected_at));
alter table periodd_clocks add constraint periodd_clocks_machine_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> machine_at));
alter table periodd_clocks add constraint periodd_clocks_pkey PRIMARY KEY (boot);
alter table periodd_clocks enable row level security;

create table periodd_daemons (
    config_digest text,
    config_file text,
    listening text[] not null default '{}'::text[],
    replica text not null,
    seen_at timestamp with time zone not null,
    started_at timestamp with time zone not null,
    stopped_at timestamp with time zone,
    version text not null
);
alter table periodd_daemons add constraint periodd_daemons_pkey PRIMARY KEY (replica);
alter table periodd_daemons add constraint periodd_daemons_seen_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> seen_at));
alter table periodd_daemons add constraint periodd_daemons_started_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> started_at));
alter table periodd_daemons add constraint periodd_daemons_stopped_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> stopped_at));
alter table periodd_daemons enable row level security;

create table periodd_departures (
    at timestamp with time zone not null default now(),
    counts jsonb not null default '{}'::jsonb,
    id uuid not null default gen_random_uuid(),
    into_org uuid,
    kind text not null,
    org_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    subject uuid,
    with_history boolean not null default false
);
alter table periodd_departures add constraint periodd_departures_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> at));
alter table periodd_departures add constraint periodd_departures_kind_check CHECK ((kind = ANY (ARRAY['org_removed'::text, 'org_merged'::text, 'user_erased'::text, 'pack_moved'::text])));
alter table periodd_departures add constraint periodd_departures_pkey PRIMARY KEY (org_id, id);
alter table periodd_departures add constraint periodd_departures_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX periodd_departures_erased ON periodd_departures USING btree (org_id, subject) WHERE (kind = 'user_erased'::text);
alter table periodd_departures enable row level security;

create table periodd_derived (
    granted numeric not null default 0,
    key uuid not null,
    org_id uuid not null,
    target text not null,
    written numeric not null default 0
);
alter table periodd_derived add constraint periodd_derived_granted_check CHECK ((granted >= (0)::numeric));
alter table periodd_derived add constraint periodd_derived_granted_range CHECK (((abs(granted) < '10000000000000000000000'::numeric) AND (granted = round(granted, 6))));
alter table periodd_derived add constraint periodd_derived_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_derived add constraint periodd_derived_pkey PRIMARY KEY (org_id, target, key);
alter table periodd_derived add constraint periodd_derived_written_range CHECK (((abs(written) < '10000000000000000000000'::numeric) AND (written = round(written, 6))));
alter table periodd_derived enable row level security;

create table periodd_drift (
    after numeric not null,
    before numeric,
    difference numeric not null,
    feature text not null,
    found_at timestamp with time zone not null default now(),
    id uuid not null default gen_random_uuid(),
    org_id uuid not null,
    period_start timestamp with time zone not null,
    place text not null,
    reason text not null,
    recorded_at timestamp with time zone not null default now(),
    run bigint,
    subject uuid
);
alter table periodd_drift add constraint periodd_drift_after_range CHECK (((abs(after) < '10000000000000000000000'::numeric) AND (after = round(after, 6))));
alter table periodd_drift add constraint periodd_drift_before_range CHECK (((abs(before) < '10000000000000000000000'::numeric) AND (before = round(before, 6))));
alter table periodd_drift add constraint periodd_drift_difference_range CHECK (((abs(difference) < '10000000000000000000000'::numeric) AND (difference = round(difference, 6))));
alter table periodd_drift add constraint periodd_drift_found_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> found_at));
alter table periodd_drift add constraint periodd_drift_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_drift add constraint periodd_drift_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table periodd_drift add constraint periodd_drift_pkey PRIMARY KEY (org_id, id);
alter table periodd_drift add constraint periodd_drift_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX periodd_drift_age ON periodd_drift USING btree (found_at);
alter table periodd_drift enable row level security;

create table periodd_empty_hand_overs (
    handed_over_at timestamp with time zone not null default now(),
    kind text not null,
    name text not null,
    recorded_at timestamp with time zone not null default now(),
    up_to bigint not null
);
alter table periodd_empty_hand_overs add constraint periodd_empty_hand_overs_handed_over_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> handed_over_at));
alter table periodd_empty_hand_overs add constraint periodd_empty_hand_overs_kind_check CHECK ((kind = ANY (ARRAY['closes'::text, 'packs'::text, 'ledger'::text, 'adjustments'::text])));
alter table periodd_empty_hand_overs add constraint periodd_empty_hand_overs_name_check CHECK ((name <> ''::text));
alter table periodd_empty_hand_overs add constraint periodd_empty_hand_overs_pkey PRIMARY KEY (kind, name);
alter table periodd_empty_hand_overs add constraint periodd_empty_hand_overs_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_empty_hand_overs enable row level security;

create table periodd_events (
    at timestamp with time zone not null default now(),
    id uuid not null default gen_random_uuid(),
    kind text not null,
    org_id uuid not null,
    payload jsonb not null default '{}'::jsonb,
    position bigint not null,
    recorded_at timestamp with time zone not null default now()
);
alter table periodd_events add constraint periodd_events_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> at));
alter table periodd_events add constraint periodd_events_kind_check CHECK ((kind ~ '^[a-z_]+[.][a-z_]+$'::text));
alter table periodd_events add constraint periodd_events_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_events add constraint periodd_events_payload_check CHECK ((jsonb_typeof(payload) = 'object'::text));
alter table periodd_events add constraint periodd_events_pkey PRIMARY KEY (org_id, id);
alter table periodd_events add constraint periodd_events_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX periodd_events_of_org ON periodd_events USING btree (org_id, "position");
CREATE INDEX periodd_events_position ON periodd_events USING btree ("position");
CREATE INDEX periodd_events_recorded ON periodd_events USING btree (recorded_at);
alter table periodd_events enable row level security;

create table periodd_facts (
    name text not null,
    value text not null
);
alter table periodd_facts add constraint periodd_facts_pkey PRIMARY KEY (name);
alter table periodd_facts enable row level security;

create table periodd_hand_overs (
    follows bigint,
    handed_over_at timestamp with time zone not null default now(),
    kind text not null,
    name text not null,
    recorded_at timestamp with time zone not null default now(),
    up_to bigint not null
);
alter table periodd_hand_overs add constraint periodd_hand_overs_check CHECK ((up_to > COALESCE(follows, (0)::bigint)));
alter table periodd_hand_overs add constraint periodd_hand_overs_first UNIQUE NULLS NOT DISTINCT (kind, follows);
alter table periodd_hand_overs add constraint periodd_hand_overs_handed_over_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> handed_over_at));
alter table periodd_hand_overs add constraint periodd_hand_overs_kind_check CHECK ((kind = ANY (ARRAY['closes'::text, 'packs'::text, 'ledger'::text, 'adjustments'::text])));
alter table periodd_hand_overs add constraint periodd_hand_overs_kind_follows_fkey FOREIGN KEY (kind, follows) REFERENCES periodd_hand_overs(kind, up_to);
alter table periodd_hand_overs add constraint periodd_hand_overs_kind_up_to_key UNIQUE (kind, up_to);
alter table periodd_hand_overs add constraint periodd_hand_overs_name_check CHECK ((name <> ''::text));
alter table periodd_hand_overs add constraint periodd_hand_overs_pkey PRIMARY KEY (kind, name);
alter table periodd_hand_overs add constraint periodd_hand_overs_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_hand_overs enable row level security;

create table periodd_import_ids (
    former_id text not null,
    id uuid not null,
    kind text not null
);
alter table periodd_import_ids add constraint periodd_import_ids_pkey PRIMARY KEY (kind, former_id);
CREATE INDEX periodd_import_ids_id ON periodd_import_ids USING btree (id);
alter table periodd_import_ids enable row level security;

create table periodd_import_sums (
    amount numeric not null default 0,
    feature text not null,
    import integer not null,
    is_period boolean not null,
    org_id uuid not null,
    since timestamp with time zone not null
);
alter table periodd_import_sums add constraint periodd_import_sums_amount_range CHECK (((abs(amount) < '10000000000000000000000'::numeric) AND (amount = round(amount, 6))));
alter table periodd_import_sums add constraint periodd_import_sums_pkey PRIMARY KEY (import, org_id, feature, is_period, since);
alter table periodd_import_sums add constraint periodd_import_sums_since_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> since));
alter table periodd_import_sums enable row level security;

create table periodd_imports (
    after_sql text,
    applied_at timestamp with time zone not null default now(),
    foreign_keys text[] not null default '{}'::text[],
    id integer not null,
    indexes text[] not null default '{}'::text[],
    legacy_dropped_at timestamp with time zone,
    tables text[] not null default '{}'::text[],
    views text[] not null default '{}'::text[]
);
alter table periodd_imports add constraint periodd_imports_applied_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> applied_at));
alter table periodd_imports add constraint periodd_imports_legacy_dropped_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> legacy_dropped_at));
alter table periodd_imports add constraint periodd_imports_pkey PRIMARY KEY (id);
alter table periodd_imports enable row level security;

create table periodd_level_keys (
    feature text not null,
    idempotency_key text not null,
    level numeric not null,
    org_id uuid not null,
    set_at timestamp with time zone not null default now()
);
alter table periodd_level_keys add constraint periodd_level_keys_idempotency_key_check CHECK ((idempotency_key <> ''::text));
alter table periodd_level_keys add constraint periodd_level_keys_level_check CHECK ((level >= (0)::numeric));
alter table periodd_level_keys add constraint periodd_level_keys_level_range CHECK (((abs(level) < '10000000000000000000000'::numeric) AND (level = round(level, 6))));
alter table periodd_level_keys add constraint periodd_level_keys_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_level_keys add constraint periodd_level_keys_pkey PRIMARY KEY (org_id, idempotency_key);
alter table periodd_level_keys add constraint periodd_level_keys_set_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> set_at));
alter table periodd_level_keys enable row level security;

create table periodd_listeners (
    answer text,
    channel text not null,
    failures integer not null default 0,
    kinds text[],
    name text not null,
    only_org uuid,
    recorded_at timestamp with time zone not null default now(),
    rests_until timestamp with time zone,
    switched_off_at timestamp with time zone
);
alter table periodd_listeners add constraint periodd_listeners_channel_check CHECK ((channel = ANY (ARRAY['table'::text, 'webhook'::text])));
alter table periodd_listeners add constraint periodd_listeners_failures_check CHECK ((failures >= 0));
alter table periodd_listeners add constraint periodd_listeners_name_check CHECK ((name <> ''::text));
alter table periodd_listeners add constraint periodd_listeners_pkey PRIMARY KEY (channel, name);
alter table periodd_listeners add constraint periodd_listeners_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_listeners add constraint periodd_listeners_rests_until_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> rests_until));
alter table periodd_listeners add constraint periodd_listeners_switched_off_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> switched_off_at));
alter table periodd_listeners enable row level security;

create table periodd_migrations (
    applied_at timestamp with time zone not null default now(),
    checksum bytea not null,
    description text not null,
    version bigint not null
);
alter table periodd_migrations add constraint periodd_migrations_applied_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> applied_at));
alter table periodd_migrations add constraint periodd_migrations_pkey PRIMARY KEY (version);
alter table periodd_migrations enable row level security;

create table periodd_moved_ends (
    after timestamp with time zone not null,
    before timestamp with time zone not null,
    moved_at timestamp with time zone not null default now(),
    org_id uuid not null,
    tzdb_after text not null,
    tzdb_before text
);
alter table periodd_moved_ends add constraint periodd_moved_ends_after_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> after));
alter table periodd_moved_ends add constraint periodd_moved_ends_before_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> before));
alter table periodd_moved_ends add constraint periodd_moved_ends_moved_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> moved_at));
alter table periodd_moved_ends add constraint periodd_moved_ends_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_moved_ends add constraint periodd_moved_ends_pkey PRIMARY KEY (org_id, moved_at);
alter table periodd_moved_ends enable row level security;

create table periodd_moved_packs (
    at timestamp with time zone not null default now(),
    feature text not null,
    from_org uuid not null,
    from_pack uuid not null,
    from_seq integer not null,
    granted numeric not null default 0,
    moved numeric not null default 0,
    org_id uuid not null,
    pack_id uuid,
    recorded_at timestamp with time zone not null default now(),
    reference text
);
alter table periodd_moved_packs add constraint periodd_moved_packs_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> at));
alter table periodd_moved_packs add constraint periodd_moved_packs_from_seq_check CHECK ((from_seq >= 0));
alter table periodd_moved_packs add constraint periodd_moved_packs_granted_check CHECK ((granted >= (0)::numeric));
alter table periodd_moved_packs add constraint periodd_moved_packs_granted_range CHECK (((abs(granted) < '10000000000000000000000'::numeric) AND (granted = round(granted, 6))));
alter table periodd_moved_packs add constraint periodd_moved_packs_moved_check CHECK ((moved >= (0)::numeric));
alter table periodd_moved_packs add constraint periodd_moved_packs_moved_range CHECK (((abs(moved) < '10000000000000000000000'::numeric) AND (moved = round(moved, 6))));
alter table periodd_moved_packs add constraint periodd_moved_packs_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_moved_packs add constraint periodd_moved_packs_pkey PRIMARY KEY (org_id, from_org, from_pack, from_seq);
alter table periodd_moved_packs add constraint periodd_moved_packs_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX periodd_moved_packs_reference ON periodd_moved_packs USING btree (org_id, reference) WHERE (reference IS NOT NULL);
alter table periodd_moved_packs enable row level security;
create policy of_the_callers_org on periodd_moved_packs for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table periodd_notices (
    decided_at timestamp with time zone not null default now(),
    facts text,
    feature text not null default ''::text,
    id uuid not null default gen_random_uuid(),
    key text not null,
    kind text not null,
    org_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    state text not null default 'notified'::text,
    until timestamp with time zone not null default '9999-12-31 00:00:00+00'::timestamp with time zone
);
alter table periodd_notices add constraint periodd_notices_decided_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> decided_at));
alter table periodd_notices add constraint periodd_notices_key_check CHECK ((key <> ''::text));
alter table periodd_notices add constraint periodd_notices_kind_check CHECK ((kind = ANY (ARRAY['runs_out'::text, 'pack_expires'::text, 'subscription_ends'::text, 'trial_ends'::text, 'tier_changes'::text, 'limit_reached_again'::text, 'summary'::text, 'user_limit'::text, 'org_parked'::text, 'purchase_without_pack'::text])));
alter table periodd_notices add constraint periodd_notices_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_notices add constraint periodd_notices_org_id_kind_key_key UNIQUE (org_id, kind, key);
alter table periodd_notices add constraint periodd_notices_pkey PRIMARY KEY (org_id, id);
alter table periodd_notices add constraint periodd_notices_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_notices add constraint periodd_notices_state_check CHECK ((state = ANY (ARRAY['notified'::text, 'covered'::text, 'waiting'::text, 'recorded'::text, 'withdrawn'::text, 'expired'::text])));
alter table periodd_notices add constraint periodd_notices_until_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> until));
CREATE INDEX periodd_notices_until ON periodd_notices USING btree (until, org_id);
CREATE INDEX periodd_notices_waiting ON periodd_notices USING btree (until, org_id) WHERE (state = 'waiting'::text);
alter table periodd_notices enable row level security;

create table periodd_outbox (
    answer text,
    attempts integer not null default 0,
    dated timestamp with time zone,
    fault text,
    feature text not null,
    generation integer not null default 1,
    id uuid not null default gen_random_uuid(),
    kind text not null default 'threshold'::text,
    lease uuid,
    leased_until timestamp with time zone,
    letter text,
    message_id text,
    next_attempt_at timestamp with time zone not null default now(),
    notice uuid,
    org_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    recipient text not null,
    recorded_at timestamp with time zone not null default now(),
    settled_at timestamp with time zone,
    state text not null default 'due'::text,
    threshold smallint
);
alter table periodd_outbox add constraint periodd_outbox_attempts_check CHECK ((attempts >= 0));
alter table periodd_outbox add constraint periodd_outbox_check CHECK ((period_end > period_start));
alter table periodd_outbox add constraint periodd_outbox_check1 CHECK ((((message_id IS NULL) = (letter IS NULL)) AND ((dated IS NULL) = (letter IS NULL))));
alter table periodd_outbox add constraint periodd_outbox_check2 CHECK (((state = 'due'::text) = (settled_at IS NULL)));
alter table periodd_outbox add constraint periodd_outbox_dated_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> dated));
alter table periodd_outbox add constraint periodd_outbox_fault_check CHECK ((fault = ANY (ARRAY['login'::text, 'server'::text, 'refused'::text])));
alter table periodd_outbox add constraint periodd_outbox_generation_check CHECK ((generation > 0));
alter table periodd_outbox add constraint periodd_outbox_leased_until_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> leased_until));
alter table periodd_outbox add constraint periodd_outbox_next_attempt_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> next_attempt_at));
alter table periodd_outbox add constraint periodd_outbox_notice_key UNIQUE (org_id, notice, recipient);
alter table periodd_outbox add constraint periodd_outbox_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_outbox add constraint periodd_outbox_org_id_period_start_feature_generation_thres_key UNIQUE (org_id, period_start, feature, generation, threshold, recipient);
alter table periodd_outbox add constraint periodd_outbox_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table periodd_outbox add constraint periodd_outbox_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table periodd_outbox add constraint periodd_outbox_pkey PRIMARY KEY (org_id, id);
alter table periodd_outbox add constraint periodd_outbox_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_outbox add constraint periodd_outbox_settled_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> settled_at));
alter table periodd_outbox add constraint periodd_outbox_state_check CHECK ((state = ANY (ARRAY['due'::text, 'sent'::text, 'given_up'::text, 'suppressed'::text])));
alter table periodd_outbox add constraint periodd_outbox_subject_check CHECK ((((threshold IS NULL) = (notice IS NOT NULL)) AND ((kind = 'threshold'::text) = (notice IS NULL))));
alter table periodd_outbox add constraint periodd_outbox_threshold_check CHECK (((threshold >= 1) AND (threshold <= 250)));
CREATE INDEX periodd_outbox_due ON periodd_outbox USING btree (next_attempt_at, org_id, id) WHERE (state = 'due'::text);
CREATE INDEX periodd_outbox_ending ON periodd_outbox USING btree (period_end) WHERE (state = 'due'::text);
CREATE INDEX periodd_outbox_recipient ON periodd_outbox USING btree (lower(recipient));
CREATE INDEX periodd_outbox_settled ON periodd_outbox USING btree (settled_at) WHERE (settled_at IS NOT NULL);
CREATE INDEX periodd_outbox_waiting ON periodd_outbox USING btree (recorded_at, org_id, id) WHERE (state = 'due'::text);
alter table periodd_outbox enable row level security;

create table periodd_overview (
    ahead jsonb not null,
    feature text not null,
    hour timestamp with time zone not null,
    most jsonb not null,
    taken_at timestamp with time zone not null,
    tenths jsonb not null,
    tiers jsonb not null
);
alter table periodd_overview add constraint periodd_overview_hour_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> hour));
alter table periodd_overview add constraint periodd_overview_pkey PRIMARY KEY (hour, feature);
alter table periodd_overview add constraint periodd_overview_taken_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> taken_at));
alter table periodd_overview enable row level security;

create table periodd_refund_keys (
    asked numeric,
    idempotency_key text not null,
    org_id uuid not null,
    pack_id uuid not null,
    seq integer not null
);
alter table periodd_refund_keys add constraint periodd_refund_keys_asked_check CHECK (((asked >= (0)::numeric) AND (asked < 'Infinity'::numeric) AND (asked = round(asked, 6))));
alter table periodd_refund_keys add constraint periodd_refund_keys_asked_range CHECK (((abs(asked) < '10000000000000000000000'::numeric) AND (asked = round(asked, 6))));
alter table periodd_refund_keys add constraint periodd_refund_keys_idempotency_key_check CHECK ((idempotency_key <> ''::text));
alter table periodd_refund_keys add constraint periodd_refund_keys_org_id_pack_id_seq_fkey FOREIGN KEY (org_id, pack_id, seq) REFERENCES overage_entries(org_id, pack_id, seq);
alter table periodd_refund_keys add constraint periodd_refund_keys_pkey PRIMARY KEY (org_id, idempotency_key);
alter table periodd_refund_keys enable row level security;
create policy of_the_callers_org on periodd_refund_keys for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table periodd_removed (
    before timestamp with time zone not null,
    counters_before timestamp with time zone,
    org_id uuid not null
);
alter table periodd_removed add constraint periodd_removed_before_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> before));
alter table periodd_removed add constraint periodd_removed_counters_before_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> counters_before));
alter table periodd_removed add constraint periodd_removed_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_removed add constraint periodd_removed_pkey PRIMARY KEY (org_id);
alter table periodd_removed enable row level security;

create table periodd_restarts (
    at timestamp with time zone not null,
    org_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    reference text not null,
    tier text
);
alter table periodd_restarts add constraint periodd_restarts_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> at));
alter table periodd_restarts add constraint periodd_restarts_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_restarts add constraint periodd_restarts_pkey PRIMARY KEY (org_id, reference);
alter table periodd_restarts add constraint periodd_restarts_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_restarts add constraint periodd_restarts_reference_check CHECK ((reference <> ''::text));
alter table periodd_restarts enable row level security;

create table periodd_runs (
    asked_by text,
    attempts integer not null default 1,
    counts jsonb,
    error text,
    finished_at timestamp with time zone,
    id bigint not null,
    job text not null,
    last_occurrence timestamp with time zone,
    lateness_ms bigint,
    occurrence timestamp with time zone,
    occurrences bigint not null default 1,
    org_id uuid,
    outcome text not null,
    reason text,
    replica text not null,
    started_at timestamp with time zone,
    token bigint,
    trigger text not null
);
alter table periodd_runs add constraint periodd_runs_attempts_check CHECK ((attempts > 0));
alter table periodd_runs add constraint periodd_runs_check CHECK (((trigger = 'command'::text) = (occurrence IS NULL)));
alter table periodd_runs add constraint periodd_runs_check1 CHECK (((outcome = 'skipped'::text) = (reason IS NOT NULL)));
alter table periodd_runs add constraint periodd_runs_check2 CHECK (((outcome = 'running'::text) = (finished_at IS NULL)));
alter table periodd_runs add constraint periodd_runs_check3 CHECK ((last_occurrence >= occurrence));
alter table periodd_runs add constraint periodd_runs_finished_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> finished_at));
alter table periodd_runs add constraint periodd_runs_last_occurrence_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> last_occurrence));
alter table periodd_runs add constraint periodd_runs_occurrence_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> occurrence));
alter table periodd_runs add constraint periodd_runs_occurrences_check CHECK ((occurrences > 0));
alter table periodd_runs add constraint periodd_runs_outcome_check CHECK ((outcome = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'skipped'::text])));
alter table periodd_runs add constraint periodd_runs_pkey PRIMARY KEY (id);
alter table periodd_runs add constraint periodd_runs_reason_check CHECK ((reason = ANY (ARRAY['paused'::text, 'overlapped'::text, 'too late'::text, 'clock'::text])));
alter table periodd_runs add constraint periodd_runs_started_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> started_at));
alter table periodd_runs add constraint periodd_runs_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'boundary'::text, 'command'::text])));
CREATE INDEX periodd_runs_finished ON periodd_runs USING btree (finished_at);
CREATE INDEX periodd_runs_job ON periodd_runs USING btree (job, id);
CREATE INDEX periodd_runs_org ON periodd_runs USING btree (org_id, id) WHERE (org_id IS NOT NULL);
CREATE UNIQUE INDEX periodd_runs_occurrence ON periodd_runs USING btree (job, trigger, occurrence) WHERE (occurrence IS NOT NULL);
alter table periodd_runs enable row level security;

create table periodd_schedules (
    job text not null,
    lease_until timestamp with time zone,
    line text,
    pause_reason text,
    paused_at timestamp with time zone,
    replica text,
    run_token bigint,
    running timestamp with time zone,
    seed bigint not null,
    settled timestamp with time zone not null,
    token bigint not null default 0,
    trigger text not null
);
alter table periodd_schedules add constraint periodd_schedules_check CHECK (((paused_at IS NULL) = (pause_reason IS NULL)));
alter table periodd_schedules add constraint periodd_schedules_check1 CHECK (((running IS NULL) = (lease_until IS NULL)));
alter table periodd_schedules add constraint periodd_schedules_check2 CHECK (((running IS NULL) = (replica IS NULL)));
alter table periodd_schedules add constraint periodd_schedules_check3 CHECK (((running IS NULL) = (run_token IS NULL)));
alter table periodd_schedules add constraint periodd_schedules_lease_until_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> lease_until));
alter table periodd_schedules add constraint periodd_schedules_paused_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> paused_at));
alter table periodd_schedules add constraint periodd_schedules_pkey PRIMARY KEY (job, trigger);
alter table periodd_schedules add constraint periodd_schedules_running_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> running));
alter table periodd_schedules add constraint periodd_schedules_settled_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> settled));
alter table periodd_schedules add constraint periodd_schedules_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'boundary'::text])));
alter table periodd_schedules enable row level security;

create table periodd_sessions (
    created_at timestamp with time zone not null default now(),
    digest bytea not null,
    expires_at timestamp with time zone not null,
    is_link boolean not null default false,
    token_digest bytea not null
);
alter table periodd_sessions add constraint periodd_sessions_created_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> created_at));
alter table periodd_sessions add constraint periodd_sessions_digest_check CHECK ((octet_length(digest) = 32));
alter table periodd_sessions add constraint periodd_sessions_expires_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> expires_at));
alter table periodd_sessions add constraint periodd_sessions_pkey PRIMARY KEY (digest);
alter table periodd_sessions add constraint periodd_sessions_token_digest_check CHECK ((octet_length(token_digest) = 32));
CREATE INDEX periodd_sessions_expired ON periodd_sessions USING btree (expires_at);
alter table periodd_sessions enable row level security;

create table periodd_suppressions (
    email text not null,
    org_id uuid not null,
    reason text not null default 'unknown'::text,
    suppressed_at timestamp with time zone not null default now()
);
alter table periodd_suppressions add constraint periodd_suppressions_email_check CHECK ((email = lower(email)));
alter table periodd_suppressions add constraint periodd_suppressions_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_suppressions add constraint periodd_suppressions_pkey PRIMARY KEY (org_id, email);
alter table periodd_suppressions add constraint periodd_suppressions_suppressed_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> suppressed_at));
CREATE INDEX periodd_suppressions_email ON periodd_suppressions USING btree (email);
alter table periodd_suppressions enable row level security;

create table periodd_tokens (
    created_at timestamp with time zone not null default now(),
    digest bytea not null,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    name text not null,
    only_org uuid,
    revoked_at timestamp with time zone,
    scopes text[] not null
);
alter table periodd_tokens add constraint periodd_tokens_created_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> created_at));
alter table periodd_tokens add constraint periodd_tokens_digest_check CHECK ((octet_length(digest) = 32));
alter table periodd_tokens add constraint periodd_tokens_digest_key UNIQUE (digest);
alter table periodd_tokens add constraint periodd_tokens_expires_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> expires_at));
alter table periodd_tokens add constraint periodd_tokens_last_used_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> last_used_at));
alter table periodd_tokens add constraint periodd_tokens_name_check CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'::text));
alter table periodd_tokens add constraint periodd_tokens_pkey PRIMARY KEY (name);
alter table periodd_tokens add constraint periodd_tokens_revoked_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> revoked_at));
alter table periodd_tokens add constraint periodd_tokens_scopes_check CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['read'::text, 'record'::text, 'sync'::text, 'admin'::text, 'metrics'::text])));
CREATE INDEX periodd_tokens_expired ON periodd_tokens USING btree (expires_at) WHERE (expires_at IS NOT NULL);
alter table periodd_tokens enable row level security;

create table periodd_unsubscribe_tokens (
    email text not null,
    org_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    token uuid not null default gen_random_uuid()
);
alter table periodd_unsubscribe_tokens add constraint periodd_unsubscribe_tokens_email_check CHECK ((email = lower(email)));
alter table periodd_unsubscribe_tokens add constraint periodd_unsubscribe_tokens_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_unsubscribe_tokens add constraint periodd_unsubscribe_tokens_pkey PRIMARY KEY (org_id, email);
alter table periodd_unsubscribe_tokens add constraint periodd_unsubscribe_tokens_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX periodd_unsubscribe_tokens_email ON periodd_unsubscribe_tokens USING btree (email);
alter table periodd_unsubscribe_tokens enable row level security;

create table periodd_usage_keys (
    feature text not null,
    idempotency_key text not null,
    metric_id uuid not null,
    org_id uuid not null,
    quantity numeric not null,
    recorded_at timestamp with time zone not null,
    used_at timestamp with time zone not null,
    user_id uuid
);
alter table periodd_usage_keys add constraint periodd_usage_keys_idempotency_key_check CHECK ((idempotency_key <> ''::text));
alter table periodd_usage_keys add constraint periodd_usage_keys_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_usage_keys add constraint periodd_usage_keys_pkey PRIMARY KEY (org_id, idempotency_key);
alter table periodd_usage_keys add constraint periodd_usage_keys_quantity_check CHECK (((quantity > '-Infinity'::numeric) AND (quantity < 'Infinity'::numeric) AND (quantity = round(quantity, 6))));
alter table periodd_usage_keys add constraint periodd_usage_keys_quantity_range CHECK (((abs(quantity) < '10000000000000000000000'::numeric) AND (quantity = round(quantity, 6))));
alter table periodd_usage_keys add constraint periodd_usage_keys_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_usage_keys add constraint periodd_usage_keys_used_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> used_at));
alter table periodd_usage_keys enable row level security;
create policy of_the_caller on periodd_usage_keys for select using (((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT periodd_caller() AS periodd_caller))));

create table periodd_webhook_outbox (
    answer text,
    attempts integer not null default 0,
    body text not null,
    channel text not null default 'webhook'::text,
    endpoint text not null,
    event_id uuid not null,
    id uuid not null default gen_random_uuid(),
    kind text not null,
    lease uuid,
    leased_until timestamp with time zone,
    next_attempt_at timestamp with time zone not null default now(),
    org_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    settled_at timestamp with time zone,
    state text not null default 'due'::text
);
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_attempts_check CHECK ((attempts >= 0));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_body_check CHECK ((octet_length(body) <= 20480));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_channel_check CHECK ((channel = 'webhook'::text));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_check CHECK (((state = 'due'::text) = (settled_at IS NULL)));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_leased_until_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> leased_until));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_next_attempt_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> next_attempt_at));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_org_id_event_id_channel_endpoint_key UNIQUE (org_id, event_id, channel, endpoint);
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_pkey PRIMARY KEY (org_id, id);
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_settled_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> settled_at));
alter table periodd_webhook_outbox add constraint periodd_webhook_outbox_state_check CHECK ((state = ANY (ARRAY['due'::text, 'sent'::text, 'given_up'::text])));
CREATE INDEX periodd_webhook_outbox_due ON periodd_webhook_outbox USING btree (endpoint, next_attempt_at, org_id, id) WHERE (state = 'due'::text);
CREATE INDEX periodd_webhook_outbox_given_up ON periodd_webhook_outbox USING btree (endpoint, settled_at) WHERE (state = 'given_up'::text);
CREATE INDEX periodd_webhook_outbox_oldest ON periodd_webhook_outbox USING btree (endpoint, recorded_at) WHERE (state = 'due'::text);
CREATE INDEX periodd_webhook_outbox_settled ON periodd_webhook_outbox USING btree (settled_at) WHERE (settled_at IS NOT NULL);
CREATE INDEX periodd_webhook_outbox_waiting ON periodd_webhook_outbox USING btree (recorded_at, org_id, id) WHERE (state = 'due'::text);
alter table periodd_webhook_outbox enable row level security;

create table periodd_zone_months (
    starts timestamp with time zone[] not null,
    time_zone text not null,
    tzdb_version text not null
);
alter table periodd_zone_months add constraint periodd_zone_months_pkey PRIMARY KEY (time_zone);
alter table periodd_zone_months add constraint periodd_zone_months_starts_range CHECK (
CASE
    WHEN (cardinality(starts) = 0) THEN true
    WHEN (array_ndims(starts) > 1) THEN false
    ELSE ((array_position(starts, NULL::timestamp with time zone) IS NULL) AND ('0001-01-01 00:00:00+00'::timestamp with time zone <= ALL (starts)) AND ('9999-12-31 23:59:59.999999+00'::timestamp with time zone >= ALL (starts)))
END);
alter table periodd_zone_months enable row level security;
create policy of_everybody on periodd_zone_months for select using (true);

create table subscription_tiers (
    code text not null,
    currency text not null default 'USD'::text,
    monthly_price_cents bigint not null default 0,
    name text
);
alter table subscription_tiers add constraint subscription_tiers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text));
alter table subscription_tiers add constraint subscription_tiers_monthly_price_cents_check CHECK ((monthly_price_cents >= 0));
alter table subscription_tiers add constraint subscription_tiers_pkey PRIMARY KEY (code);
alter table subscription_tiers enable row level security;
create policy of_everybody on subscription_tiers for select using (true);

create table tier_limits (
    feature text not null,
    included numeric,
    judged boolean not null default false,
    judged_included numeric,
    tier text not null,
    uncovered_price_cents numeric
);
alter table tier_limits add constraint tier_limits_feature_fkey FOREIGN KEY (feature) REFERENCES features(feature);
alter table tier_limits add constraint tier_limits_included_check CHECK ((included >= (0)::numeric));
alter table tier_limits add constraint tier_limits_included_range CHECK (((abs(included) < '10000000000000000000000'::numeric) AND (included = round(included, 6))));
alter table tier_limits add constraint tier_limits_judged_included_check CHECK ((judged_included >= (0)::numeric));
alter table tier_limits add constraint tier_limits_judged_included_range CHECK (((abs(judged_included) < '10000000000000000000000'::numeric) AND (judged_included = round(judged_included, 6))));
alter table tier_limits add constraint tier_limits_pkey PRIMARY KEY (tier, feature);
alter table tier_limits add constraint tier_limits_tier_fkey FOREIGN KEY (tier) REFERENCES subscription_tiers(code);
alter table tier_limits add constraint tier_limits_uncovered_price_cents_check CHECK ((uncovered_price_cents >= (0)::numeric));
alter table tier_limits add constraint tier_limits_uncovered_price_cents_range CHECK (((abs(uncovered_price_cents) < '10000000000000000000000'::numeric) AND (uncovered_price_cents = round(uncovered_price_cents, 6))));
alter table tier_limits enable row level security;
create policy of_everybody on tier_limits for select using (true);

create table usage_counters (
    discrepancy_count integer not null default 0,
    feature text not null,
    included_at_least numeric not null default 0,
    included_seen numeric,
    last_synced_at timestamp with time zone,
    org_id uuid not null,
    period_end timestamp with time zone not null,
    period_start timestamp with time zone not null,
    revision bigint not null default 0,
    sync_status text not null default 'pending'::text,
    updated_at timestamp with time zone not null default now(),
    used numeric not null default 0
);
alter table usage_counters add constraint usage_counters_check CHECK ((period_end > period_start));
alter table usage_counters add constraint usage_counters_discrepancy_count_check CHECK ((discrepancy_count >= 0));
alter table usage_counters add constraint usage_counters_included_at_least_range CHECK (((included_at_least >= (0)::numeric) AND (included_at_least < '10000000000000000000000'::numeric) AND (included_at_least = round(included_at_least, 6))));
alter table usage_counters add constraint usage_counters_included_seen_range CHECK (((included_seen >= (0)::numeric) AND (included_seen < '10000000000000000000000'::numeric) AND (included_seen = round(included_seen, 6))));
alter table usage_counters add constraint usage_counters_last_synced_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> last_synced_at));
alter table usage_counters add constraint usage_counters_org_id_fkey FOREIGN KEY (org_id) REFERENCES organizations(id);
alter table usage_counters add constraint usage_counters_period_end_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_end));
alter table usage_counters add constraint usage_counters_period_start_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> period_start));
alter table usage_counters add constraint usage_counters_pkey PRIMARY KEY (org_id, period_start, feature);
alter table usage_counters add constraint usage_counters_sync_status_check CHECK ((sync_status = ANY (ARRAY['pending'::text, 'synced'::text])));
alter table usage_counters add constraint usage_counters_updated_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> updated_at));
alter table usage_counters add constraint usage_counters_used_range CHECK (((abs(used) < '10000000000000000000000'::numeric) AND (used = round(used, 6))));
CREATE INDEX usage_counters_pending ON usage_counters USING btree (org_id) WHERE (sync_status = 'pending'::text);
CREATE INDEX usage_counters_synced ON usage_counters USING btree (last_synced_at);
alter table usage_counters enable row level security;
create policy of_the_callers_org on usage_counters for select using ((org_id = ( SELECT periodd_caller_org() AS periodd_caller_org)));

create table usage_metrics (
    counted_at timestamp with time zone,
    created_at timestamp with time zone not null default now(),
    id uuid not null default periodd_new_id(),
    idempotency_key text,
    metric_type text not null,
    metric_value numeric not null,
    organization_id uuid not null,
    recorded_at timestamp with time zone not null default now(),
    user_id uuid
);
alter table usage_metrics add constraint usage_metrics_counted_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> counted_at));
alter table usage_metrics add constraint usage_metrics_created_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> created_at));
alter table usage_metrics add constraint usage_metrics_idempotency_key_check CHECK ((idempotency_key <> ''::text));
alter table usage_metrics add constraint usage_metrics_metric_type_check CHECK ((metric_type <> ''::text));
alter table usage_metrics add constraint usage_metrics_metric_value_range CHECK (((abs(metric_value) < '10000000000000000000000'::numeric) AND (metric_value = round(metric_value, 6))));
alter table usage_metrics add constraint usage_metrics_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id);
alter table usage_metrics add constraint usage_metrics_pkey PRIMARY KEY (id, organization_id);
alter table usage_metrics add constraint usage_metrics_recorded_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> recorded_at));
CREATE INDEX usage_metrics_time ON usage_metrics USING btree (organization_id, created_at) INCLUDE (metric_type, metric_value, user_id, counted_at);
CREATE INDEX usage_metrics_uncounted ON usage_metrics USING btree (organization_id, created_at) WHERE (counted_at IS NULL);
CREATE UNIQUE INDEX usage_metrics_key ON usage_metrics USING btree (organization_id, idempotency_key);
alter table usage_metrics enable row level security;
create policy of_the_caller on usage_metrics for select using (((organization_id = ( SELECT periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT periodd_caller() AS periodd_caller))));

create table user_limits (
    feature text not null,
    included numeric not null,
    organization_id uuid not null,
    user_id uuid not null
);
alter table user_limits add constraint user_limits_feature_fkey FOREIGN KEY (feature) REFERENCES features(feature);
alter table user_limits add constraint user_limits_included_check CHECK ((included >= (0)::numeric));
alter table user_limits add constraint user_limits_included_range CHECK (((abs(included) < '10000000000000000000000'::numeric) AND (included = round(included, 6))));
alter table user_limits add constraint user_limits_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id);
alter table user_limits add constraint user_limits_pkey PRIMARY KEY (organization_id, user_id, feature);
alter table user_limits enable row level security;
create policy of_the_caller on user_limits for select using (((organization_id = ( SELECT periodd_caller_org() AS periodd_caller_org)) AND (user_id = ( SELECT periodd_caller() AS periodd_caller))));

create table users (
    created_at timestamp with time zone not null default now(),
    email text not null,
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    plan text,
    plan_limits_scrapes numeric,
    subscription_status text,
    usage_this_month numeric not null default 0
);
alter table users add constraint users_created_at_range CHECK (('["0001-01-01 00:00:00+00","9999-12-31 23:59:59.999999+00"]'::tstzrange @> created_at));
alter table users add constraint users_id_key UNIQUE (id);
alter table users add constraint users_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(id);
alter table users add constraint users_pkey PRIMARY KEY (organization_id, id);
alter table users add constraint users_plan_limits_scrapes_check CHECK ((plan_limits_scrapes >= (0)::numeric));
alter table users add constraint users_plan_limits_scrapes_range CHECK (((abs(plan_limits_scrapes) < '10000000000000000000000'::numeric) AND (plan_limits_scrapes = round(plan_limits_scrapes, 6))));
alter table users add constraint users_usage_this_month_range CHECK (((abs(usage_this_month) < '10000000000000000000000'::numeric) AND (usage_this_month = round(usage_this_month, 6))));
CREATE INDEX users_email ON users USING btree (lower(email));
alter table users enable row level security;
create policy of_the_caller on users for select using ((id = ( SELECT periodd_caller() AS periodd_caller)));

-- view billing_period_usage (org_id uuid, feature text, period_start timestamp with time zone, used numeric, included numeric, drawn numeric, uncovered numeric)

-- view organisations (id uuid, slug text, name text, time_zone text, cycle text, anchor_day smallint, anchor_month smallint, subscription_tier text, next_subscription_tier text, next_subscription_tier_at timestamp with time zone, subscription_status text, subscription_ends_at timestamp with time zone, current_period_start timestamp with time zone, current_period_end timestamp with time zone, current_period_end_date date, next_period_ends timestamp with time zone[], ends_time_zone text, ends_cycle text, ends_anchor_day smallint, ends_anchor_month smallint, ends_tzdb_version text, used_minutes numeric, overage_minutes numeric, overage_minutes_written numeric, parked_at timestamp with time zone, parked_reason text, revision bigint, created_at timestamp with time zone, overage_minutes_granted numeric, judged_tier text, locale text, anchor_time time without time zone, ends_anchor_time time without time zone, period_day_ends timestamp with time zone[], has_stale_ends boolean, parked_code text, period_tier text, restarted_at timestamp with time zone, restarted_from text, restarted_on text, restarted_tier text, skipped_end_date date, paused_from timestamp with time zone, paused_until timestamp with time zone, pause_reason text, removed_at timestamp with time zone, merged_into uuid)

-- view usage_alerts_view (org_id uuid, slug text, name text, feature text, used numeric, allowance numeric, percent numeric, level integer, period_start timestamp with time zone, period_end timestamp with time zone)

-- view usage_events (id uuid, organization_id uuid, user_id uuid, metric_type text, metric_value numeric, created_at timestamp with time zone, recorded_at timestamp with time zone, counted_at timestamp with time zone, idempotency_key text)

-- function erase_user(p_user_id uuid DEFAULT NULL::uuid, p_email text DEFAULT NULL::text, p_org_id uuid DEFAULT NULL::uuid, p_at timestamp with time zone DEFAULT now())
--     returns TABLE(org_id uuid, what text, quantity numeric)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function get_current_usage_period(p_timezone text DEFAULT 'UTC'::text)
--     returns TABLE(period_start timestamp with time zone, period_end timestamp with time zone)
--     plpgsql stable set search_path=public, pg_temp

-- function get_current_usage_stats(p_user_id uuid)
--     returns TABLE(feature text, used numeric, included numeric, purchased_remaining numeric, effective_limit numeric, percent numeric, period_start timestamp with time zone, period_end timestamp with time zone)
--     plpgsql stable security definer set search_path=public, pg_temp

-- function grant_overage_pack(p_org_id uuid, p_feature text, p_quantity numeric, p_reference text, p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_purchased_at timestamp with time zone DEFAULT now())
--     returns uuid
--     plpgsql volatile set search_path=public, pg_temp

-- function increment_feature_usage(p_user_id uuid, p_feature text, p_amount numeric DEFAULT 1, p_idempotency_key text DEFAULT NULL::text)
--     returns TABLE(allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function increment_org_usage(p_org_id uuid, p_feature text, p_amount numeric DEFAULT 1, p_idempotency_key text DEFAULT NULL::text)
--     returns TABLE(allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function increment_usage_if_allowed(p_user_id uuid)
--     returns TABLE(allowed boolean, new_usage numeric, effective_limit numeric, plan text, subscription_status text)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function merge_orgs(p_from_org_id uuid, p_into_org_id uuid, p_at timestamp with time zone DEFAULT now())
--     returns TABLE(what text, feature text, quantity numeric)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function move_overage_pack(p_org_id uuid, p_pack_or_reference text, p_into_org_id uuid, p_at timestamp with time zone DEFAULT now())
--     returns TABLE(pack_id uuid, feature text, quantity numeric)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function periodd_adds_up(p_features text[], p_used_each numeric[], p_included_each numeric[], p_drawn_each numeric[], p_uncovered_each numeric[])
--     returns boolean
--     plpgsql immutable set search_path=pg_catalog, pg_temp

-- function periodd_adjusted_price(p_org_id uuid, p_period_start timestamp with time zone, p_feature text, p_seq integer)
--     returns TABLE(uncovered_price_cents numeric, currency text)
--     sql stable

-- function periodd_allowances(p_org_id uuid, p_at timestamp with time zone, p_feature text DEFAULT NULL::text)
--     returns TABLE(feature text, at timestamp with time zone, period_start timestamp with time zone, period_end timestamp with time zone, used numeric, included numeric, is_granted boolean, drawn numeric, usable numeric, owed numeric, allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric, why_not text, tier text, subscription_status text, open_start timestamp with time zone, open_end timestamp with time zone, revision bigint)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_at_least(p_granted numeric, p_used numeric, p_at_least numeric, p_seen numeric)
--     returns numeric
--     sql immutable

-- function periodd_caller()
--     returns uuid
--     plpgsql stable set search_path=pg_catalog, pg_temp

-- function periodd_caller_org()
--     returns uuid
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_carried(p_org_id uuid, p_feature text, p_period_start timestamp with time zone)
--     returns numeric
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_carry_pack(p_org_id uuid, p_pack_id uuid, p_quantity numeric, p_into_org_id uuid, p_at timestamp with time zone)
--     returns uuid
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_check_quantity(p_quantity numeric)
--     returns void
--     plpgsql immutable set search_path=pg_catalog, pg_temp

-- function periodd_check_time(p_name text, p_at timestamp with time zone)
--     returns void
--     plpgsql stable set search_path=pg_catalog, pg_temp

-- function periodd_closed_price(p_org_id uuid, p_period_start timestamp with time zone, p_feature text)
--     returns TABLE(uncovered_price_cents numeric, currency text)
--     sql stable

-- function periodd_closed_since(p_first uuid, p_last uuid, p_since timestamp with time zone)
--     returns TABLE(org_id uuid, period_start timestamp with time zone, period_end timestamp with time zone)
--     sql stable

-- function periodd_ended_tier()
--     returns text
--     sql stable security definer

-- function periodd_enter_alerts(p_org_ids uuid[], p_starts timestamp with time zone[], p_features text[], p_generations integer[], p_thresholds smallint[])
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_enter_closes(p_org_ids uuid[], p_starts timestamp with time zone[])
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_enter_entries(p_org_ids uuid[], p_pack_ids uuid[], p_seqs integer[])
--     returns bigint
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function periodd_enter_event(p_kind text, p_org_id uuid, p_payload jsonb, p_at timestamp with time zone, p_id uuid DEFAULT gen_random_uuid())
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_enter_events(p_ids uuid[], p_kinds text[], p_org_ids uuid[], p_payloads jsonb[], p_ats timestamp with time zone[])
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_enter_packs(p_org_ids uuid[])
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_enter_tier_change(p_org_id uuid, p_before text, p_at timestamp with time zone)
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_erasure(p_user_id uuid, p_email text, p_org_id uuid)
--     returns TABLE(org_id uuid, what text, quantity numeric)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_event_id(p_parts text[])
--     returns uuid
--     sql immutable

-- function periodd_events(p_events jsonb)
--     returns TABLE(org_ids uuid[], features text[], amounts numeric[], user_ids uuid[], used_ats timestamp with time zone[], keys text[])
--     plpgsql stable set search_path=pg_catalog, pg_temp

-- function periodd_first_month(p_org_id uuid, p_at timestamp with time zone)
--     returns TABLE(period_start timestamp with time zone, period_end timestamp with time zone, next_ends timestamp with time zone[])
--     sql stable

-- function periodd_folded(p_name text)
--     returns text
--     sql immutable

-- function periodd_foreseen(p_org_id uuid, p_feature text, p_at timestamp with time zone, OUT included numeric, OUT is_granted boolean, OUT drawn numeric, OUT usable numeric, OUT owed numeric, OUT tier text, OUT subscription_status text)
--     returns record
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_forget_held(p_org_id uuid)
--     returns void
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_held(p_org_id uuid, p_feature text, p_at timestamp with time zone, p_period_start timestamp with time zone)
--     returns TABLE(usable numeric, drawn numeric, holds_expired boolean)
--     sql stable

-- function periodd_hold(p_org_id uuid, p_now timestamp with time zone)
--     returns boolean
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_hold_packs(p_org_id uuid, p_feature text)
--     returns bigint
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_included(p_org_id uuid, p_feature text, p_tier text)
--     returns TABLE(included numeric, is_granted boolean)
--     sql stable

-- function periodd_is_deleted(p_org_id uuid, p_user_id uuid)
--     returns boolean
--     plpgsql stable security definer set search_path=public, pg_temp

-- function periodd_is_inclusive(p_start timestamp with time zone, p_end timestamp with time zone, p_anchor_time time without time zone)
--     returns boolean
--     sql immutable

-- function periodd_is_key(p_key text)
--     returns boolean
--     sql immutable

-- function periodd_is_paused(p_from timestamp with time zone, p_until timestamp with time zone, p_at timestamp with time zone)
--     returns boolean
--     sql immutable

-- function periodd_kept(p_granted numeric, p_used numeric, p_at_least numeric, p_seen numeric)
--     returns numeric
--     sql immutable

-- function periodd_kept_in(p_org_id uuid, p_feature text, p_period_start timestamp with time zone, p_granted numeric)
--     returns numeric
--     sql stable

-- function periodd_keyed(p_org_id uuid, p_key text)
--     returns TABLE(metric_id uuid, user_id uuid, feature text, quantity numeric, used_at timestamp with time zone, recorded_at timestamp with time zone)
--     sql stable

-- function periodd_left(p_used numeric, p_included numeric, p_drawn numeric, p_usable numeric, p_is_granted boolean, p_period_start timestamp with time zone, p_open_start timestamp with time zone, p_open_end timestamp with time zone)
--     returns TABLE(allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric, why_not text)
--     sql immutable

-- function periodd_let_go(p_org_id uuid, p_now timestamp with time zone)
--     returns void
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_limit(p_org_id uuid, p_feature text, p_at timestamp with time zone)
--     returns TABLE(period_start timestamp with time zone, included numeric, is_granted boolean, drawn numeric, usable numeric, allowance numeric)
--     sql stable

-- function periodd_limit_used(p_org_id uuid, p_feature text, p_at timestamp with time zone)
--     returns TABLE(feature text, period_start timestamp with time zone, period_end timestamp with time zone, used numeric, included numeric, is_granted boolean, drawn numeric, usable numeric, owed numeric, allowance numeric, remaining numeric, purchased_remaining numeric, percent numeric, why_not text)
--     sql stable

-- function periodd_lock_org(p_org_id uuid)
--     returns void
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_merge(p_from_org_id uuid, p_into_org_id uuid, p_at timestamp with time zone)
--     returns TABLE(what text, feature text, quantity numeric, is_obstacle boolean)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_named(p_name text, p_id uuid)
--     returns TABLE(id uuid)
--     sql stable

-- function periodd_new_id()
--     returns uuid
--     sql volatile

-- function periodd_opened(p_org_id uuid, p_at timestamp with time zone)
--     returns boolean
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_pack_move(p_org_id uuid, p_pack_id uuid, p_at timestamp with time zone)
--     returns TABLE(what text, feature text, quantity numeric, is_obstacle boolean)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_percent(p_used numeric, p_allowance numeric)
--     returns numeric
--     sql immutable

-- function periodd_period_at(p_start timestamp with time zone, p_end timestamp with time zone, p_next_ends timestamp with time zone[], p_at timestamp with time zone)
--     returns TABLE(period_start timestamp with time zone, period_end timestamp with time zone)
--     sql immutable

-- function periodd_record_batch(p_org_ids uuid[], p_features text[], p_amounts numeric[], p_user_ids uuid[], p_used_ats timestamp with time zone[], p_keys text[], p_is_partial boolean, p_is_internal boolean)
--     returns TABLE(event bigint, outcome text, metric_id uuid, is_counted boolean, code text, detail text)
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_refuse_key(p_key text)
--     returns void
--     plpgsql immutable set search_path=pg_catalog, pg_temp

-- function periodd_refuse_period(p_open_start timestamp with time zone, p_open_end timestamp with time zone)
--     returns void
--     plpgsql immutable set search_path=pg_catalog, pg_temp

-- function periodd_refuse_reuse(p_org_id uuid, p_key text, p_user_id uuid)
--     returns void
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_removal(p_org_id uuid, p_with_history boolean, p_at timestamp with time zone)
--     returns TABLE(what text, feature text, quantity numeric, is_obstacle boolean)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_rfc3339(p_at timestamp with time zone)
--     returns text
--     sql immutable set TimeZone=UTC

-- function periodd_seen(p_org_id uuid, p_feature text, p_period_start timestamp with time zone)
--     returns TABLE(included_seen numeric)
--     sql stable

-- function periodd_shift_minutes(p_org_id uuid, p_quantity numeric, p_at timestamp with time zone)
--     returns void
--     plpgsql volatile set search_path=public, pg_temp

-- function periodd_speaks_for(p_user_id uuid)
--     returns boolean
--     sql stable

-- function periodd_standing(p_org_id uuid, p_feature text, p_at timestamp with time zone)
--     returns TABLE(at timestamp with time zone, included numeric, usable numeric, is_granted boolean, tier text, subscription_status text, open_start timestamp with time zone, open_end timestamp with time zone, next_ends timestamp with time zone[], revision bigint, is_all boolean)
--     sql stable

-- function periodd_traces(p_user_id uuid, p_email text, p_org_id uuid)
--     returns TABLE(org_id uuid, user_id uuid, email text)
--     plpgsql stable set search_path=public, pg_temp

-- function periodd_unsubscribe(p_token text, p_at timestamp with time zone DEFAULT now())
--     returns boolean
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function record_usage(p_org_id uuid, p_feature text, p_amount numeric, p_user_id uuid DEFAULT NULL::uuid, p_used_at timestamp with time zone DEFAULT now(), p_idempotency_key text DEFAULT NULL::text)
--     returns uuid
--     plpgsql volatile set search_path=public, pg_temp

-- function record_usage_batch(p_events jsonb, p_is_partial boolean DEFAULT false)
--     returns TABLE(event bigint, outcome text, metric_id uuid, is_counted boolean, code text, detail text)
--     plpgsql volatile set search_path=public, pg_temp

-- function refund_overage_pack(p_org_id uuid, p_pack_or_reference text, p_quantity numeric DEFAULT NULL::numeric, p_key text DEFAULT NULL::text, p_at timestamp with time zone DEFAULT now())
--     returns TABLE(pack_id uuid, feature text, expires_at timestamp with time zone, quantity numeric, remaining numeric, seq integer, refunded_at timestamp with time zone, already_refunded_at timestamp with time zone)
--     plpgsql volatile set search_path=public, pg_temp

-- function remove_org(p_org_id uuid, p_with_history boolean DEFAULT false, p_at timestamp with time zone DEFAULT now())
--     returns TABLE(what text, feature text, quantity numeric)
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function restart_billing_cycle(p_org_id uuid, p_tier text DEFAULT NULL::text, p_reference text DEFAULT NULL::text, p_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
--     returns timestamp with time zone
--     plpgsql volatile security definer set search_path=public, pg_temp

-- function set_usage_level(p_org_id uuid, p_feature text, p_value numeric, p_idempotency_key text DEFAULT NULL::text, p_set_at timestamp with time zone DEFAULT now())
--     returns TABLE(level numeric, changed_by numeric, effective_limit numeric)
--     plpgsql volatile security definer set search_path=public, pg_temp
