//! Deep checks, read-only: each file asks one thing, and returns findings; and all that `status`
//! finds. `verify` asks for the books, here and for `db verify`.
//!
//! Never: a write, but for how far `db verify` is; a finding without its remedy; "all is well" of
//! what was not looked at.

mod addresses;
mod books;
mod departures;
mod features;
mod files;
mod http;
mod mail;
mod periods;
mod ranges;
mod reach;
mod rights;
mod runs;
mod schema;
pub mod verify;
mod zones;

pub use files::files_of;
pub use reach::of_reach;
pub use zones::behind;

use std::collections::BTreeSet;

use super::finding::{Check, Finding, Severity};
use super::status::{self, Surroundings};
use crate::billing::Instant;
use crate::config::Config;
use crate::store::db::migrate;
use crate::store::{Database, StoreError};
use crate::tz::TzData;

/// What the checks look at.
pub struct Context<'a> {
    pub database: &'a Database,
    pub config: &'a Config,
    /// The tz data in use.
    pub tz: &'a TzData,
    pub now: Instant,
    /// What is known besides the database.
    pub around: Surroundings,
}

/// A question that was asked, and what was found.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Question {
    /// What was asked, in a few words.
    pub asked: &'static str,
    /// Was it looked at? Otherwise nothing is known of it.
    pub looked: bool,
    /// What was found; nothing: all is well, if it was looked at.
    pub findings: Vec<Finding>,
}

/// What the doctor says.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// Business time.
    pub now: Instant,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Question>,
}

impl Diagnosis {
    /// Was everything looked at?
    pub fn is_whole(&self) -> bool {
        self.checks.iter().all(|check| check.looked)
    }

    /// Is anything worse than good to know?
    pub fn found_something(&self) -> bool {
        let all = self.checks.iter().flat_map(|check| &check.findings);
        all.into_iter().any(|finding| finding.severity > Severity::Note)
    }
}

/// Who is told which check is under way.
pub type Observer<'a> = &'a (dyn Fn(&'static str) + Send + Sync);

/// Makes every check. One that cannot be made is a finding itself, and the others go on.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database is gone.
pub async fn examine(
    context: &Context<'_>,
    observer: Observer<'_>,
) -> Result<Diagnosis, StoreError> {
    let mut checks = Vec::new();
    // Most of what there is to ask needs the schema that this program knows.
    let is_complete = migrate::is_complete(context.database).await?;
    // A check that somebody's lock held up says who holds it.
    let unread = |error: &StoreError| {
        let holders = context.database.seen_holders().filter(|_| error.is_held());
        Finding::unread(error, holders.as_deref())
    };
    let mut keep = |asked: &'static str, findings: Option<Result<Vec<Finding>, StoreError>>| {
        let (looked, findings) = match findings {
            None => (false, Vec::new()),
            Some(Err(gone @ StoreError::Unavailable(_))) => return Err(gone),
            Some(Err(error)) => (false, vec![unread(&error)]),
            Some(Ok(findings)) => (true, findings),
        };
        checks.push(Question { asked, looked, findings });
        Ok(())
    };
    // Asks, where the schema is complete.
    macro_rules! ask {
        ($told:literal, $asked:literal, $check:expr) => {
            observer($told);
            keep($asked, if is_complete { Some($check.await) } else { None })?;
        };
    }
    observer("migrations and schema");
    keep("the schema is current", Some(schema::check(context).await))?;
    ask!("ranges", "all values are in range", ranges::check(context));
    ask!("database connection", "the database connection is secure", reach::check(context));
    ask!("roles", "role grants are right", rights::check(context));
    observer("files");
    keep("file permissions are right", Some(Ok(files::check(context))))?;
    observer("the mail server");
    keep("emails can be sent", Some(Ok(mail::check(context).await)))?;
    ask!("addresses", "emails have addresses", addresses::check(context));
    ask!("HTTP", "HTTP, its tokens and its links are set up", http::check(context));
    ask!("time zones", "copies of the tz data agree on the zones in use", zones::check(context));
    ask!("periods", "open periods are in order", periods::check(context));
    ask!("features", "all used features are configured", features::check(context));
    ask!("departures", "orgs and users that went left nothing", departures::check(context));
    ask!("runs", "runs end in time", runs::check(context));
    ask!("the books", "the books are consistent", books::check(context));
    observer("the daemon and pending work");
    let found = if is_complete { Some(all_of_status(context).await) } else { None };
    // What was asked in depth has been said in more detail.
    let said: BTreeSet<Check> =
        checks.iter().flat_map(|one| &one.findings).map(|finding| finding.check).collect();
    let (looked, mut findings) = match found {
        None => (false, Vec::new()),
        Some(Err(gone @ StoreError::Unavailable(_))) => return Err(gone),
        Some(Err(error)) => (false, vec![unread(&error)]),
        Some(Ok(findings)) => (true, findings),
    };
    findings.retain(|finding| !said.contains(&finding.check));
    checks.push(Question { asked: "the daemon keeps up with its work", looked, findings });
    Ok(Diagnosis { now: context.now, checks })
}

/// All that `status` finds.
async fn all_of_status(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let around = async |_: &[_]| context.around.clone();
    Ok(status::status(context.database, around, context.now).await?.findings)
}

/// `acme`, `acme and bolt`, `acme, bolt and 7 more`.
fn named(named: &[String], all: i64) -> String {
    let more = all - i64::try_from(named.len()).unwrap_or(all);
    match (named, more) {
        ([one], 0) => one.clone(),
        ([most @ .., last], 0) => format!("{} and {last}", most.join(", ")),
        (named, more) => format!("{} and {more} more", named.join(", ")),
    }
}

/// `1 org`, `7 orgs`.
fn orgs(count: i64) -> String {
    format!("{count} org{}", if count == 1 { "" } else { "s" })
}
