//! Whether the books are consistent: the rules that hold after every run, asked of the whole
//! database.
//!
//! Each rule is a query that lists what breaks it. The tests ask the very same files after every
//! scenario.

use std::fmt;

use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// A rule that the books keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    ClosedPeriodsTouch,
    ClosedUsageIsItsMetrics,
    CountersAreTheirMetrics,
    DriftAddsUp,
    EndsReachFarEnough,
    LateUsageIsChargedOnce,
    OverageIsPaidOrUncovered,
    PacksAreConserved,
    SyncedCountersAreCopied,
    PeriodsEndAfterTheyStart,
    PeriodEndsAreExclusive,
    CountersDoNotOverlap,
    CountersOfUsersDoNotOverlap,
    ZonesExist,
}

impl Rule {
    /// The rule in a few words, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ClosedPeriodsTouch => "closed periods touch",
            Self::ClosedUsageIsItsMetrics => "closed usage is its metrics",
            Self::CountersAreTheirMetrics => "counters are their metrics",
            Self::DriftAddsUp => "drift adds up",
            Self::EndsReachFarEnough => "ends reach far enough",
            Self::LateUsageIsChargedOnce => "late usage is charged once",
            Self::OverageIsPaidOrUncovered => "overage is paid or uncovered",
            Self::PacksAreConserved => "packs are conserved",
            Self::SyncedCountersAreCopied => "synced counters are copied",
            Self::PeriodsEndAfterTheyStart => "periods end after they start",
            Self::PeriodEndsAreExclusive => "period ends are exclusive",
            Self::CountersDoNotOverlap => "counters of a feature do not overlap",
            Self::CountersOfUsersDoNotOverlap => "counters of a user and feature do not overlap",
            Self::ZonesExist => "every org has a time zone that exists",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.sentence())
    }
}

/// A rule, and how many rows violate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct RuleCheck {
    /// The rule in a few words.
    #[schemars(with = "String")]
    pub rule: Rule,
    /// Rows that break it; none in good books.
    pub broken_by: usize,
}

/// Asks every rule. Reads everything: seconds per million of metrics.
pub async fn rules(database: &Database) -> Result<Vec<RuleCheck>, StoreError> {
    let mut connection = database.connection().await?;
    let asked = [
        (
            Rule::ClosedPeriodsTouch,
            sqlx::query_file!("tests/invariants/closed_periods_touch.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::ClosedUsageIsItsMetrics,
            sqlx::query_file!("tests/invariants/closed_usage_is_its_metrics.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::CountersAreTheirMetrics,
            sqlx::query_file!("tests/invariants/counters_are_their_metrics.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::DriftAddsUp,
            sqlx::query_file!("tests/invariants/drift_adds_up.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::EndsReachFarEnough,
            sqlx::query_file!("tests/invariants/ends_reach_far_enough.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::LateUsageIsChargedOnce,
            sqlx::query_file!("tests/invariants/late_usage_is_charged_once.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::OverageIsPaidOrUncovered,
            sqlx::query_file!("tests/invariants/overage_is_paid_or_uncovered.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::PacksAreConserved,
            sqlx::query_file!("tests/invariants/packs_are_conserved.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
        (
            Rule::SyncedCountersAreCopied,
            sqlx::query_file!("tests/invariants/synced_counters_are_copied.sql")
                .fetch_all(&mut *connection)
                .await?
                .len(),
        ),
    ];
    Ok(asked.into_iter().map(|(rule, broken_by)| RuleCheck { rule, broken_by }).collect())
}

/// Asks what must hold of periods, whoever wrote them: of orgs and of counters.
pub async fn periods(database: &Database) -> Result<Vec<RuleCheck>, StoreError> {
    let counts = sqlx::query!(
        r#"-- Periods that end before they start, that end with their last moment, or that overlap.
           select
               (select count(*) from organizations o
                where o.current_period_end <= o.current_period_start) as "inverted!",
               (select count(*) from (
                    select o.current_period_end as ends from organizations o
                    union all select c.period_end from usage_counters c) p
                where periodd_is_inclusive(p.ends)) as "inclusive!",
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
    let check =
        |rule, count: i64| RuleCheck { rule, broken_by: usize::try_from(count).unwrap_or(0) };
    Ok(vec![
        check(Rule::PeriodsEndAfterTheyStart, counts.inverted),
        check(Rule::PeriodEndsAreExclusive, counts.inclusive),
        check(Rule::CountersDoNotOverlap, counts.overlapping),
        check(Rule::CountersOfUsersDoNotOverlap, counts.overlapping_of_users),
    ])
}
