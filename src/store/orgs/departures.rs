//! Orgs and people that go, and packs that move: the plans, and the functions that carry them out,
//! which begin with the same plans.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;

/// What is deleted, kept or moved, or keeps it from being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, serde::Serialize, schemars::JsonSchema)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Obstacle: a period has ended and is not closed.
    EndedPeriod,
    /// Obstacle: no period is open.
    NoPeriod,
    /// Obstacle: an org is parked.
    Parked,
    /// Obstacle: usage of the open period.
    OpenUsage,
    /// Obstacle: metrics that are not counted yet.
    UncountedUsage,
    /// Obstacle: late usage that is not adjusted yet.
    LateUsage,
    /// Obstacle: what packs hold.
    PacksLeft,
    /// Obstacle: packs that a rollover has yet to enter or to write off.
    UnsettledPacks,
    /// Obstacle: what packs have paid for in the open period.
    DrawnPacks,
    /// Obstacle: metrics from before the open period of the org that they would go to.
    EarlierUsage,
    /// Obstacle: packs that were sold in the open period, and are on no statement yet.
    OpenPurchases,
    /// What usage has claimed of a pack.
    Claimed,
    /// Obstacle: the pack is used up.
    Spent,
    /// Users.
    Users,
    /// Contacts.
    Contacts,
    /// Emails.
    Emails,
    /// Limits of the org's own.
    Limits,
    /// Settings of alerts.
    AlertSettings,
    /// HTTP tokens, which are revoked.
    Tokens,
    /// Closed periods.
    Periods,
    /// Packs, or what they hold.
    Packs,
    /// Metrics.
    Metrics,
    /// Usage of the open period.
    Usage,
    /// A user's counters.
    Counters,
    /// Addresses that a mail server does not know.
    Suppressions,
    /// Links to unsubscribe.
    UnsubscribeLinks,
    /// Closed periods that are kept.
    KeptPeriods,
    /// Packs that are kept.
    KeptPacks,
    /// Metrics that are kept.
    KeptMetrics,
}

/// A step of a plan, or of what was done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    pub what: What,
    /// The feature, where it is about one.
    pub feature: Option<String>,
    /// Rows, or units of the feature.
    pub quantity: Quantity,
    /// It keeps the plan from being carried out.
    #[serde(skip)]
    pub is_obstacle: bool,
}

/// Which person.
#[derive(Debug, Clone)]
pub enum Person {
    /// One account; with an org, also one whose row is gone.
    Account { id: Uuid, org: Option<Uuid> },
    /// Everybody with an address.
    Address(String),
}

impl Person {
    fn bound(&self) -> (Option<Uuid>, Option<&str>, Option<Uuid>) {
        match self {
            Self::Account { id, org } => (Some(*id), None, *org),
            Self::Address(email) => (None, Some(email), None),
        }
    }
}

/// What is erased of a person in one org.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Erased {
    /// The org.
    pub org: Uuid,
    pub what: What,
    /// Rows.
    pub quantity: Quantity,
}

/// A pack that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The pack in the org that has it now.
    pub pack: Uuid,
    pub feature: String,
    pub quantity: Quantity,
}

/// Asks a function for the steps of a plan, or of what was done.
macro_rules! steps {
    ($connection:expr, $is_obstacle:literal, $function:literal, $($value:expr),+) => {{
        let steps = sqlx::query_as!(
            Step,
            r#"select what as "what!: What", feature, quantity as "quantity!",
                  "# + $is_obstacle
                + r#" as "is_obstacle!"
           from "#
                + $function,
            $($value),+
        );
        steps.fetch_all($connection).await.map_err(StoreError::of_call)
    }};
}

/// The plan of a removal.
pub async fn removal(
    connection: &mut PgConnection,
    org: Uuid,
    with_history: bool,
    at: Instant,
) -> Result<Vec<Step>, StoreError> {
    steps!(connection, "is_obstacle", "periodd_removal($1, $2, $3)", org, with_history, at)
}

/// Removes an org, and returns what was done.
///
/// # Errors
/// [`StoreError::Invalid`] when something is open after all.
pub async fn remove(
    connection: &mut PgConnection,
    org: Uuid,
    with_history: bool,
    at: Instant,
) -> Result<Vec<Step>, StoreError> {
    steps!(connection, "false", "remove_org($1, $2, $3)", org, with_history, at)
}

/// The plan of a merge.
pub async fn merger(
    connection: &mut PgConnection,
    from: Uuid,
    into: Uuid,
    at: Instant,
) -> Result<Vec<Step>, StoreError> {
    steps!(connection, "is_obstacle", "periodd_merge($1, $2, $3)", from, into, at)
}

/// Merges an org into another, and returns what was done.
///
/// # Errors
/// [`StoreError::Invalid`] for orgs that are gone, or cannot be merged after all.
pub async fn merge(
    connection: &mut PgConnection,
    from: Uuid,
    into: Uuid,
    at: Instant,
) -> Result<Vec<Step>, StoreError> {
    steps!(connection, "false", "merge_orgs($1, $2, $3)", from, into, at)
}

/// The plan of a pack's move.
pub async fn pack_move(
    connection: &mut PgConnection,
    org: Uuid,
    pack: Uuid,
    at: Instant,
) -> Result<Vec<Step>, StoreError> {
    steps!(connection, "is_obstacle", "periodd_pack_move($1, $2, $3)", org, pack, at)
}

/// Moves what is left of a pack to another org.
///
/// # Errors
/// [`StoreError::Invalid`] for an org that is gone, or a pack that cannot move after all.
pub async fn move_pack(
    connection: &mut PgConnection,
    org: Uuid,
    pack: Uuid,
    into: Uuid,
    at: Instant,
) -> Result<Moved, StoreError> {
    let moved = sqlx::query_as!(
        Moved,
        r#"select pack_id as "pack!", feature as "feature!", quantity as "quantity!"
           from move_overage_pack($1, $2, $3, $4)"#,
        org,
        pack.to_string(),
        into,
        at
    );
    moved.fetch_one(connection).await.map_err(StoreError::of_call)
}

/// The plan of an erasure.
pub async fn erasure(
    connection: &mut PgConnection,
    person: &Person,
) -> Result<Vec<Erased>, StoreError> {
    let (id, email, org) = person.bound();
    let plan = sqlx::query_as!(
        Erased,
        r#"select org_id as "org!", what as "what!: What", quantity as "quantity!"
           from periodd_erasure($1, $2, $3)"#,
        id,
        email,
        org
    );
    Ok(plan.fetch_all(connection).await?)
}

/// Erases a person, and returns what was erased.
pub async fn erase(
    connection: &mut PgConnection,
    person: &Person,
    at: Instant,
) -> Result<Vec<Erased>, StoreError> {
    let (id, email, org) = person.bound();
    let done = sqlx::query_as!(
        Erased,
        r#"select org_id as "org!", what as "what!: What", quantity as "quantity!"
           from erase_user($1, $2, $3, $4)"#,
        id,
        email,
        org,
        at
    );
    done.fetch_all(connection).await.map_err(StoreError::of_call)
}
