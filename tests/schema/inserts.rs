//! A row may be inserted with what its writer knows; everything else has a default or is null.

use sqlx::Connection;

use crate::support::TestDatabase;
use crate::tables;

const ORG: &str = "00000000-0000-0000-0000-000000000001";
const PACK: &str = "00000000-0000-0000-0000-000000000002";

const PERIOD: &str = "'2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z'";
const START: &str = "'2026-05-01T00:00:00Z'";

/// A table, the columns that a writer has to name, and their values.
type Row = (&'static str, &'static str, String);

/// A row of every table with what its writer knows and nothing else, in an order in which they
/// can be inserted.
pub(crate) fn smallest_rows() -> Vec<Row> {
    [rows_of_orgs(), rows_of_periodd(), control_rows()].concat()
}

/// What is sold, and what orgs have of it.
fn rows_of_orgs() -> Vec<Row> {
    vec![
        ("features", "feature, unit", "'steps', 'steps'".into()),
        ("subscription_tiers", "code", "'gold'".into()),
        ("tier_limits", "tier, feature, included", "'gold', 'steps', 5".into()),
        ("pack_offers", "code, feature, quantity", "'more', 'steps', 5".into()),
        // Only the id is more than a writer has to say: the rows below refer to it.
        (
            "organizations",
            "id, slug, name, time_zone",
            format!("'{ORG}', 'acme', 'Acme', 'Europe/Berlin'"),
        ),
        ("users", "organization_id, email", format!("'{ORG}', 'a@example.com'")),
        ("org_contacts", "org_id, email", format!("'{ORG}', 'b@example.com'")),
        ("limit_overrides", "org_id, feature, included", format!("'{ORG}', 'steps', 7")),
        (
            "user_limits",
            "organization_id, user_id, feature, included",
            format!("'{ORG}', '{ORG}', 'steps', 7"),
        ),
        (
            "usage_metrics",
            "organization_id, metric_type, metric_value",
            format!("'{ORG}', 'Steps', 1"),
        ),
        (
            "usage_counters",
            "org_id, feature, period_start, period_end",
            format!("'{ORG}', 'steps', {PERIOD}"),
        ),
        (
            "feature_usage",
            "organization_id, user_id, feature, period_start, period_end",
            format!("'{ORG}', '{ORG}', 'steps', {PERIOD}"),
        ),
        ("overage_packs", "id, org_id, feature", format!("'{PACK}', '{ORG}', 'steps'")),
        (
            "overage_entries",
            "org_id, pack_id, seq, kind",
            format!("'{ORG}', '{PACK}', 1, 'granted'"),
        ),
        ("billing_periods", "org_id, period_start, period_end", format!("'{ORG}', {PERIOD}")),
        (
            "billing_adjustments",
            "org_id, feature, period_start, seq, kind",
            format!("'{ORG}', 'steps', {START}, 1, 'late'"),
        ),
        ("org_alert_settings", "org_id", format!("'{ORG}'")),
    ]
}

/// What periodd keeps of an org for itself.
fn rows_of_periodd() -> Vec<Row> {
    vec![
        (
            "periodd_moved_ends",
            "org_id, before, after, tzdb_after",
            format!("'{ORG}', {PERIOD}, '2026e'"),
        ),
        (
            "periodd_alert_limits",
            "org_id, feature, period_start, period_end",
            format!("'{ORG}', 'steps', {PERIOD}"),
        ),
        (
            "periodd_alerts",
            "org_id, feature, period_start, period_end, threshold",
            format!("'{ORG}', 'steps', {PERIOD}, 80"),
        ),
        ("periodd_notices", "org_id, kind, key", format!("'{ORG}', 'pack_expires', 'a pack'")),
        (
            "periodd_outbox",
            "org_id, feature, period_start, period_end, threshold, recipient",
            format!("'{ORG}', 'steps', {PERIOD}, 80, 'b@example.com'"),
        ),
        ("periodd_suppressions", "org_id, email", format!("'{ORG}', 'b@example.com'")),
        ("periodd_unsubscribe_tokens", "org_id, email", format!("'{ORG}', 'b@example.com'")),
        (
            "periodd_drift",
            "org_id, feature, period_start, place, after, difference, reason",
            format!("'{ORG}', 'steps', {START}, 'usage_counters.used', 5, 5, 'It was missing.'"),
        ),
        ("periodd_derived", "org_id, target, key", format!("'{ORG}', 'accounts.left', '{ORG}'")),
        ("periodd_removed", "org_id, before", format!("'{ORG}', {START}")),
        (
            "periodd_usage_keys",
            "org_id, idempotency_key, metric_id, feature, quantity, used_at, recorded_at",
            format!("'{ORG}', 'k', '{PACK}', 'steps', 1, {START}, {START}"),
        ),
        (
            "periodd_level_keys",
            "org_id, idempotency_key, feature, level",
            format!("'{ORG}', 'k', 'steps', 5"),
        ),
        (
            "periodd_refund_keys",
            "org_id, idempotency_key, pack_id, seq",
            format!("'{ORG}', 'k', '{PACK}', 1"),
        ),
        ("periodd_restarts", "org_id, reference, at", format!("'{ORG}', 'r', {START}")),
        (
            "periodd_moved_packs",
            "org_id, from_org, from_pack, from_seq, feature",
            format!("'{ORG}', '{PACK}', '{PACK}', 1, 'steps'"),
        ),
        ("periodd_departures", "org_id, kind", format!("'{ORG}', 'org_removed'")),
        ("periodd_events", "org_id, kind", format!("'{ORG}', 'period.closed'")),
        (
            "periodd_webhook_outbox",
            "org_id, endpoint, event_id, kind, body",
            format!("'{ORG}', 'app', '{PACK}', 'period.closed', '{{}}'"),
        ),
    ]
}

