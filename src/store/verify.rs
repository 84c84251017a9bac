//! Whether the books are right: the rules that hold after every run, asked of the whole database.
//!
//! Each rule is a query that lists what breaks it. The tests ask the very same files after every
//! scenario.

use super::database::Database;
use super::error::StoreError;

/// A rule, and how many rows break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// The rule in a few words.
    pub rule: &'static str,
    /// Rows that break it; none in good books.
    pub broken_by: usize,
}

/// Asks every rule. Reads everything: seconds per million of metrics.
///
/// # Errors
/// As every read.
pub async fn rules(database: &Database) -> Result<Vec<Rule>, StoreError> {
    let mut connection = database.connection().await?;
    let asked = [
        (
            "closed periods touch",
            sqlx::query_file!("tests/invariants/closed_periods_touch.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "closed usage is its metrics",
            sqlx::query_file!("tests/invariants/closed_usage_is_its_metrics.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "counters are their metrics",
            sqlx::query_file!("tests/invariants/counters_are_their_metrics.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "drift adds up",
            sqlx::query_file!("tests/invariants/drift_adds_up.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "ends reach far enough",
            sqlx::query_file!("tests/invariants/ends_reach_far_enough.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "late usage is charged once",
            sqlx::query_file!("tests/invariants/late_usage_is_charged_once.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "overage is paid or uncovered",
            sqlx::query_file!("tests/invariants/overage_is_paid_or_uncovered.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "packs are conserved",
            sqlx::query_file!("tests/invariants/packs_are_conserved.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            "synced counters are copied",
            sqlx::query_file!("tests/invariants/synced_counters_are_copied.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
    ];
    Ok(asked.into_iter().map(|(rule, broken_by)| Rule { rule, broken_by }).collect())
}
