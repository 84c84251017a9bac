//! Whether the books are consistent: the rules that hold after every run, asked page by page.
//!
//! Each rule is a query that lists what breaks it, of the orgs from `$1` to `$2` and in what was
//! closed after `$3`. The tests ask the very same files of everything after every scenario.

use std::fmt;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;
use crate::store::db::facts;

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
    SettledMessagesHaveNoLease,
    SyncedCountersAreCopied,
    UncoveredOnlyWithoutPacks,
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
            Self::SettledMessagesHaveNoLease => "settled messages have no lease",
            Self::SyncedCountersAreCopied => "synced counters are copied",
            Self::UncoveredOnlyWithoutPacks => "nothing is uncovered while a pack holds something",
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

/// Orgs from one id to another, both included: what is asked about at a time.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub first: Uuid,
    pub last: Uuid,
}

/// How many rows a rule's statement returns.
macro_rules! rows {
    ($connection:ident, $file:literal, $($argument:ident),+) => {
        sqlx::query_file!($file, $($argument),+).fetch_all(&mut *$connection).await?.len()
    };
}

/// Asks every rule about some orgs: what is open, and what was closed or recorded after `since`.
pub async fn rules(
    connection: &mut PgConnection,
    Range { first, last }: Range,
    since: Instant,
) -> Result<Vec<RuleCheck>, StoreError> {
    let asked = [
        (
            Rule::ClosedPeriodsTouch,
            rows!(connection, "tests/invariants/closed_periods_touch.sql", first, last, since),
        ),
        (
            Rule::ClosedUsageIsItsMetrics,
            rows!(
                connection,
                "tests/invariants/closed_usage_is_its_metrics.sql",
                first,
                last,
                since
            ),
        ),
        (
            Rule::CountersAreTheirMetrics,
            rows!(
                connection,
                "tests/invariants/counters_are_their_metrics.sql",
                first,
                last,
                since
            ),
        ),
        (
            Rule::DriftAddsUp,
            rows!(connection, "tests/invariants/drift_adds_up.sql", first, last, since),
        ),
        (
            Rule::EndsReachFarEnough,
            rows!(connection, "tests/invariants/ends_reach_far_enough.sql", first, last),
        ),
        (
            Rule::LateUsageIsChargedOnce,
            rows!(
                connection,
                "tests/invariants/late_usage_is_charged_once.sql",
                first,
                last,
                since
            ),
        ),
        (
            Rule::OverageIsPaidOrUncovered,
            rows!(
                connection,
                "tests/invariants/overage_is_paid_or_uncovered.sql",
                first,
                last,
                since
            ),
        ),
        (
            Rule::PacksAreConserved,
            rows!(connection, "tests/invariants/packs_are_conserved.sql", first, last, since),
        ),
        (
            Rule::SettledMessagesHaveNoLease,
            rows!(
                connection,
                "tests/invariants/settled_messages_have_no_lease.sql",
                first,
                last,
                since
            ),
        ),
        (
            Rule::SyncedCountersAreCopied,
            rows!(connection, "tests/invariants/synced_counters_are_copied.sql", first, last),
        ),
        (
            Rule::UncoveredOnlyWithoutPacks,
            rows!(
                connection,
                "tests/invariants/uncovered_only_without_packs.sql",
                first,
                last,
                since
            ),
        ),
    ];
    Ok(asked.into_iter().map(|(rule, broken_by)| RuleCheck { rule, broken_by }).collect())
}

/// Asks what must hold of periods, whoever wrote them: of some orgs and of their counters.
pub async fn periods(
    connection: &mut PgConnection,
    Range { first, last }: Range,
) -> Result<Vec<RuleCheck>, StoreError> {
    let asked = [
        (
            Rule::PeriodsEndAfterTheyStart,
            rows!(
                connection,
                "tests/invariants/periods/periods_end_after_they_start.sql",
                first,
                last
            ),
        ),
        (
            Rule::PeriodEndsAreExclusive,
            rows!(
                connection,
                "tests/invariants/periods/period_ends_are_exclusive.sql",
                first,
                last
            ),
        ),
        (
            Rule::CountersDoNotOverlap,
            rows!(connection, "tests/invariants/periods/counters_do_not_overlap.sql", first, last),
        ),
        (
            Rule::CountersOfUsersDoNotOverlap,
            rows!(
                connection,
                "tests/invariants/periods/counters_of_users_do_not_overlap.sql",
                first,
                last
            ),
        ),
    ];
    Ok(asked.into_iter().map(|(rule, broken_by)| RuleCheck { rule, broken_by }).collect())
}

/// The fact that says when a verification of everything began that found nothing.
const VERIFIED: &str = "verified_at";
/// The fact that says how far a verification is that was not through.
const PLACE: &str = "verify_place";

/// When the last verification of everything began that found nothing.
pub async fn verified_at(connection: &mut PgConnection) -> Result<Option<Instant>, StoreError> {
    let fact = facts::read(connection, VERIFIED).await?;
    Ok(fact.and_then(|value| value.parse().ok()))
}

/// Was any closed period written by then?
pub async fn any_closed_by(connection: &mut PgConnection, by: Instant) -> Result<bool, StoreError> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from billing_periods where recorded_at <= $1) as "any!""#,
        by
    );
    Ok(any.fetch_one(connection).await?)
}

/// May anything be kept here? A standby is read only.
pub async fn may_keep(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let may =
        sqlx::query_scalar!(r#"select current_setting('transaction_read_only') = 'off' as "may!""#);
    Ok(may.fetch_one(connection).await?)
}

/// How far the last verification came, where it was not through; as it was kept.
pub async fn place(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    facts::read(connection, PLACE).await
}

/// Keeps how far a verification is.
pub async fn keep_place(connection: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    facts::keep(connection, PLACE, place).await
}

/// Notes that a verification is through; with when it began, where it found nothing.
pub async fn is_through(
    connection: &mut PgConnection,
    clean_since: Option<Instant>,
) -> Result<(), StoreError> {
    sqlx::query!("delete from periodd_facts where name = $1", PLACE)
        .execute(&mut *connection)
        .await?;
    match clean_since {
        Some(began) => facts::keep(connection, VERIFIED, &began.to_string()).await,
        None => Ok(()),
    }
}
