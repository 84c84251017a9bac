-- Which rows a connection sees that is neither the tables' owner nor a trusted server
-- (periodd_app): what concerns the end user that it carries, and nothing where it carries none. It
-- writes through the functions alone.

-- An org's books, for its users.
drop policy if exists of_the_callers_org on organizations;
create policy of_the_callers_org on organizations for select to public using (id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on org_contacts;
create policy of_the_callers_org on org_contacts for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on limit_overrides;
create policy of_the_callers_org on limit_overrides for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on usage_counters;
create policy of_the_callers_org on usage_counters for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on org_alert_settings;
create policy of_the_callers_org on org_alert_settings for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on overage_packs;
create policy of_the_callers_org on overage_packs for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on overage_entries;
create policy of_the_callers_org on overage_entries for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on periodd_moved_packs;
create policy of_the_callers_org on periodd_moved_packs for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on periodd_refund_keys;
create policy of_the_callers_org on periodd_refund_keys for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on billing_periods;
create policy of_the_callers_org on billing_periods for select to public using (org_id = (select periodd_caller_org()));
drop policy if exists of_the_callers_org on billing_adjustments;
create policy of_the_callers_org on billing_adjustments for select to public using (org_id = (select periodd_caller_org()));

-- What one person did and is called, for that person alone.
drop policy if exists of_the_caller on users;
create policy of_the_caller on users for select to public using (id = (select periodd_caller()));
drop policy if exists of_the_caller on usage_metrics;
create policy of_the_caller on usage_metrics for select to public
    using (organization_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));
drop policy if exists of_the_caller on feature_usage;
create policy of_the_caller on feature_usage for select to public
    using (organization_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));
drop policy if exists of_the_caller on user_limits;
create policy of_the_caller on user_limits for select to public
    using (organization_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));
drop policy if exists of_the_caller on periodd_usage_keys;
create policy of_the_caller on periodd_usage_keys for select to public
    using (org_id = (select periodd_caller_org()) and user_id = (select periodd_caller()));

-- What is the same for everybody. periodd's other books concern nobody else, and have no policy.
drop policy if exists of_everybody on features;
create policy of_everybody on features for select to public using (true);
drop policy if exists of_everybody on subscription_tiers;
create policy of_everybody on subscription_tiers for select to public using (true);
drop policy if exists of_everybody on tier_limits;
create policy of_everybody on tier_limits for select to public using (true);
drop policy if exists of_everybody on pack_offers;
create policy of_everybody on pack_offers for select to public using (true);
drop policy if exists of_everybody on periodd_zone_months;
create policy of_everybody on periodd_zone_months for select to public using (true);
