//! Whether the books are right: the rules that hold after every run, asked of the whole database.
//!
//! Each rule is a query that lists what breaks it. The tests ask the very same files after every
//! scenario.

use super::database::Database;
use super::error::StoreError;

/// A rule, and how many rows break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
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

/// Asks what must hold of periods, whoever wrote them: of orgs and of counters.
///
/// # Errors
/// As every read.
pub async fn periods(database: &Database) -> Result<Vec<Rule>, StoreError> {
    let counts = sqlx::query!(
        r#"-- Periods that end before they start, that end with their last moment, or that overlap.
           select
               (select count(*) from organizations o
                where o.current_period_end <= o.current_period_start) as "inverted!",
               (select count(*) from (
                    select o.current_period_end as ends from organizations o
                    union all select c.period_end from usage_counters c) p
                where extract(second from p.ends) >= 59
                  and extract(minute from p.ends) in (14, 29, 44, 59)) as "inclusive!",
               (select count(*) from (
                    select c.period_end, lead(c.period_start) over (
                               partition by c.org_id, c.feature order by c.period_start) as next
                    from usage_counters c) n
                where n.next < n.period_end) as "overlapping!",
               (select count(*) from (
                    select f.period_end, lead(f.period_start) over (
                               partition by f.organization_id, f.user_id, f.feature
                               order by f.period_start) as next
                    from feature_usage f) n
                where n.next < n.period_end) as "overlapping_of_users!""#
    );
    let counts = counts.fetch_one(&mut *database.connection().await?).await?;
    let rule = |rule, count: i64| Rule { rule, broken_by: usize::try_from(count).unwrap_or(0) };
    Ok(vec![
        rule("periods end after they start", counts.inverted),
        rule("periods end with the first moment after them", counts.inclusive),
        rule("counters of a feature do not overlap", counts.overlapping),
        rule("counters of a user and feature do not overlap", counts.overlapping_of_users),
    ])
}
