//! Adopting a database that was there before: report, apply, verify, undo.
//!
//! The report reads and changes nothing. Applying moves everything over in one transaction, and
//! then rolls over as ever, which opens what has no period and counts what is not counted.

use super::rollover::{self, Observer, Request};
use super::zones;
use crate::store::adoption::{self, Adoption, Difference, Finding};
use crate::store::verify::{self, Rule};
use crate::store::{Database, StoreError, doctor};
use crate::tzdata::TzData;

/// What was found, and what would be done about it.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Report {
    /// What would be done.
    #[serde(flatten)]
    pub adoption: Adoption,
    /// What was counted.
    pub found: Vec<Finding>,
    /// How many orgs it is about.
    pub orgs: i64,
}

impl Report {
    /// What stands in the way of adopting anything.
    pub fn blocks(&self) -> impl Iterator<Item = &Finding> {
        self.found.iter().filter(|finding| finding.blocks)
    }
}

/// Looks at a database; `None` where there is nothing to adopt or to mend.
///
/// # Errors
/// As every read.
pub async fn report(
    database: &Database,
    tz: &TzData,
    naive_zone: &str,
) -> Result<Option<Report>, StoreError> {
    let mut connection = database.connection().await?;
    let Some(adoption) = adoption::look(&mut connection, naive_zone).await? else {
        return Ok(None);
    };
    let mut found = adoption::findings(&mut connection, &adoption).await?;
    if adoption.is_mend() && found.is_empty() {
        return Ok(None);
    }
    for (zone, count) in adoption::zones(&mut connection, &adoption).await? {
        if let Err(unknown) = tz.zone(&zone) {
            let what = format!("orgs in a time zone that is none: {unknown}; correct them first");
            found.push(Finding { what, count, blocks: true });
        }
    }
    let orgs = adoption::orgs(&mut connection, &adoption).await?;
    Ok(Some(Report { adoption, found, orgs }))
}

/// Adopts what a report found, then opens and counts.
///
/// # Errors
/// As [`adoption::apply`]; an error of the rollover afterwards leaves the import done, and the next
/// rollover goes on.
pub async fn apply(
    database: &Database,
    tz: &TzData,
    report: &Report,
    request: &Request,
    progress: impl FnMut(&str),
    observer: Observer,
) -> Result<rollover::Report, StoreError> {
    let now = database.now().await?;
    let months = zones::months(tz, now);
    adoption::apply(database, &report.adoption, &months, tz.release(), progress).await?;
    rollover::run(database, tz, request, observer).await
}

/// What `db verify` found.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Verdict {
    /// Every rule, with how many rows break it.
    pub rules: Vec<Rule>,
    /// Sums that are not what they were before the import.
    pub differences: Vec<Difference>,
}

impl Verdict {
    /// Is everything as it should be?
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.differences.is_empty() && self.rules.iter().all(|rule| rule.broken_by == 0)
    }
}

/// Asks every rule of the books and of periods, and compares what was imported with what there
/// was. Reads everything: seconds per million of metrics.
///
/// # Errors
/// As every read.
pub async fn verify(database: &Database, tz: &TzData) -> Result<Verdict, StoreError> {
    let mut rules = verify::rules(database).await?;
    rules.extend(verify::periods(database).await?);
    let mut connection = database.connection().await?;
    let zones = doctor::zones(&mut connection).await?.into_iter();
    let without = zones.filter(|(zone, _)| tz.zone(zone).is_err()).map(|(_, orgs)| orgs);
    let broken_by = usize::try_from(without.sum::<i64>()).unwrap_or(usize::MAX);
    rules.push(Rule { rule: "every org has a time zone that exists", broken_by });
    let differences = adoption::differences(&mut connection).await?;
    Ok(Verdict { rules, differences })
}
