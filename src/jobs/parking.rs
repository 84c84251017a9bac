//! Setting orgs aside whose rows the program could not process: with the cell, where it can be
//! named; and what becomes of those of which the database refuses even that.

use uuid::Uuid;

use super::batches::Left;
use super::rollover::Parked;
use crate::billing::Instant;
use crate::billing::parking::ParkedCode;
use crate::store::rollover::apply::{self, Parking};
use crate::store::rollover::snapshot;
use crate::store::usage::ranges::{self, Scope};
use crate::store::{Connection, LockTimeout, StoreError, begin_within, serves};

/// What became of an org that was to be parked.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is parked.
    Parked(Parked),
    /// Somebody has parked it already, or it is gone.
    Gone,
    /// Somebody is at its row, as it says: the next pass finds the org again.
    Held(String),
    /// The database refuses to park it: it is skipped, with what the database said.
    Refused(Left),
}

/// Parks an org because of `why`, in a transaction of its own.
///
/// # Errors
/// What is not about this org's row: a database that does not answer.
pub(super) async fn park(
    connection: &mut Connection,
    org: Uuid,
    (code, why): (ParkedCode, &str),
    now: Instant,
    wait: LockTimeout,
) -> Result<Attempt, StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let parked = of(&mut transaction, org, code, why).await;
    let parked = match parked {
        Ok(parking) => {
            let parked = apply::park(&mut transaction, std::slice::from_ref(&parking), now).await;
            parked.map(|orgs| (!orgs.is_empty()).then_some(parking))
        }
        Err(error) => Err(error),
    };
    // A rule that is asked at the end of a transaction only refuses the commit.
    let parked = match parked {
        Ok(parked) => transaction.commit().await.map_err(StoreError::from).map(|()| parked),
        Err(error) => transaction.rollback().await.map_err(StoreError::from).and(Err(error)),
    };
    match parked {
        Ok(Some(Parking { code, reason, .. })) => {
            let slug = name(connection, org).await?;
            Ok(Attempt::Parked(Parked { org, slug, code, reason }))
        }
        Ok(None) => Ok(Attempt::Gone),
        Err(error @ (StoreError::Conflict(_) | StoreError::Held(_))) => {
            Ok(Attempt::Held(error.to_string()))
        }
        Err(error) if concerns_its_row(&error, connection).await => {
            let slug = name(connection, org).await?;
            let reason = format!("{why}; it could not be parked: {error}");
            Ok(Attempt::Refused(Left { org, slug, reason }))
        }
        Err(other) => Err(other),
    }
}

/// Does an error say something of the row that was to be written, and nothing of the server?
async fn concerns_its_row(error: &StoreError, connection: &mut Connection) -> bool {
    match error {
        StoreError::Unavailable(_) => serves(connection).await,
        StoreError::MaybeConflict { .. } | StoreError::Cancelled(_) => true,
        error => error.may_concern_one_row(),
    }
}

/// An org's name for people.
pub(super) async fn name(connection: &mut Connection, org: Uuid) -> Result<String, StoreError> {
    let slugs = snapshot::slugs(connection, &[org]).await?;
    Ok(slugs.get(&org).cloned().unwrap_or_else(|| org.to_string()))
}

/// What an org is parked with after `reason`, which has that code: the column that cannot be
/// read with its value; and where every column can be, what the database or the program said.
pub(super) async fn of(
    connection: &mut Connection,
    org: Uuid,
    code: ParkedCode,
    reason: &str,
) -> Result<Parking, StoreError> {
    let broken = ranges::broken(connection, Scope::Org(org)).await?;
    let cell = broken.iter().find_map(|column| {
        let of_an_org = column.cells.iter().find(|cell| cell.org.is_some())?;
        Some(of_an_org.sentence(column))
    });
    let (code, reason) = match cell {
        Some(sentence) => (ParkedCode::UnreadableRow, format!("{reason}: {sentence}")),
        None => (code, reason.to_owned()),
    };
    Ok(Parking { org, revision: None, code, reason })
}
