//! The walk of a pass: which orgs it looks at, page by page.

use std::collections::VecDeque;

use uuid::Uuid;

use super::Scope;
use crate::billing::Instant;
use crate::jobs::batches::orgs_that_fit;
use crate::store::rollover::claim::{self, DueKey};
use crate::store::{Connection, StoreError};

/// A walk over the orgs of a scope. It keeps its place by key, so that it never comes back to
/// rows that it has moved, however many dead versions of them lie behind it.
pub(super) struct PageScan {
    now: Instant,
    /// Orgs per page, as many as their rows have room for …
    limit: usize,
    /// … and at most.
    most: usize,
    stretches: VecDeque<Segment>,
}

/// A part of a walk: what it goes over, and how far it is. Only due orgs are walked by end and
/// id; the others by id alone.
struct Segment {
    over: Over,
    after: DueKey,
    until: Option<DueKey>,
}

enum Over {
    Listed(Vec<Uuid>),
    Zone {
        name: Option<String>,
        open_too: bool,
    },
    Unopened,
    /// Where several passes run at once, each begins at a random place and wraps round.
    DueFromAnywhere,
    Due,
    StaleEnds,
    OldRules {
        release: String,
    },
    ExpiredPacks,
}

impl Over {
    fn begun(self) -> Segment {
        Segment { over: self, after: DueKey::FIRST, until: None }
    }
}

impl PageScan {
    pub(super) fn new(scope: &Scope, early: bool, now: Instant, limit: usize) -> Self {
        let zone = |name| Over::Zone { name, open_too: early };
        let stretches = match scope {
            Scope::Orgs(ids) => vec![Over::Listed(ids.clone())],
            Scope::Zone(name) => vec![zone(Some(name.clone()))],
            Scope::All if early => vec![zone(None)],
            Scope::All => {
                vec![Over::Unopened, Over::DueFromAnywhere, Over::StaleEnds, Over::ExpiredPacks]
            }
        };
        let stretches = stretches.into_iter().map(Over::begun).collect();
        let most = limit.max(1);
        Self { now, limit: most, most, stretches }
    }

    /// Notes how many orgs of a page had how many rows, and takes back those that there was no room
    /// for: they are the next page.
    pub(super) fn read(&mut self, rest: Vec<Uuid>, size: Option<(usize, usize)>) {
        if let Some((orgs, rows)) = size {
            self.limit = orgs_that_fit(orgs, rows, self.most);
        }
        if !rest.is_empty() {
            self.stretches.push_front(Over::Listed(rest).begun());
        }
    }

    /// Has this walk look, besides, at ends that came from a tz database release older than this.
    pub(super) fn recheck_tz(&mut self, release: &str) {
        let release = release.to_owned();
        self.stretches.push_back(Over::OldRules { release }.begun());
    }

    /// The next page of orgs; `None` at the end of the walk.
    pub(super) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        while let Some(mut stretch) = self.stretches.pop_front() {
            if matches!(stretch.over, Over::DueFromAnywhere) {
                self.begin_anywhere(connection).await?;
                continue;
            }
            let page = self.page(&mut stretch, connection).await?;
            if !page.is_empty() {
                self.stretches.push_front(stretch);
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Ends here: there is no next page.
    pub(super) fn end(&mut self) {
        self.stretches.clear();
    }

    /// Goes on at another random place, after another pass turned out to be at work here. What
    /// is left out is found by the pass after this one.
    pub(super) async fn jump(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        if let Some(Segment { over: Over::Due, .. }) = self.stretches.front() {
            let place = self.anywhere(connection).await?;
            if let (Some(stretch), Some(place)) = (self.stretches.front_mut(), place) {
                stretch.after = place;
                stretch.until = None;
            }
        }
        Ok(())
    }

    async fn begin_anywhere(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        if let Some(place) = self.anywhere(connection).await? {
            let (over, after) = (Over::Due, DueKey::FIRST);
            self.stretches.push_front(Segment { over, after, until: Some(place) });
            self.stretches.push_front(Segment { over: Over::Due, after: place, until: None });
        }
        Ok(())
    }

    async fn anywhere(&self, connection: &mut Connection) -> Result<Option<DueKey>, StoreError> {
        let id = Uuid::from_u128(fastrand::u128(..));
        claim::nearest_to(connection, self.now, fastrand::f64(), id).await
    }

    /// Takes the next page of a stretch; empty at its end.
    async fn page(
        &self,
        stretch: &mut Segment,
        connection: &mut Connection,
    ) -> Result<Vec<Uuid>, StoreError> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let after = stretch.after.id;
        let ids = match &mut stretch.over {
            Over::Listed(ids) => ids.drain(..self.limit.min(ids.len())).collect(),
            Over::Zone { name, open_too } => {
                let (name, now) = (name.as_deref(), self.now);
                claim::of_zone(connection, name, now, *open_too, after, limit).await?
            }
            Over::Unopened => claim::unopened(connection, after, limit).await?,
            Over::StaleEnds => claim::stale_ends(connection, after, limit).await?,
            Over::OldRules { release } => {
                claim::with_old_rules(connection, release, after, limit).await?
            }
            Over::ExpiredPacks => {
                claim::with_expired_packs(connection, self.now, after, limit).await?
            }
            Over::Due | Over::DueFromAnywhere => {
                let Segment { after, until, .. } = *stretch;
                let page = claim::due(connection, self.now, after, until, limit).await?;
                stretch.after = page.last.unwrap_or(after);
                return Ok(page.ids);
            }
        };
        stretch.after.id = ids.last().copied().unwrap_or(after);
        Ok(ids)
    }
}
