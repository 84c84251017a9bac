//! Counting: metrics that were plainly inserted, stamped and added to their counters in one
//! transaction per page of orgs. There is no cursor, so nothing that was slow to commit is missed.

use std::collections::HashMap;

use tokio::sync::Mutex;
use uuid::Uuid;

use super::batches::{Batches, Stuck};
use super::{Job, Pass};
use crate::store::counting::{self, Waiting};
use crate::store::{Connection, StoreError, apply, usage};

/// Metrics of one page: what a transaction stamps before it lets go of its counters.
const METRICS_PER_PAGE: i64 = 20_000;

impl Job<'_> {
    /// Counts what waits everywhere, several pages side by side.
    pub(super) async fn count(&self, pass: Pass) -> Result<(), StoreError> {
        let place = Mutex::new(Some(Uuid::nil()));
        let workers = (0..self.request.connections.max(1)).map(async |_| {
            let worked = self.count_pages(&place, pass).await;
            if worked.is_err() {
                *place.lock().await = None;
            }
            worked
        });
        // None is dropped amid a statement when another one fails.
        futures_util::future::join_all(workers).await.into_iter().collect()
    }

    /// Takes page after page, on a connection of its own.
    async fn count_pages(&self, place: &Mutex<Option<Uuid>>, pass: Pass) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        while let Some(page) = self.next_waiting(place, &mut connection).await? {
            self.count_page(&mut connection, &page, pass).await?;
        }
        Ok(())
    }

    async fn next_waiting(
        &self,
        place: &Mutex<Option<Uuid>>,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Waiting>>, StoreError> {
        let mut place = place.lock().await;
        let Some(after) = place.filter(|_| !self.stopped()) else { return Ok(None) };
        let page = counting::waiting(connection, after, METRICS_PER_PAGE).await?;
        *place = page.next;
        Ok(Some(page.orgs))
    }

    /// Counts what waits in some orgs.
    pub(super) async fn count_in(
        &self,
        connection: &mut Connection,
        orgs: &[Uuid],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let waiting = counting::waiting_in(connection, orgs).await?;
        self.count_page(connection, &waiting, pass).await
    }

    async fn count_page(
        &self,
        connection: &mut Connection,
        waiting: &[Waiting],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let by_org: HashMap<Uuid, Waiting> =
            waiting.iter().map(|waiting| (waiting.org, *waiting)).collect();
        let mut batches = Batches::of(waiting.iter().map(|waiting| waiting.org).collect());
        while let Some(batch) = batches.next() {
            let page: Vec<Waiting> =
                batch.ids.iter().filter_map(|org| by_org.get(org).copied()).collect();
            match count_once(connection, &page, pass).await {
                Ok((counted, before)) => self.tell(|report| {
                    report.metrics_counted += counted;
                    report.before_first_period += before;
                }),
                Err(error) => {
                    self.tell(|report| report.conflicts += usize::from(is_conflict(&error)));
                    let stuck = batches.failed(batch, error).await?;
                    self.set_aside(connection, stuck, pass).await?;
                }
            }
        }
        Ok(())
    }

    /// An org that cannot go on is parked, or left to the next run.
    pub(super) async fn set_aside(
        &self,
        connection: &mut Connection,
        stuck: Option<Stuck>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        match stuck {
            None => {}
            Some(Stuck::Busy(org)) => self.tell(|report| report.left.push(org)),
            Some(Stuck::Unprocessable(org, why)) => self.park(connection, org, why, pass).await?,
        }
        Ok(())
    }
}

pub(super) fn is_conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict(_))
}

/// Counts a page. Returns how many metrics went into counters, and how many lie before them all.
async fn count_once(
    connection: &mut Connection,
    waiting: &[Waiting],
    pass: Pass,
) -> Result<(u64, u64), StoreError> {
    let mut transaction = apply::begin(connection).await?;
    let windows = counting::windows(&mut transaction, waiting).await?;
    let mut counted = 0;
    if !windows.is_empty() {
        counted = usage::count(&mut transaction, &windows, pass.real).await?.metrics;
    }
    let starts_later = |waiting: &&Waiting| {
        let first = windows.iter().find(|window| window.org == waiting.org);
        first.is_none_or(|window| waiting.first < window.period.start)
    };
    let early: Vec<Uuid> = waiting.iter().filter(starts_later).map(|waiting| waiting.org).collect();
    let mut before = 0;
    if !early.is_empty() {
        before = counting::stamp_before_first(&mut transaction, &early, pass.real).await?;
    }
    // A period that was closed early, or a calendar that changed, since the bounds were read.
    if !windows.is_empty() && counting::windows(&mut transaction, waiting).await? != windows {
        return Err(StoreError::Conflict("the org's periods changed meanwhile".to_owned()));
    }
    transaction.commit().await?;
    Ok((counted, before))
}
