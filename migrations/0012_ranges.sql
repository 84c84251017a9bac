-- What the program cannot read, the schema refuses: quantities below 10^22 with at most 6 decimals,
-- instants and dates from the year 1 to 9999, arrays without null elements. Where null means never
-- ('expires_at', 'subscription_ends_at'), 'infinity' says the same.
--
-- Every column that holds such a value has a constraint of its own, TABLE_COLUMN_range, one a line,
-- here or in a later migration. They are added 'not valid', which reads no row: periodd then looks
-- for rows that break them, names these and takes everything back, or validates the constraints
-- while reads and writes go on.
--
-- PostgreSQL parses a table's constraints anew at every statement that writes to it, and an
-- increment writes to four tables: a range is the shortest way to bound an instant, and
-- constraints that these make superfluous are dropped.
alter table billing_adjustments
    add constraint billing_adjustments_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint billing_adjustments_used_range check (abs(used) < 1e22 and used = round(used, 6)) not valid,
    add constraint billing_adjustments_drawn_range check (abs(drawn) < 1e22 and drawn = round(drawn, 6)) not valid,
    add constraint billing_adjustments_uncovered_range check (abs(uncovered) < 1e22 and uncovered = round(uncovered, 6)) not valid,
    add constraint billing_adjustments_decided_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> decided_at) not valid,
    add constraint billing_adjustments_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table billing_period_usage
    add constraint billing_period_usage_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint billing_period_usage_used_range check (abs(used) < 1e22 and used = round(used, 6)) not valid,
    add constraint billing_period_usage_included_range check (abs(included) < 1e22 and included = round(included, 6)) not valid,
    add constraint billing_period_usage_drawn_range check (abs(drawn) < 1e22 and drawn = round(drawn, 6)) not valid,
    add constraint billing_period_usage_uncovered_range check (abs(uncovered) < 1e22 and uncovered = round(uncovered, 6)) not valid;
alter table billing_periods
    add constraint billing_periods_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint billing_periods_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint billing_periods_follows_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> follows) not valid,
    add constraint billing_periods_closed_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> closed_at) not valid,
    add constraint billing_periods_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table feature_usage
    add constraint feature_usage_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint feature_usage_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint feature_usage_usage_count_range check (abs(usage_count) < 1e22 and usage_count = round(usage_count, 6)) not valid,
    add constraint feature_usage_last_synced_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_synced_at) not valid,
    add constraint feature_usage_updated_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> updated_at) not valid;
alter table limit_overrides
    add constraint limit_overrides_included_range check (abs(included) < 1e22 and included = round(included, 6)) not valid,
    add constraint limit_overrides_judged_included_range check (abs(judged_included) < 1e22 and judged_included = round(judged_included, 6)) not valid;
alter table org_contacts
    add constraint org_contacts_opted_out_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> opted_out_at) not valid;
alter table organizations
    add constraint organizations_next_subscription_tier_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> next_subscription_tier_at) not valid,
    add constraint organizations_subscription_ends_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> subscription_ends_at or subscription_ends_at = 'infinity') not valid,
    add constraint organizations_current_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> current_period_start) not valid,
    add constraint organizations_current_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> current_period_end) not valid,
    add constraint organizations_current_period_end_date_range check (current_period_end_date between '0001-01-01' and '9999-12-31') not valid,
    add constraint organizations_next_period_ends_range check (case when cardinality(next_period_ends) = 0 then true when array_ndims(next_period_ends) > 1 then false else array_position(next_period_ends, null) is null and '0001-01-01 00:00:00+00' <= all (next_period_ends) and '9999-12-31 23:59:59.999999+00' >= all (next_period_ends) end) not valid,
    add constraint organizations_used_minutes_range check (abs(used_minutes) < 1e22 and used_minutes = round(used_minutes, 6)) not valid,
    add constraint organizations_overage_minutes_range check (abs(overage_minutes) < 1e22 and overage_minutes = round(overage_minutes, 6)) not valid,
    add constraint organizations_overage_minutes_written_range check (abs(overage_minutes_written) < 1e22 and overage_minutes_written = round(overage_minutes_written, 6)) not valid,
    add constraint organizations_parked_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> parked_at) not valid,
    add constraint organizations_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at) not valid,
    add constraint organizations_overage_minutes_granted_range check (abs(overage_minutes_granted) < 1e22 and overage_minutes_granted = round(overage_minutes_granted, 6)) not valid;
