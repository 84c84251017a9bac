//! Events: usage that applications report by the hundred, each with a key.
//!
//! Names and values are checked here; keys by the database, which records and counts what is good
//! in one statement. A key that is there already is a duplicate and a success: over a network a
//! retry is certain some day. The copies of the counters follow at once, by the code of [`sync`].
//!
//! Never: half of a batch that was to be whole; a key that is claimed before its usage is written.

use std::collections::{HashMap, HashSet};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::catalogue::UnknownFeature;
use crate::billing::usage::{Key, check_time};
use crate::billing::{Instant, Quantity};
use crate::jobs::sync::{self, Scope};
use crate::store::orgs::{self, NamedOrg};
use crate::store::usage::batch::{self, Because, Terms};
use crate::store::usage::{NewUsage, usage_file};
use crate::store::{Attempts, Connection, Database, StoreError, server_now};

/// How far ahead of the database a client's clock may be.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Usage, as an application reports it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Slug or id.
    pub org: String,
    /// In any case of letters.
    pub feature: String,
    pub quantity: Quantity,
    /// `None`: now.
    pub used_at: Option<Instant>,
    pub user: Option<Uuid>,
    pub key: String,
    /// A negative quantity is meant.
    pub is_correction: bool,
}

/// What is asked.
pub struct Request {
    pub events: Vec<Event>,
    /// The only org that the events may be of.
    pub only: Option<Uuid>,
    /// The good ones are recorded where others are refused.
    pub partial: bool,
    /// How what was recorded is counted.
    pub sync: sync::Request,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Recorded {
        /// It was used in a period that is closed.
        is_late: bool,
    },
    /// The same event was recorded before, or stands in the batch before.
    Duplicate,
    Refused(Refusal),
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("unknown organization `{0}`")]
    UnknownOrg(String),
    #[error(transparent)]
    UnknownFeature(#[from] UnknownFeature),
    #[error("unknown user {0} in `{1}`")]
    UnknownUser(Uuid, String),
    /// The key was used for something else; nothing that another user did is named.
    #[error("the key `{0}` was used for other usage; each key stands for one use")]
    KeyReused(String),
    /// A value that is out of its range.
    #[error("{value}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        value: String,
    },
}

/// How a batch ended.
#[derive(Debug)]
pub struct Report {
    /// One for each event, in their order.
    pub verdicts: Vec<Verdict>,
    /// Was anything to be written? No: some were refused, and the batch was to be whole.
    pub is_written: bool,
    /// Metrics of these orgs that were counted.
    pub counted: u64,
}

/// Records a batch, and counts it.
///
/// # Errors
/// As every write; then nothing is recorded.
pub async fn record(database: &Database, request: Request) -> Result<Report, StoreError> {
    let Request { events, only, partial, sync } = request;
    let mut attempts = Attempts::default();
    let batch = loop {
        let mut connection = database.connection().await?;
        match write(&mut connection, &events, only, partial).await {
            Err(error) if attempts.again(&error) => {}
            done => break done?,
        }
    };
    let Batch { verdicts, is_written, orgs, counted } = batch;
    let mut report = Report { verdicts, is_written, counted };
    if orgs.is_empty() {
        return Ok(report);
    }
    // What is recorded is recorded; what is not counted now the next sync counts.
    let scope = Scope::Orgs(orgs);
    let request = sync::Request { scope, serves_parked: true, ..sync };
    match sync::count(database, &request, std::sync::Arc::new(|_| {})).await {
        Ok(counted) => report.counted += counted.metrics_counted,
        Err(error) => tracing::warn!(%error, "counters of recorded events are not synced yet"),
    }
    Ok(report)
}

struct Batch {
    verdicts: Vec<Verdict>,
    is_written: bool,
    /// Orgs that usage was recorded for.
    orgs: Vec<Uuid>,
    /// Events that were counted.
    counted: u64,
}

/// What was found of one event alone: the usage, and whether its period is closed; or why not.
type Checked = Result<(NewUsage, bool), Refusal>;

