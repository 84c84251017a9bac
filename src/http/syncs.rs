//! Syncs that are under way: who asks for one meanwhile gets the same result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{MutexGuard, watch};
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::jobs::sync::SyncReport;

/// What a sync came to: its report, or why there is none.
pub(super) type Done = Result<Arc<SyncReport>, Problem>;

/// An org, and whether it is audited.
type Id = (Uuid, bool);

/// Syncs that are under way.
#[derive(Default)]
pub(super) struct Syncs {
    under_way: Mutex<HashMap<Id, watch::Receiver<Option<Done>>>>,
    turn: tokio::sync::Mutex<()>,
}

impl Syncs {
    /// One at a time: each may take several connections.
    pub(super) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Does the work, or waits for whoever does it.
    pub(super) async fn once(
        &self,
        id: Id,
        work: impl AsyncFnOnce() -> Result<SyncReport, Problem>,
    ) -> Done {
        let (sender, mine) = watch::channel(None);
        let theirs = {
            // Whole after every step.
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.get(&id) {
                Some(theirs) => Some(theirs.clone()),
                None => under_way.insert(id, mine).and(None),
            }
        };
        if let Some(mut theirs) = theirs {
            let done = theirs.wait_for(Option::is_some).await.ok().and_then(|done| done.clone());
            return done.unwrap_or_else(|| {
                Err(Problem::new(Code::Internal, "internal error; the log says more"))
            });
        }
        let place = Place { syncs: self, id };
        let done = work().await.map(Arc::new);
        drop(place);
        sender.send_replace(Some(done.clone()));
        done
    }
}

/// A sync's place among those under way, given up however it ends.
struct Place<'a> {
    syncs: &'a Syncs,
    id: Id,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut under_way = self.syncs.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.id);
    }
}
