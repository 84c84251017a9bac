//! Events for programs: reading them from a cursor, and the endpoints that are sent them.
//!
//! Never: an event that a reader has passed and does not see; a decision of what is told.

pub(crate) mod webhooks;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::billing::events::Kind;
use crate::store::events::{self, Event, Stretch};
use crate::store::exports::settled::settled;
use crate::store::{Connection, StoreError};

/// How many events a page has where nothing else is said …
pub(crate) const PAGE: u32 = 100;
/// … and at most.
pub(crate) const LARGEST_PAGE: u32 = 1000;
/// How long a reader waits for transactions that may still bring an event before others.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which events are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The cursor of the last event that the reader has; 0: none.
    pub(crate) after: i64,
    /// Only those of this org.
    pub(crate) org: Option<Uuid>,
    /// Only these kinds; empty: all.
    pub(crate) kinds: Vec<Kind>,
    /// At most so many.
    pub(crate) limit: u32,
}

/// A page of events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventsPage {
    /// In the order of their cursors.
    pub(crate) events: Vec<Event>,
    /// Where to go on: the `after` of the next request.
    pub(crate) next: i64,
    /// Are there more events already?
    pub(crate) has_more: bool,
}

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A cursor of another database.
    #[error(
        "the cursor {after} is after the last of all events ({last}): it belongs to another \
         database; begin again with 0"
    )]
    Cursor { after: i64, last: i64 },
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Reads events after a cursor. What is returned is final: no event before the last of them, or
/// before `next`, comes later.
///
/// # Errors
/// [`Error::Cursor`], and [`StoreError::Held`] when a transaction that enters events lasts too
/// long.
pub(crate) async fn read(connection: &mut Connection, asked: &Asked) -> Result<EventsPage, Error> {
    let up_to = settled(connection, events::ROWS, PATIENCE).await?;
    if asked.after > up_to {
        return Err(Error::Cursor { after: asked.after, last: up_to });
    }
    let kinds: Vec<&str> = asked.kinds.iter().map(|kind| kind.name()).collect();
    let stretch = Stretch { after: asked.after, up_to, org: asked.org, kinds: &kinds };
    let limit = i64::from(asked.limit);
    // One more says whether there is more.
    let mut events = events::page(connection, stretch, limit + 1).await?;
    let has_more = events.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = events.last().map(|event| event.cursor).filter(|_| has_more);
    Ok(EventsPage { next: last.unwrap_or(up_to), has_more, events })
}