/// Checks and writes, in one transaction. Where a batch that was to be whole is refused, what was
/// written is undone: every event has its verdict.
async fn write(
    connection: &mut Connection,
    events: &[Event],
    only: Option<Uuid>,
    is_partial: bool,
) -> Result<Batch, StoreError> {
    let mut transaction = crate::store::begin(connection).await?;
    let names = Names::of(&mut transaction, events).await?;
    let checked: Vec<Checked> = events.iter().map(|event| names.usage(event, only)).collect();
    let good: Vec<NewUsage> = checked.iter().flatten().map(|(usage, _)| usage.clone()).collect();
    // The rest may be good all the same, and what is wrong with it is said, too.
    let terms = Terms { is_partial: true, is_internal: false };
    let mut told = batch::record(&mut transaction, &good, terms).await?.into_iter();
    let mut batch = Batch { verdicts: Vec::new(), is_written: false, orgs: Vec::new(), counted: 0 };
    let mut orgs = HashSet::new();
    for checked in checked {
        let verdict = match checked {
            Err(refusal) => Some(Verdict::Refused(refusal)),
            Ok((usage, is_late)) => told.next().map(|verdict| match verdict {
                batch::Verdict::Recorded { is_counted } => {
                    orgs.insert(usage.org);
                    batch.counted += u64::from(is_counted);
                    Verdict::Recorded { is_late }
                }
                batch::Verdict::Duplicate => Verdict::Duplicate,
                batch::Verdict::Refused { because, sentence } => {
                    Verdict::Refused(refusal(usage, because, sentence))
                }
            }),
        };
        batch.verdicts.extend(verdict);
    }
    if !is_partial && batch.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refused(_))) {
        transaction.rollback().await?;
        return Ok(Batch { orgs: Vec::new(), counted: 0, ..batch });
    }
    transaction.commit().await?;
    Ok(Batch { is_written: true, orgs: orgs.into_iter().collect(), ..batch })
}

/// Why the database refuses an event.
fn refusal(usage: NewUsage, because: Because, sentence: String) -> Refusal {
    match (because, usage.key) {
        (Because::KeyReused, Some(key)) => Refusal::KeyReused(key),
        (Because::OutOfRange, _) => Refusal::Invalid { field: "quantity", value: sentence },
        _ => Refusal::Invalid { field: "", value: sentence },
    }
}

/// What the names in a batch stand for.
struct Names {
    now: Instant,
    orgs: HashMap<String, NamedOrg>,
    features: Vec<String>,
    users: HashSet<(Uuid, Uuid)>,
}

impl Names {
    async fn of(connection: &mut Connection, events: &[Event]) -> Result<Self, StoreError> {
        let named: HashSet<&str> = events.iter().map(|event| event.org.as_str()).collect();
        let named: Vec<&str> = named.into_iter().collect();
        let orgs = orgs::all_named(connection, &named).await?;
        let now = server_now(connection).await?;
        let features = usage_file::features(connection).await?;
        let users: HashSet<Uuid> = events.iter().filter_map(|event| event.user).collect();
        let users: Vec<Uuid> = users.into_iter().collect();
        let users = if users.is_empty() {
            HashSet::new()
        } else {
            usage_file::members(connection, &users).await?.into_iter().collect()
        };
        Ok(Self { now, orgs: orgs.into_iter().collect(), features, users })
    }

    /// The usage that an event tells of, and whether its period is closed.
    fn usage(&self, event: &Event, only: Option<Uuid>) -> Result<(NewUsage, bool), Refusal> {
        let Event { org: named, feature, quantity, used_at, user, key, is_correction } = event;
        let invalid = |field, value: String| Refusal::Invalid { field, value };
        let org = self.orgs.get(named).filter(|org| only.is_none_or(|only| only == org.id));
        let org = org.ok_or_else(|| Refusal::UnknownOrg(named.clone()))?;
        let folded = feature.to_lowercase();
        if !self.features.contains(&folded) {
            return Err(UnknownFeature::new(feature, &self.features).into());
        }
        if quantity.is_zero() {
            return Err(invalid("quantity", "the quantity must not be 0".to_owned()));
        }
        if quantity.is_negative() != *is_correction {
            let sentence = if *is_correction {
                "a correction has a negative quantity"
            } else {
                "a negative quantity needs \"correction\": true"
            };
            return Err(invalid("quantity", sentence.to_owned()));
        }
        if let Some(user) = user
            && !self.users.contains(&(org.id, *user))
        {
            return Err(Refusal::UnknownUser(*user, named.clone()));
        }
        key.parse::<Key>().map_err(|why| invalid("key", why.to_string()))?;
        let used_at = used_at.unwrap_or(self.now);
        let latest = self.now.plus(AHEAD).unwrap_or(self.now);
        check_time(used_at, latest).map_err(|_| {
            invalid("used_at", format!(
                "{used_at} is not a time of use: it must be after 1999 and at most 5 minutes in \
                 the future (now is {})", self.now
            ))
        })?;
        // A clock that is ahead means now.
        let used_at = used_at.min(self.now);
        let is_late = org.open_since.is_some_and(|since| used_at < since);
        let usage = NewUsage {
            org: org.id,
            feature: folded,
            quantity: *quantity,
            user: *user,
            used_at,
            key: Some(key.clone()),
        };
        Ok((usage, is_late))
    }
}
