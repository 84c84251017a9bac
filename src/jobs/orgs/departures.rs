//! Orgs and people that go, and packs that move. Each shows its plan and stops for a dry run; what
//! is carried out begins with the same plan, in one transaction.

use std::fmt;

use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::orgs::departures::{self as store, Erased, Moved, Person, Step, What};
use crate::store::{Attempts, Connection, Database, LockTimeout, StoreError, begin_within};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something comes first.
    #[error("{0}")]
    Open(Obstacles),
    /// An org cannot be merged into itself, nor a pack move within one.
    #[error("both names are the same org")]
    SameOrg,
    /// Nothing is kept of such a person.
    #[error("nothing is kept of this user or address")]
    Nobody,
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What comes first.
#[derive(Debug)]
pub struct Obstacles(pub Vec<Step>);

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{}", sentence(step))?;
        }
        Ok(())
    }
}

/// An obstacle in words.
fn sentence(step: &Step) -> String {
    let Step { what, feature, quantity, .. } = step;
    let feature = feature.as_deref().unwrap_or_default();
    match what {
        What::EndedPeriod => "a period has ended and is not closed yet".to_owned(),
        What::NoPeriod => "no period is open yet".to_owned(),
        What::Parked => "an org is parked".to_owned(),
        What::OpenUsage => format!("the open period holds {quantity} {feature}"),
        What::UncountedUsage => format!("{quantity} metrics are not counted yet"),
        What::LateUsage => format!("late usage of {feature} is not adjusted yet"),
        What::PacksLeft => format!("packs hold {quantity} {feature}"),
        What::UnsettledPacks => format!("packs of {feature} are not settled yet"),
        What::DrawnPacks => {
            format!("packs have paid for {quantity} {feature} of the open period")
        }
        What::OpenPurchases => {
            format!("packs of {feature} that were sold in the open period are on no statement yet")
        }
        What::EarlierUsage => format!(
            "{quantity} metrics of {feature} are from before the open period of the other org"
        ),
        What::Claimed => {
            format!("usage above the included quantity has claimed all {quantity} {feature}")
        }
        What::Spent => "the pack is used up".to_owned(),
        // Nothing else is an obstacle.
        _ => "something comes first".to_owned(),
    }
}

/// How an act is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Business time.
    pub at: Instant,
    /// Show the plan and write nothing.
    pub dry_run: bool,
}

/// Removes an org.
///
/// # Errors
/// [`Error::Open`] while something is open; then nothing is written.
pub async fn remove(
    database: &Database,
    org: Uuid,
    with_history: bool,
    asked: Asked,
) -> Result<Vec<Step>, Error> {
    let mut connection = database.connection().await?;
    let plan = free(store::removal(&mut connection, org, with_history, asked.at).await?)?;
    if asked.dry_run {
        return Ok(plan);
    }
    Ok(repeated(&mut connection, async |transaction| {
        store::remove(transaction, org, with_history, asked.at).await
    })
    .await?)
}

/// Merges an org into another.
///
/// # Errors
/// [`Error::Open`] while something comes first; then nothing is written.
pub async fn merge(
    database: &Database,
    from: Uuid,
    into: Uuid,
    asked: Asked,
) -> Result<Vec<Step>, Error> {
    if from == into {
        return Err(Error::SameOrg);
    }
    let mut connection = database.connection().await?;
    let plan = free(store::merger(&mut connection, from, into, asked.at).await?)?;
    if asked.dry_run {
        return Ok(plan);
    }
    Ok(repeated(&mut connection, async |transaction| {
        store::merge(transaction, from, into, asked.at).await
    })
    .await?)
}

/// Moves what is left of a pack to another org; in a dry run the pack is the one that would be
/// moved.
///
/// # Errors
/// [`Error::Open`] when nothing of it can move; then nothing is written.
pub async fn move_pack(
    database: &Database,
    (org, pack): (Uuid, Uuid),
    into: Uuid,
    asked: Asked,
) -> Result<Moved, Error> {
    if org == into {
        return Err(Error::SameOrg);
    }
    let mut connection = database.connection().await?;
    let plan = free(store::pack_move(&mut connection, org, pack, asked.at).await?)?;
    if asked.dry_run {
        let moved = plan.into_iter().find(|step| step.what == What::Packs);
        let (feature, quantity) = moved.map_or((String::new(), Quantity::ZERO), |step| {
            (step.feature.unwrap_or_default(), step.quantity)
        });
        return Ok(Moved { pack, feature, quantity });
    }
    Ok(repeated(&mut connection, async |transaction| {
        store::move_pack(transaction, org, pack, into, asked.at).await
    })
    .await?)
}

/// Erases a person.
///
/// # Errors
/// [`Error::Nobody`] when nothing is kept of that person.
pub async fn erase(
    database: &Database,
    person: &Person,
    asked: Asked,
) -> Result<Vec<Erased>, Error> {
    let mut connection = database.connection().await?;
    let plan = store::erasure(&mut connection, person).await?;
    if plan.is_empty() {
        return Err(Error::Nobody);
    }
    if asked.dry_run {
        return Ok(plan);
    }
    Ok(repeated(&mut connection, async |transaction| {
        store::erase(transaction, person, asked.at).await
    })
    .await?)
}

/// The plan, unless something comes first.
fn free(plan: Vec<Step>) -> Result<Vec<Step>, Error> {
    let (obstacles, steps): (Vec<Step>, Vec<Step>) =
        plan.into_iter().partition(|step| step.is_obstacle);
    if obstacles.is_empty() { Ok(steps) } else { Err(Error::Open(Obstacles(obstacles))) }
}

/// Does one act in a transaction, again where others were at the same rows.
async fn repeated<T>(
    connection: &mut Connection,
    act: impl AsyncFn(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut attempts = Attempts::default();
    loop {
        let mut transaction = begin_within(connection, LockTimeout::Long).await?;
        let done = act(&mut transaction).await;
        let done = match done {
            Ok(done) => transaction.commit().await.map_err(StoreError::from).map(|()| done),
            Err(error) => transaction.rollback().await.map_err(StoreError::from).and(Err(error)),
        };
        match done {
            Err(error) if attempts.again(&error) => {}
            other => return other,
        }
    }
}
