-- Constraints that the ranges of 0012 make superfluous: a range says what is finite and has at most 6
-- decimals. PostgreSQL parses a table's constraints at every statement that writes to it, and asks
-- them of every row: what is said twice cost increments a sixth of their calls per second.
alter table tier_limits
    drop constraint tier_limits_included_check,
    add constraint tier_limits_included_check check (included >= 0),
    drop constraint tier_limits_judged_included_check,
    add constraint tier_limits_judged_included_check check (judged_included >= 0);
alter table pack_offers
    drop constraint pack_offers_quantity_check,
    add constraint pack_offers_quantity_check check (quantity > 0);
alter table organizations
    drop constraint organizations_overage_minutes_check,
    add constraint organizations_overage_minutes_check check (overage_minutes >= 0),
    drop constraint organizations_overage_minutes_granted_check,
    add constraint organizations_overage_minutes_granted_check check (overage_minutes_granted >= 0),
    drop constraint organizations_overage_minutes_written_check,
    add constraint organizations_overage_minutes_written_check check (overage_minutes_written >= 0),
    drop constraint organizations_used_minutes_check;
alter table limit_overrides
    drop constraint limit_overrides_included_check,
    add constraint limit_overrides_included_check check (included >= 0),
    drop constraint limit_overrides_judged_included_check,
    add constraint limit_overrides_judged_included_check check (judged_included >= 0);
alter table users
    drop constraint users_plan_limits_scrapes_check,
    add constraint users_plan_limits_scrapes_check check (plan_limits_scrapes >= 0),
    drop constraint users_usage_this_month_check;
alter table usage_metrics
    drop constraint usage_metrics_metric_value_check;
alter table usage_counters
    drop constraint usage_counters_used_check;
alter table feature_usage
    drop constraint feature_usage_usage_count_check;
alter table overage_packs
    drop constraint overage_packs_quantity_check,
    add constraint overage_packs_quantity_check check (quantity >= 0),
    drop constraint overage_packs_remaining_check;
alter table overage_entries
    drop constraint overage_entries_quantity_check,
    drop constraint overage_entries_remaining_check,
    add constraint overage_entries_remaining_check check (remaining >= 0);
alter table billing_period_usage
    drop constraint billing_period_usage_drawn_check,
    add constraint billing_period_usage_drawn_check check (drawn >= 0),
    drop constraint billing_period_usage_included_check,
    add constraint billing_period_usage_included_check check (included >= 0),
    drop constraint billing_period_usage_uncovered_check,
    add constraint billing_period_usage_uncovered_check check (uncovered >= 0),
    drop constraint billing_period_usage_used_check;
alter table billing_adjustments
    drop constraint billing_adjustments_drawn_check,
    drop constraint billing_adjustments_uncovered_check,
    drop constraint billing_adjustments_used_check;
alter table periodd_drift
    drop constraint periodd_drift_after_check,
    drop constraint periodd_drift_before_check,
    drop constraint periodd_drift_difference_check;
alter table periodd_derived
    drop constraint periodd_derived_granted_check,
    add constraint periodd_derived_granted_check check (granted >= 0),
    drop constraint periodd_derived_written_check;
alter table periodd_alert_limits
    drop constraint periodd_alert_limits_quantity_check,
    add constraint periodd_alert_limits_quantity_check check (quantity >= 0),
    drop constraint periodd_alert_limits_used_check;
alter table periodd_alerts
    drop constraint periodd_alerts_drawn_check,
    add constraint periodd_alerts_drawn_check check (drawn >= 0),
    drop constraint periodd_alerts_included_check,
    add constraint periodd_alerts_included_check check (included >= 0),
    drop constraint periodd_alerts_purchased_check,
    add constraint periodd_alerts_purchased_check check (purchased >= 0),
    drop constraint periodd_alerts_used_check;
alter table periodd_import_sums
    drop constraint periodd_import_sums_amount_check;
