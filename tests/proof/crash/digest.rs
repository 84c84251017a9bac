//! What a flow leaves, as lines that are the same for every run that did the same.

use crate::support::TestDatabase;

/// Tables, and the columns that differ between runs that did the same: ids that are drawn, real
/// times, and how often a row was locked.
const TABLES: [(&str, &str); 22] = [
    ("billing_adjustments", ""),
    ("billing_periods", ""),
    ("feature_usage", "last_synced_at"),
    ("features", ""),
    ("limit_overrides", ""),
    ("organizations", "revision"),
    ("overage_entries", ""),
    ("overage_packs", ""),
    ("periodd_alerts", "decided_at"),
    ("periodd_drift", "id,run,found_at"),
    ("periodd_events", "position"),
    ("periodd_facts", "value"),
    ("periodd_hand_overs", "handed_over_at,up_to,follows"),
    ("periodd_level_keys", "set_at"),
    ("periodd_migrations", "applied_at"),
    ("periodd_moved_ends", ""),
    ("periodd_notices", "id,decided_at"),
    (
        "periodd_outbox",
        "id,message_id,answer,attempts,lease,leased_until,next_attempt_at,settled_at,notice",
    ),
    (
        "periodd_webhook_outbox",
        "id,answer,attempts,lease,leased_until,next_attempt_at,settled_at,body,position",
    ),
    ("usage_counters", "revision,included_seen,last_synced_at"),
    ("usage_metrics", "id"),
    ("users", ""),
];

/// All rows, a line each.
pub(super) async fn of(test: &TestDatabase) -> Vec<String> {
    let present = test
        .rows(
            "select table_name from information_schema.tables
             where table_schema = 'public' and table_type = 'BASE TABLE'",
        )
        .await;
    let of_table = |(name, besides): &(&str, &str)| {
        format!(
            "select '{name}' as name,
                    (to_jsonb(t) - '{{recorded_at,updated_at,counted_at,export_position}}'::text[]
                         - '{{{besides}}}'::text[]
                         || jsonb_build_object('counted', to_jsonb(t) ->> 'counted_at' <> ''))::text
                        as row
             from {name} t"
        )
    };
    let there = TABLES.iter().filter(|(name, _)| present.iter().any(|table| table == name));
    let mut queries: Vec<String> = there.map(of_table).collect();
    queries.push(
        "select 'schema' as name, format('%s.%s %s', table_name, column_name, data_type) as row
         from information_schema.columns where table_schema = 'public'"
            .to_owned(),
    );
    test.rows(&format!("select * from ({}) t order by 1, 2", queries.join(" union all "))).await
}
