//! Counting: metrics that were plainly inserted, stamped and added to their counters in one
//! transaction per page of orgs. There is no cursor, so nothing that was slow to commit is missed.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Job, Pass};
use crate::store::usage::counting::{self, Waiting};
use crate::store::{Connection, LockTimeout, StoreError, begin_within, server_now, usage};

/// Metrics of one page: what a transaction stamps before it lets go of its counters.
const METRICS_PER_PAGE: i64 = 20_000;

impl Job<'_> {
    /// Counts what waits, everywhere or in some orgs.
    pub(super) async fn count(
        &self,
        connection: &mut Connection,
        orgs: Option<&[Uuid]>,
        pass: Pass,
    ) -> Result<(), StoreError> {
        if let Some(orgs) = orgs {
            let mut reading = begin_within(connection, LockTimeout::Long).await?;
            let parked_too = self.request.serves_parked;
            let waiting = counting::waiting_in(&mut reading, orgs, parked_too).await?;
            reading.commit().await?;
            return self.count_page(connection, &waiting, pass).await;
        }
        let mut after = Some(Uuid::nil());
        while let Some(place) = after.filter(|_| !self.stopped()) {
            let mut reading = begin_within(connection, LockTimeout::Long).await?;
            let page = counting::waiting(&mut reading, place, METRICS_PER_PAGE).await?;
            reading.commit().await?;
            self.count_page(connection, &page.orgs, pass).await?;
            after = page.next;
        }
        Ok(())
    }

    async fn count_page(
        &self,
        connection: &mut Connection,
        waiting: &[Waiting],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let by_org: HashMap<Uuid, Waiting> =
            waiting.iter().map(|waiting| (waiting.org, *waiting)).collect();
        let mut batches = self.batches(waiting.iter().map(|waiting| waiting.org).collect());
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let page: Vec<Waiting> =
                batch.ids.iter().filter_map(|org| by_org.get(org).copied()).collect();
            let counted = count_once(connection, &page, batch.wait).await;
            if let Some((counted, before)) = batches.outcome(connection, batch, counted).await? {
                self.tell(|report| {
                    report.metrics_counted += counted;
                    report.before_first_period += before;
                });
            }
        }
        self.set_aside(connection, batches, pass).await
    }
}

/// Counts a page. Returns how many metrics went into counters, and how many lie before them all.
async fn count_once(
    connection: &mut Connection,
    waiting: &[Waiting],
    wait: LockTimeout,
) -> Result<(u64, u64), StoreError> {
    let mut transaction = begin_within(connection, wait).await?;
    let real = server_now(&mut transaction).await?;
    let windows = counting::windows(&mut transaction, waiting).await?;
    let mut counted = 0;
    if !windows.is_empty() {
        counted = usage::count(&mut transaction, &windows, real).await?.metrics;
    }
    let starts_later = |waiting: &&Waiting| {
        let first = windows.iter().find(|window| window.org == waiting.org);
        first.is_none_or(|window| waiting.first < window.period.start)
    };
    let early: Vec<Uuid> = waiting.iter().filter(starts_later).map(|waiting| waiting.org).collect();
    let mut before = 0;
    if !early.is_empty() {
        before = counting::stamp_before_first(&mut transaction, &early, real).await?;
    }
    // A period that was closed early, or a calendar that changed, since the bounds were read.
    if !windows.is_empty() && counting::windows(&mut transaction, waiting).await? != windows {
        return Err(StoreError::Conflict("the org's periods changed meanwhile".to_owned()));
    }
    transaction.commit().await?;
    Ok((counted, before))
}
