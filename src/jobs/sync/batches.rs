//! Orgs that are tried together: what to do after a conflict, and how to find the one whose rows
//! cannot be processed.

use std::time::Duration;

use uuid::Uuid;

use crate::store::StoreError;

/// Conflicts in a row on the same page before it is taken apart.
const CONFLICTS_PER_PAGE: u32 = 2;
/// Conflicts in a row on a single org before a pass leaves it to the next one.
const CONFLICTS_PER_ORG: u32 = 20;
/// The longest pause after a conflict with a single org; each is drawn at random below it.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Orgs that are tried together, and how often they met a conflict.
pub(super) struct Batch {
    pub(super) ids: Vec<Uuid>,
    conflicts: u32,
}

/// What is still to be tried.
pub(super) struct Batches(Vec<Batch>);

/// A single org that cannot go on.
pub(super) enum Stuck {
    /// Its rows cannot be processed.
    Unprocessable(Uuid, String),
    /// Others change it without a pause.
    Busy(Uuid),
}

impl Batches {
    pub(super) fn of(ids: Vec<Uuid>) -> Self {
        Self(if ids.is_empty() { vec![] } else { vec![Batch { ids, conflicts: 0 }] })
    }

    pub(super) fn next(&mut self) -> Option<Batch> {
        self.0.pop()
    }

    /// Has a batch that failed tried again: as it is, then in halves, single orgs after a pause.
    ///
    /// # Errors
    /// The error itself, where trying again is of no use.
    pub(super) async fn failed(
        &mut self,
        batch: Batch,
        error: StoreError,
    ) -> Result<Option<Stuck>, StoreError> {
        let Batch { ids, conflicts } = batch;
        let alone = if let [org] = ids[..] { Some(org) } else { None };
        match (error, alone) {
            (StoreError::Conflict(_), Some(org)) if conflicts + 1 == CONFLICTS_PER_ORG => {
                return Ok(Some(Stuck::Busy(org)));
            }
            (StoreError::Conflict(_), Some(_)) => {
                tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
                self.0.push(Batch { ids, conflicts: conflicts + 1 });
            }
            (StoreError::Conflict(_), None) if conflicts + 1 < CONFLICTS_PER_PAGE => {
                self.0.push(Batch { ids, conflicts: conflicts + 1 });
            }
            (StoreError::Unprocessable(why), Some(org)) => {
                return Ok(Some(Stuck::Unprocessable(org, why)));
            }
            (StoreError::Conflict(_) | StoreError::Unprocessable(_), None) => self.halve(ids),
            (other, _) => return Err(other),
        }
        Ok(None)
    }

    fn halve(&mut self, mut ids: Vec<Uuid>) {
        let rest = ids.split_off(ids.len() / 2);
        self.0.extend([rest, ids].map(|ids| Batch { ids, conflicts: 0 }));
    }
}
