//! Deep checks, read-only: each file asks one thing, and returns findings.

mod books;
mod features;
mod files;
mod mail;
mod periods;
mod reach;
mod rights;
mod schema;
mod zones;

use super::finding::{Finding, Severity};
use crate::billing::Instant;
use crate::config::Config;
use crate::store::{Database, StoreError};
use crate::tzdata::TzData;

/// What the checks look at.
pub struct Patient<'a> {
    /// The database.
    pub database: &'a Database,
    /// The configuration in force.
    pub config: &'a Config,
    /// The tz data in use.
    pub tz: &'a TzData,
    /// Business time.
    pub now: Instant,
}

/// A check that was made, and what it found.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What was asked, in a few words.
    pub asked: &'static str,
    /// What was found; nothing: all is well.
    pub findings: Vec<Finding>,
}

/// What the doctor says.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// Business time.
    pub now: Instant,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Is anything worse than good to know?
    #[must_use]
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
    patient: &Patient<'_>,
    observer: Observer<'_>,
) -> Result<Diagnosis, StoreError> {
    let mut checks = Vec::new();
    let mut keep = |asked: &'static str, findings: Result<Vec<Finding>, StoreError>| {
        let findings = match findings {
            Err(gone @ StoreError::Unavailable(_)) => return Err(gone),
            Err(error) => vec![Finding::problem("doctor", format!("could not be asked: {error}"))],
            Ok(findings) => findings,
        };
        checks.push(Check { asked, findings });
        Ok(())
    };
    observer("migrations and schema");
    keep("the schema is what this program needs", schema::check(patient).await)?;
    observer("how the database is reached");
    keep("the database is reached as it should be", reach::check(patient).await)?;
    observer("roles");
    keep("roles may do what they should, and no more", rights::check(patient).await)?;
    observer("files");
    keep("files are readable by whom they should be", Ok(files::check(patient)))?;
    observer("the mail server");
    keep("the mail server lets us in", Ok(mail::check(patient).await))?;
    observer("time zones");
    keep("tz data agree for the zones in use", zones::check(patient).await)?;
    observer("periods");
    keep("open periods are in order", periods::check(patient).await)?;
    observer("features");
    keep("features are the configured ones", features::check(patient).await)?;
    observer("the books");
    keep("the books are right", books::check(patient).await)?;
    Ok(Diagnosis { now: patient.now, checks })
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
