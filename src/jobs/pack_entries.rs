//! Packs that applications inserted plainly are entered in the ledger: page by page, so that what
//! keeps one org's from being entered keeps nobody else's.

use uuid::Uuid;

use super::batches::{Batch, Batches, Stuck};
use super::stop::Stop;
use crate::store::orgs::packs::{self, EntryScope};
use crate::store::{Connection, LockTimeout, StoreError, begin_within};

/// Orgs whose packs are entered together.
const PAGE: i64 = 500;

/// Whose packs were not entered.
#[derive(Debug, Default)]
pub(super) struct NotEntered {
    /// Orgs to be parked, and orgs that somebody is at.
    pub(super) stuck: Vec<Stuck>,
    /// Orgs that the database refused all alike, with what it said: whose fault that is, nobody
    /// knows, and they are not parked.
    pub(super) refused: Vec<(Uuid, String)>,
    /// How often somebody else was at the same rows.
    pub(super) conflicts: usize,
}

/// Enters the packs of everybody in scope, and returns whose were not.
///
/// Where somebody else is at an org's rows, or the server lacks something for them, that org is
/// left: whoever closes its period enters its packs before.
///
/// # Errors
/// What is about the database, and not about orgs.
pub(super) async fn enter(
    connection: &mut Connection,
    scope: EntryScope<'_>,
    stop: &Stop,
) -> Result<NotEntered, StoreError> {
    let mut not_entered = NotEntered::default();
    let mut after = Uuid::nil();
    while !stop.is_set() {
        let page = packs::orgs_without_entries(connection, scope, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = *last;
        let mut batches = Batches::of(page.clone(), LockTimeout::Short);
        let stuck = match enter_page(connection, &mut batches, stop).await {
            Ok(()) => batches.stuck(),
            Err(error) => Err(error),
        };
        not_entered.conflicts += batches.conflicts();
        match stuck {
            Ok(stuck) => not_entered.stuck.extend(stuck),
            Err(error) if error.may_concern_one_row() => {
                let why = error.to_string();
                not_entered.refused.extend(page.into_iter().map(|org| (org, why.clone())));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(not_entered)
}

async fn enter_page(
    connection: &mut Connection,
    batches: &mut Batches,
    stop: &Stop,
) -> Result<(), StoreError> {
    while let Some(batch) = batches.next().filter(|_| !stop.is_set()) {
        let entered = enter_batch(connection, &batch).await;
        batches.outcome(connection, batch, entered).await?;
    }
    Ok(())
}

async fn enter_batch(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    match packs::enter_in_ledger(&mut transaction, &batch.ids).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}