alter table overage_entries
    add constraint overage_entries_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)) not valid,
    add constraint overage_entries_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at) not valid,
    add constraint overage_entries_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint overage_entries_remaining_range check (abs(remaining) < 1e22 and remaining = round(remaining, 6)) not valid,
    add constraint overage_entries_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table overage_packs
    add constraint overage_packs_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)) not valid,
    add constraint overage_packs_remaining_range check (abs(remaining) < 1e22 and remaining = round(remaining, 6)) not valid,
    add constraint overage_packs_purchased_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> purchased_at) not valid,
    add constraint overage_packs_expires_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expires_at or expires_at = 'infinity') not valid;
alter table pack_offers
    add constraint pack_offers_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)) not valid;
alter table periodd_alert_limits
    add constraint periodd_alert_limits_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint periodd_alert_limits_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint periodd_alert_limits_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)) not valid,
    add constraint periodd_alert_limits_used_range check (abs(used) < 1e22 and used = round(used, 6)) not valid,
    add constraint periodd_alert_limits_judged_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> judged_at) not valid;
alter table periodd_alerts
    add constraint periodd_alerts_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint periodd_alerts_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint periodd_alerts_used_range check (abs(used) < 1e22 and used = round(used, 6)) not valid,
    add constraint periodd_alerts_included_range check (abs(included) < 1e22 and included = round(included, 6)) not valid,
    add constraint periodd_alerts_drawn_range check (abs(drawn) < 1e22 and drawn = round(drawn, 6)) not valid,
    add constraint periodd_alerts_purchased_range check (abs(purchased) < 1e22 and purchased = round(purchased, 6)) not valid,
    add constraint periodd_alerts_decided_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> decided_at) not valid,
    add constraint periodd_alerts_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table periodd_api
    add constraint periodd_api_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at) not valid;
alter table periodd_audited
    add constraint periodd_audited_starts_range check (case when cardinality(starts) = 0 then true when array_ndims(starts) > 1 then false else array_position(starts, null) is null and '0001-01-01 00:00:00+00' <= all (starts) and '9999-12-31 23:59:59.999999+00' >= all (starts) end) not valid,
    add constraint periodd_audited_ends_range check (case when cardinality(ends) = 0 then true when array_ndims(ends) > 1 then false else array_position(ends, null) is null and '0001-01-01 00:00:00+00' <= all (ends) and '9999-12-31 23:59:59.999999+00' >= all (ends) end) not valid;
alter table periodd_daemons
    add constraint periodd_daemons_started_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> started_at) not valid,
    add constraint periodd_daemons_seen_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> seen_at) not valid,
    add constraint periodd_daemons_stopped_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> stopped_at) not valid;
alter table periodd_derived
    add constraint periodd_derived_written_range check (abs(written) < 1e22 and written = round(written, 6)) not valid,
    add constraint periodd_derived_granted_range check (abs(granted) < 1e22 and granted = round(granted, 6)) not valid;
alter table periodd_drift
    add constraint periodd_drift_found_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> found_at) not valid,
    add constraint periodd_drift_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint periodd_drift_before_range check (abs(before) < 1e22 and before = round(before, 6)) not valid,
    add constraint periodd_drift_after_range check (abs(after) < 1e22 and after = round(after, 6)) not valid,
    add constraint periodd_drift_difference_range check (abs(difference) < 1e22 and difference = round(difference, 6)) not valid,
    add constraint periodd_drift_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table periodd_import_sums
    add constraint periodd_import_sums_since_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> since) not valid,
    add constraint periodd_import_sums_amount_range check (abs(amount) < 1e22 and amount = round(amount, 6)) not valid;
alter table periodd_unsubscribe_tokens
    add constraint periodd_unsubscribe_tokens_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table periodd_imports
    add constraint periodd_imports_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at) not valid,
    add constraint periodd_imports_legacy_dropped_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> legacy_dropped_at) not valid;
alter table periodd_moved_ends
    add constraint periodd_moved_ends_moved_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> moved_at) not valid,
    add constraint periodd_moved_ends_before_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> before) not valid,
    add constraint periodd_moved_ends_after_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> after) not valid;
