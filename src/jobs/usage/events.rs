//! Events: usage that applications report by the hundred, each with a key.
//!
//! All of them are checked before anything is written, and what is written is written in one
//! transaction, in the order of org and key, so that two batches never wait for each other in a
//! circle.
//! A key that is there already is a duplicate and a success: over a network a retry is certain some
//! day. What was written is counted at once, by the code of [`sync`].
//!
//! Never: half of a batch that was to be whole; a key that is claimed before its usage is written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::catalogue::UnknownFeature;
use crate::billing::usage::{Key, check_time};
use crate::billing::{Instant, Quantity};
use crate::jobs::sync::{self, Scope};
use crate::store::orgs::{self, NamedOrg};
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
    let Batch { verdicts, is_written, orgs } = batch;
    let mut report = Report { verdicts, is_written, counted: 0 };
    if orgs.is_empty() {
        return Ok(report);
    }
    // What is recorded is recorded; what is not counted now the next sync counts.
    let scope = Scope::Orgs(orgs);
    let request = sync::Request { scope, serves_parked: true, ..sync };
    match sync::count(database, &request, std::sync::Arc::new(|_| {})).await {
        Ok(counted) => report.counted = counted.metrics_counted,
        Err(error) => tracing::warn!(%error, "recorded events are not counted yet"),
    }
    Ok(report)
}

struct Batch {
    verdicts: Vec<Verdict>,
    is_written: bool,
    /// Orgs that usage was recorded for.
    orgs: Vec<Uuid>,
}

/// Checks and writes, in one transaction.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody else used a key meanwhile.
async fn write(
    connection: &mut Connection,
    events: &[Event],
    only: Option<Uuid>,
    partial: bool,
) -> Result<Batch, StoreError> {
    let mut transaction = crate::store::begin(connection).await?;
    let (checked, verdicts) = check(&mut transaction, events, only).await?;
    let is_refused = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Refused(_)));
    if is_refused && !partial {
        transaction.rollback().await?;
        return Ok(Batch { verdicts, is_written: false, orgs: Vec::new() });
    }
    let usage: Vec<NewUsage> = checked.into_values().collect();
    let new = usage_file::write(&mut transaction, &usage).await?;
    if new != usage.len() as u64 {
        transaction.rollback().await?;
        let why = "somebody else used one of the keys meanwhile";
        return Err(StoreError::Conflict(why.to_owned()));
    }
    transaction.commit().await?;
    let orgs: HashSet<Uuid> = usage.iter().map(|usage| usage.org).collect();
    Ok(Batch { verdicts, is_written: true, orgs: orgs.into_iter().collect() })
}

/// What is to be written, by org and key.
type Checked = BTreeMap<(Uuid, String), NewUsage>;

async fn check(
    connection: &mut Connection,
    events: &[Event],
    only: Option<Uuid>,
) -> Result<(Checked, Vec<Verdict>), StoreError> {
    let names = Names::of(connection, events).await?;
    let told: Vec<Result<(NewUsage, bool), Refusal>> =
        events.iter().map(|event| names.usage(event, only)).collect();
    let ids: BTreeSet<(Uuid, &str)> = told
        .iter()
        .flatten()
        .filter_map(|(usage, _)| Some((usage.org, usage.key.as_deref()?)))
        .collect();
    let (orgs, keys): (Vec<Uuid>, Vec<&str>) = ids.into_iter().unzip();
    let mut known = HashMap::new();
    for (at, keyed) in usage_file::keyed(connection, &orgs, &keys).await? {
        let (Some(org), Some(key)) = (orgs.get(at), keys.get(at)) else { continue };
        let content = (keyed.feature, keyed.quantity, keyed.user);
        known.insert((*org, (*key).to_owned()), content);
    }
    let (mut usage, mut verdicts) = (Checked::new(), Vec::with_capacity(events.len()));
    for told in told {
        verdicts.push(match told {
            Err(refusal) => Verdict::Refused(refusal),
            Ok((new, is_late)) => {
                let id = (new.org, new.key.clone().unwrap_or_default());
                // An event without a time is told at two times.
                let content = (new.feature.clone(), new.quantity, new.user);
                match known.get(&id) {
                    Some(before) if *before == content => Verdict::Duplicate,
                    Some(_) => Verdict::Refused(Refusal::KeyReused(id.1)),
                    None => {
                        known.insert(id.clone(), content);
                        usage.insert(id, new);
                        Verdict::Recorded { is_late }
                    }
                }
            }
        });
    }
    Ok((usage, verdicts))
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
