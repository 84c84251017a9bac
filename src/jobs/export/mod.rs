//! Exports: rows for others, each once for a consumer that keeps the cursor of its last line.
//!
//! Rows come in the order of their positions and as far as they are final, page by page, so that
//! nothing is held but two pages. Nothing is remembered of a consumer: its cursor says where it
//! stands. With a hand-over the rows themselves are given to a name, in one row that is there or
//! not; who repeats the name reads the same rows again.
//!
//! Never: a row that may be preceded by another later; a memory of consumers.

pub(crate) mod cursor;
pub(crate) mod lines;

use std::time::Duration;

use tokio::sync::mpsc::Sender;

use crate::billing::Instant;
use crate::store::exports::hand_overs::{self, HandOver};
use crate::store::exports::settled::settled;
use crate::store::exports::{Kind, Stretch, adjustments, closes, ledger, packs};
use crate::store::{Database, StoreError};
use cursor::Cursor;
use lines::{Page, Rows};

/// How long an export waits for transactions that may still add rows before others.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows of a page: enough that a statement costs little beside its rows, few enough to hold.
const PAGE_ROWS: i64 = 2_000;

/// What is exported.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// The last line that the consumer has; `None`: it has nothing.
    pub(crate) since: Option<Cursor>,
    /// The name that rows are handed over to.
    pub(crate) hand_over: Option<String>,
}

/// What an export will read.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    kind: Kind,
    since: Cursor,
    up_to: i64,
    /// The hand-over that was asked for.
    pub(crate) hand_over: Option<HandOver>,
}

/// What a writer is sent.
#[derive(Debug)]
pub(crate) enum Part {
    Page(Page),
    /// Nothing comes any more. Without it the export has failed.
    End,
}

/// Finds out how far rows are final, and hands them over where that is asked for.
///
/// # Errors
/// [`StoreError::Held`] when others write for too long, [`StoreError::Invalid`] for a cursor of
/// another database.
pub(crate) async fn begin(
    database: &Database,
    request: &Request,
    now: Instant,
) -> Result<Export, StoreError> {
    let Request { kind, since, hand_over } = request;
    let (kind, since) = (*kind, since.unwrap_or_default());
    let mut connection = database.connection().await?;
    let known = match hand_over {
        Some(name) => hand_overs::find(&mut connection, kind, name).await?,
        None => None,
    };
    // What was handed over is final.
    let up_to = match &known {
        Some(known) => known.up_to,
        None => settled(&mut connection, kind.rows(), PATIENCE).await?,
    };
    if known.is_none() && since.position() > up_to {
        return Err(StoreError::Invalid(format!(
            "cursor {since} is after the last of all {} ({up_to}): it belongs to other rows or to \
             another database",
            kind.name()
        )));
    }
    let hand_over = match (known, hand_over) {
        (None, Some(name)) => Some(taken(&mut connection, kind, name, up_to, now).await?),
        (known, _) => known,
    };
    let (after, up_to) = match &hand_over {
        Some(hand_over) => (hand_over.after, hand_over.up_to),
        None => (0, up_to),
    };
    let since = if since.whole() < after { Cursor::row(after) } else { since };
    Ok(Export { kind, since, up_to, hand_over })
}

/// Hands over what nobody has, and be it nothing. Of two at once one is first, and the other has
/// what comes after it.
async fn taken(
    connection: &mut crate::store::Connection,
    kind: Kind,
    name: &str,
    up_to: i64,
    now: Instant,
) -> Result<HandOver, StoreError> {
    loop {
        hand_overs::take(connection, kind, name, up_to, now).await?;
        if let Some(found) = hand_overs::find(connection, kind, name).await? {
            return Ok(found);
        }
        let last = hand_overs::last(connection, kind).await?;
        if last >= up_to {
            hand_overs::take_nothing(connection, kind, name, last, now).await?;
        }
    }
}

impl Export {
    /// What is exported.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The last line that the consumer has.
    pub(crate) fn since(&self) -> Cursor {
        self.since
    }

    /// Reads all pages, and sends them to whoever writes them. A writer that has gone away ends it:
    /// it has what it wanted, or says itself what went wrong.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read(
        &self,
        database: &Database,
        to: Sender<Part>,
    ) -> Result<(), StoreError> {
        let mut connection = database.connection().await?;
        let mut stretch = Stretch { after: self.since.whole(), up_to: self.up_to };
        loop {
            let rows = self.rows(&mut connection, stretch).await?;
            let Some(last) = rows.last_position() else {
                // Who has gone away needs no end.
                let _ = to.send(Part::End).await;
                return Ok(());
            };
            let read = Stretch { up_to: last, ..stretch };
            let hand_overs = hand_overs::of(&mut connection, self.kind, read).await?;
            if to.send(Part::Page(Page { rows, hand_overs })).await.is_err() {
                return Ok(());
            }
            stretch.after = last;
        }
    }

    async fn rows(
        &self,
        connection: &mut crate::store::Connection,
        stretch: Stretch,
    ) -> Result<Rows, StoreError> {
        Ok(match self.kind {
            Kind::Closes => Rows::Closes(closes::page(connection, stretch, PAGE_ROWS).await?),
            Kind::Packs => Rows::Packs(packs::page(connection, stretch, PAGE_ROWS).await?),
            Kind::Ledger => Rows::Ledger(ledger::page(connection, stretch, PAGE_ROWS).await?),
            Kind::Adjustments => {
                Rows::Adjustments(adjustments::page(connection, stretch, PAGE_ROWS).await?)
            }
        })
    }
}