alter table periodd_outbox
    add constraint periodd_outbox_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint periodd_outbox_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint periodd_outbox_next_attempt_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> next_attempt_at) not valid,
    add constraint periodd_outbox_leased_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> leased_until) not valid,
    add constraint periodd_outbox_dated_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> dated) not valid,
    add constraint periodd_outbox_settled_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> settled_at) not valid,
    add constraint periodd_outbox_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table periodd_removed
    add constraint periodd_removed_before_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> before) not valid;
alter table periodd_refund_keys
    add constraint periodd_refund_keys_asked_range check (abs(asked) < 1e22 and asked = round(asked, 6)) not valid;
alter table periodd_runs
    add constraint periodd_runs_occurrence_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> occurrence) not valid,
    add constraint periodd_runs_last_occurrence_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_occurrence) not valid,
    add constraint periodd_runs_started_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> started_at) not valid,
    add constraint periodd_runs_finished_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> finished_at) not valid;
alter table periodd_schedules
    add constraint periodd_schedules_settled_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> settled) not valid,
    add constraint periodd_schedules_paused_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> paused_at) not valid,
    add constraint periodd_schedules_running_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> running) not valid,
    add constraint periodd_schedules_lease_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> lease_until) not valid;
alter table periodd_suppressions
    add constraint periodd_suppressions_suppressed_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> suppressed_at) not valid;
alter table periodd_usage_keys
    add constraint periodd_usage_keys_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)) not valid,
    add constraint periodd_usage_keys_used_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> used_at) not valid,
    add constraint periodd_usage_keys_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid;
alter table periodd_zone_months
    add constraint periodd_zone_months_starts_range check (case when cardinality(starts) = 0 then true when array_ndims(starts) > 1 then false else array_position(starts, null) is null and '0001-01-01 00:00:00+00' <= all (starts) and '9999-12-31 23:59:59.999999+00' >= all (starts) end) not valid;
alter table tier_limits
    add constraint tier_limits_included_range check (abs(included) < 1e22 and included = round(included, 6)) not valid,
    add constraint tier_limits_judged_included_range check (abs(judged_included) < 1e22 and judged_included = round(judged_included, 6)) not valid;
alter table usage_counters
    add constraint usage_counters_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start) not valid,
    add constraint usage_counters_period_end_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_end) not valid,
    add constraint usage_counters_used_range check (abs(used) < 1e22 and used = round(used, 6)) not valid,
    add constraint usage_counters_last_synced_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_synced_at) not valid,
    add constraint usage_counters_updated_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> updated_at) not valid;
alter table usage_metrics
    add constraint usage_metrics_metric_value_range check (abs(metric_value) < 1e22 and metric_value = round(metric_value, 6)) not valid,
    add constraint usage_metrics_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at) not valid,
    add constraint usage_metrics_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at) not valid,
    add constraint usage_metrics_counted_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> counted_at) not valid;
alter table users
    add constraint users_usage_this_month_range check (abs(usage_this_month) < 1e22 and usage_this_month = round(usage_this_month, 6)) not valid,
    add constraint users_plan_limits_scrapes_range check (abs(plan_limits_scrapes) < 1e22 and plan_limits_scrapes = round(plan_limits_scrapes, 6)) not valid,
    add constraint users_created_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> created_at) not valid;
alter table if exists periodd_migrations
    add constraint periodd_migrations_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at) not valid;

-- Why an org is set aside, for programs; the sentence beside it is for people.
alter table organizations add parked_code text
    check (parked_code in ('by_hand', 'gap', 'halted', 'invalid_cycle', 'inverted_period',
                           'negative_pack', 'out_of_range', 'plan_fault', 'refused_by_database',
                           'unknown_zone', 'unprocessable', 'unreadable_row'));
comment on column organizations.parked_code is 'Reason for parking, as a code; null: not parked, or a reason without a code.';
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
-- What status looks at: an org that a person set aside is no fault.
create index organizations_parked_by_periodd on organizations (id)
    where parked_at is not null and parked_code is distinct from 'by_hand';
create index organizations_parked_by_hand on organizations (id)
    where parked_at is not null and parked_code = 'by_hand';
create or replace view organisations with (security_invoker = true) as select * from organizations;
