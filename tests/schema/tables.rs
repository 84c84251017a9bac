//! Every table, and whose data it holds. A new table belongs in one of these lists: the rules of
//! sharding depend on which.

use crate::support::TestDatabase;

/// Tables of an org's data, with the column that names the org: they shard by it.
pub(crate) const ORG_TABLES: [(&str, &str); 31] = [
    ("organizations", "id"),
    ("users", "organization_id"),
    ("org_contacts", "org_id"),
    ("limit_overrides", "org_id"),
    ("user_limits", "organization_id"),
    ("usage_metrics", "organization_id"),
    ("usage_counters", "org_id"),
    ("feature_usage", "organization_id"),
    ("overage_packs", "org_id"),
    ("overage_entries", "org_id"),
    ("billing_periods", "org_id"),
    ("billing_adjustments", "org_id"),
    ("periodd_moved_ends", "org_id"),
    ("org_alert_settings", "org_id"),
    ("periodd_alert_limits", "org_id"),
    ("periodd_alerts", "org_id"),
    ("periodd_notices", "org_id"),
    ("periodd_outbox", "org_id"),
    ("periodd_suppressions", "org_id"),
    ("periodd_unsubscribe_tokens", "org_id"),
    ("periodd_drift", "org_id"),
    ("periodd_derived", "org_id"),
    ("periodd_removed", "org_id"),
    ("periodd_usage_keys", "org_id"),
    ("periodd_level_keys", "org_id"),
    ("periodd_refund_keys", "org_id"),
    ("periodd_restarts", "org_id"),
    ("periodd_moved_packs", "org_id"),
    ("periodd_departures", "org_id"),
    ("periodd_events", "org_id"),
    ("periodd_webhook_outbox", "org_id"),
];

/// Small tables that every shard reads: copied everywhere.
pub(crate) const REFERENCE_TABLES: [&str; 4] =
    ["features", "subscription_tiers", "tier_limits", "pack_offers"];

/// periodd's own books: in one place, and never joined with an org's data.
pub(crate) const CONTROL_TABLES: [&str; 18] = [
    "periodd_api",
    "periodd_audited",
    "periodd_clocks",
    "periodd_daemons",
    "periodd_empty_hand_overs",
    "periodd_facts",
    "periodd_hand_overs",
    "periodd_import_ids",
    "periodd_import_sums",
    "periodd_imports",
    "periodd_listeners",
    "periodd_migrations",
    "periodd_overview",
    "periodd_runs",
    "periodd_schedules",
    "periodd_sessions",
    "periodd_tokens",
    "periodd_zone_months",
];

/// Unique on purpose without the org's id: a slug and a user's id are unique over all orgs.
pub(crate) const UNIQUE_OVER_ALL_ORGS: [&str; 2] = ["organizations_slug_key", "users_id_key"];

/// `org_tables (name, org_id)` as a common table expression.
pub(crate) fn org_tables() -> String {
    let rows = ORG_TABLES.map(|(table, column)| format!("('{table}', '{column}')"));
    format!("org_tables (name, org_id) as (values {})", rows.join(", "))
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Every table that there is.
pub(crate) async fn all(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select relname from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1",
    )
    .await
}

#[tokio::test]
async fn every_table_is_known_by_whose_data_it_holds() {
    let test = TestDatabase::new().await;
    let orgs = ORG_TABLES.map(|(table, _)| table);
    let mut known = [&orgs[..], &REFERENCE_TABLES, &CONTROL_TABLES].concat();
    known.sort_unstable();
    assert_eq!(
        all(&test).await,
        known,
        "a new table belongs in one of the lists in tests/schema/tables.rs"
    );
}
