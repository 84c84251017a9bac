//! Verifying the books, page by page: everything, or what was closed since they were last found
//! right.
//!
//! A verification of everything keeps how far it is, so that one that was interrupted can be
//! resumed; and when it began, once it is through and has found nothing.
//!
//! Never: a page that is passed over; a note that the books are right before all of them were read.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::billing::Instant;
use crate::jobs::stop::Stop;
use crate::store::audit::verify::{self, Range, RuleCheck};
use crate::store::{Connection, Database, LockTimeout, StoreError, audit, begin_within};

/// Orgs that are asked about together.
const ORGS_PER_PAGE: i64 = 1_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Every rule of the books and of periods, about everything. `resumes` goes on where the last
    /// one was interrupted.
    Everything { resumes: bool },
    /// The rules of the books, about what is open and what was closed after an instant.
    ClosedAfter(Instant),
}

/// What was written by then was seen: a row has the time at which its transaction began, and no
/// page of a rollover takes as long as this.
const LONGEST_PAGE: SignedDuration = SignedDuration::from_hours(1);

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Every rule, with how many rows violate it.
    pub rules: Vec<RuleCheck>,
    /// Orgs that were asked about.
    pub orgs: u64,
    /// Was all of it asked? Otherwise somebody asked to stop.
    pub is_through: bool,
}

/// How far a verification of everything is.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    began: Instant,
    after: Uuid,
    orgs: u64,
    /// Violations so far, in the order of the rules.
    broken_by: Vec<usize>,
}

/// Hears how many orgs have been asked about.
pub type Observer<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Asks.
///
/// # Errors
/// As every read. What was asked by then need not be asked again: see [`Question::Everything`].
pub async fn run(
    database: &Database,
    question: Question,
    stop: &Stop,
    observer: Observer<'_>,
) -> Result<Verified, StoreError> {
    let mut connection = database.connection().await?;
    let nobody = Range { first: Uuid::nil(), last: Uuid::nil() };
    let rules = page(&mut connection, nobody, question).await?;
    let mut verified = Verified { rules, ..Verified::default() };
    let mut place =
        Place { began: database.now().await?, after: Uuid::nil(), orgs: 0, broken_by: Vec::new() };
    let keeps = matches!(question, Question::Everything { .. })
        && verify::may_keep(&mut connection).await?;
    if question == (Question::Everything { resumes: true })
        && let Some(before) = kept(&mut connection).await?
        && before.broken_by.len() == verified.rules.len()
    {
        for (rule, broken_by) in verified.rules.iter_mut().zip(&before.broken_by) {
            rule.broken_by = *broken_by;
        }
        verified.orgs = before.orgs;
        place = before;
    }
    while !stop.is_set() {
        let mut reading = begin_within(&mut connection, LockTimeout::Long).await?;
        let orgs = audit::orgs(&mut reading, place.after, ORGS_PER_PAGE).await?;
        reading.commit().await?;
        let (Some(first), Some(last)) = (orgs.first(), orgs.last()) else {
            verified.is_through = true;
            break;
        };
        let range = Range { first: *first, last: *last };
        let found = page(&mut connection, range, question).await?;
        for (rule, found) in verified.rules.iter_mut().zip(found) {
            rule.broken_by += found.broken_by;
        }
        verified.orgs += orgs.len() as u64;
        observer(verified.orgs);
        place.after = *last;
        if keeps {
            place.orgs = verified.orgs;
            place.broken_by = verified.rules.iter().map(|rule| rule.broken_by).collect();
            let text = serde_json::to_string(&place)
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            verify::keep_place(&mut connection, &text).await?;
        }
    }
    if keeps && verified.is_through {
        let is_clean = verified.rules.iter().all(|rule| rule.broken_by == 0);
        let by = place.began.plus(-LONGEST_PAGE).unwrap_or(Instant::MIN);
        verify::is_through(&mut connection, is_clean.then_some(by)).await?;
    }
    Ok(verified)
}

/// Asks about some orgs.
async fn page(
    connection: &mut Connection,
    range: Range,
    question: Question,
) -> Result<Vec<RuleCheck>, StoreError> {
    let mut reading = begin_within(connection, LockTimeout::Long).await?;
    let rules = match question {
        Question::Everything { .. } => {
            let mut rules = verify::rules(&mut reading, range, Instant::MIN).await?;
            rules.extend(verify::periods(&mut reading, range).await?);
            rules
        }
        Question::ClosedAfter(since) => verify::rules(&mut reading, range, since).await?,
    };
    reading.commit().await?;
    Ok(rules)
}

/// Where the last verification was interrupted; nothing if it was not, or if another version kept
/// it in another way.
async fn kept(connection: &mut Connection) -> Result<Option<Place>, StoreError> {
    let place = verify::place(connection).await?;
    Ok(place.and_then(|place| serde_json::from_str(&place).ok()))
}