/// What it keeps of no org.
fn control_rows() -> Vec<Row> {
    vec![
        (
            "periodd_audited",
            "audit, first_org, last_org, orgs, starts, ends, metrics",
            format!("'{PACK}', '{ORG}', '{ORG}', '{{}}', '{{}}', '{{}}', '{{}}'"),
        ),
        (
            "periodd_runs",
            "job, trigger, outcome, replica",
            "'sync', 'command', 'running', 'a'".into(),
        ),
        (
            "periodd_schedules",
            "job, trigger, seed, settled",
            format!("'none', 'schedule', 1, {START}"),
        ),
        ("periodd_api", "name, checksum", "'none', ''".into()),
        (
            "periodd_clocks",
            "boot, machine, database_at, machine_at, awake_us",
            format!("'none', '', {START}, {START}, 0"),
        ),
        (
            "periodd_daemons",
            "replica, version, started_at, seen_at",
            format!("'web-1:7', '1', {START}, {START}"),
        ),
        ("periodd_facts", "name, value", "'colour', 'blue'".into()),
        ("periodd_hand_overs", "kind, name, up_to", "'closes', 'invoices', 7".into()),
        ("periodd_empty_hand_overs", "kind, name, up_to", "'closes', 'nothing', 7".into()),
        (
            "periodd_tokens",
            "name, digest, scopes",
            "'backend', sha256('secret'), array['read']".into(),
        ),
        (
            "periodd_sessions",
            "digest, token_digest, expires_at",
            "sha256('cookie'), sha256('secret'), now()".into(),
        ),
        (
            "periodd_overview",
            "hour, feature, taken_at, tenths, tiers, most, ahead",
            format!("{START}, 'steps', {START}, '[]', '[]', '[]', '{{}}'"),
        ),
        ("periodd_imports", "id", "7".into()),
        ("periodd_listeners", "channel, name", "'webhook', 'app'".into()),
        (
            "periodd_import_sums",
            "import, org_id, feature, is_period, since",
            format!("7, '{ORG}', 'steps', true, now()"),
        ),
        ("periodd_import_ids", "kind, former_id, id", format!("'users', 'clz1a2b3c0000', '{ORG}'")),
        ("periodd_migrations", "version, description, checksum", "-1, 'none', ''".into()),
        ("periodd_zone_months", "time_zone, starts, tzdb_version", "'Nowhere', '{}', ''".into()),
    ]
}

/// Inserts the smallest row of every table.
pub(crate) async fn insert_smallest_rows(test: &TestDatabase) {
    for (table, columns, values) in smallest_rows() {
        test.sql(&format!("insert into {table} ({columns}) values ({values})")).await;
    }
}

#[tokio::test]
async fn a_row_may_be_inserted_with_what_its_writer_knows() {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    let mut tried: Vec<&str> = smallest_rows().iter().map(|(table, ..)| *table).collect();
    tried.sort_unstable();
    assert_eq!(tables::all(&test).await, tried, "a new table's smallest row belongs in this list");
}

#[tokio::test]
async fn defaults_are_what_the_contract_says() {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    let org = "select cycle, anchor_day, anchor_month, subscription_tier, used_minutes,
                      overage_minutes, current_period_start, parked_at from organizations";
    assert_eq!(test.rows(org).await, ["monthly 1 1 free 0 0 - -"]);
    let metric = "select created_at = recorded_at and created_at > now() - interval '1 hour',
                         counted_at, user_id from usage_metrics";
    assert_eq!(test.rows(metric).await, ["true - -"]);
    let pack = "select quantity, remaining, purchased_at > now() - interval '1 hour', expires_at
                from overage_packs";
    assert_eq!(test.rows(pack).await, ["0 - true -"]);
    let counter = "select used, sync_status, discrepancy_count from usage_counters";
    assert_eq!(test.rows(counter).await, ["0 pending 0"]);
    assert_eq!(test.rows("select usage_this_month, plan from users").await, ["0 -"]);
}

#[tokio::test]
async fn what_writers_must_know_is_refused_when_it_is_missing() {
    let test = TestDatabase::new().await;
    let mut connection = test.connect().await;
    for statement in [
        "insert into organizations (slug, name) values ('acme', 'Acme')",
        "insert into organizations (slug, time_zone) values ('acme', 'UTC')",
        "insert into users (email) values ('a@example.com')",
        "insert into usage_metrics (metric_type, metric_value) values ('steps', 1)",
    ] {
        let mut transaction = connection.begin().await.expect("a transaction");
        let refused = sqlx::raw_sql(statement).execute(&mut *transaction).await;
        let code = refused
            .expect_err(statement)
            .into_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("23502"), "{statement}");
    }
}

#[tokio::test]
async fn the_views_can_be_written_to() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organisations (slug, name, time_zone) values ('acme', 'Acme', 'UTC');
         update organisations set name = 'Acme Ltd' where slug = 'acme';
         insert into usage_events (organization_id, metric_type, metric_value)
             select id, 'scrapes', 2 from organisations",
    )
    .await;
    assert_eq!(test.rows("select slug, name from organizations").await, ["acme Acme Ltd"]);
    assert_eq!(
        test.rows("select metric_type, metric_value from usage_metrics").await,
        ["scrapes 2"]
    );
}
