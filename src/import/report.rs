//! Adopting a database that was there before: report, apply, verify, undo.
//!
//! The report reads and changes nothing. Applying moves everything over in one transaction, and
//! then rolls over as ever, which opens what has no period and counts what is not counted.

use super::answers::Answers;
use super::{Adoption, Difference, Finding, Survey};
use crate::jobs::doctor::verify::{self, Question};
use crate::jobs::rollover::{self, Observer, Request};
use crate::jobs::stop::Stop;
use crate::jobs::zones;
use crate::store::audit::verify::{Rule, RuleCheck};
use crate::store::db::lock_wait::LockWait;
use crate::store::{Database, StoreError, reports::doctor};
use crate::tz::TzData;

/// What was found, and what would be done about it.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct AdoptionReport {
    /// What would be done.
    #[serde(flatten)]
    pub adoption: Adoption,
    /// What was counted.
    pub found: Vec<Finding>,
    /// How many orgs it is about.
    pub orgs: i64,
}

impl AdoptionReport {
    /// What stands in the way of adopting anything.
    pub fn blocks(&self) -> impl Iterator<Item = &Finding> {
        self.found.iter().filter(|finding| finding.blocks)
    }
}

/// Looks at a database; `None` where there is nothing to adopt or to mend.
pub async fn report(
    database: &Database,
    tz: &TzData,
    answers: &Answers,
    wait: LockWait,
) -> Result<Option<AdoptionReport>, StoreError> {
    let Some(survey) = super::survey(database, answers, wait).await? else {
        return Ok(None);
    };
    let Survey { adoption, mut found, zones, orgs } = survey;
    if adoption.is_mend() && found.is_empty() {
        return Ok(None);
    }
    for (zone, count) in zones {
        if let Err(unknown) = tz.zone(&zone) {
            let what = format!("orgs with an unknown time zone: {unknown}; correct them first");
            found.push(Finding { what, count: Some(count), blocks: true });
        }
    }
    Ok(Some(AdoptionReport { adoption, found, orgs }))
}

/// Adopts what a report found, then opens and counts.
///
/// # Errors
/// As [`super::apply`]; an error of the rollover afterwards leaves the import done, and the next
/// rollover goes on.
pub async fn apply(
    database: &Database,
    tz: &TzData,
    report: &AdoptionReport,
    request: &Request,
    wait: LockWait,
    progress: impl FnMut(&str),
    observer: Observer,
) -> Result<rollover::RolloverReport, StoreError> {
    let now = database.now().await?;
    let months = zones::months(tz, now);
    super::apply(database, &report.adoption, &months, tz.release(), wait, progress).await?;
    rollover::run(database, tz, request, observer).await
}

/// What `db verify` found.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Verdict {
    /// Every rule, with how many rows violate it.
    pub rules: Vec<RuleCheck>,
    /// Sums that are not what they were before the import.
    pub differences: Vec<Difference>,
    /// Orgs that were asked about.
    pub orgs: u64,
    /// Was everything asked? Otherwise it was interrupted, and `--resume` goes on.
    pub complete: bool,
}

impl Verdict {
    /// Is everything as it should be?
    pub fn is_good(&self) -> bool {
        self.differences.is_empty() && self.rules.iter().all(|rule| rule.broken_by == 0)
    }
}

/// Asks every rule of the books and of periods, and compares what was imported with what there
/// was. Reads everything: seconds per million of metrics.
pub async fn verify(
    database: &Database,
    tz: &TzData,
    resumes: bool,
    stop: &Stop,
    observer: verify::Observer<'_>,
) -> Result<Verdict, StoreError> {
    let question = Question::Everything { resumes };
    let verified = verify::run(database, question, stop, observer).await?;
    let mut rules = verified.rules;
    let mut connection = database.connection().await?;
    let zones = doctor::zones(&mut connection).await?.into_iter();
    let without = zones.filter(|(zone, _)| tz.zone(zone).is_err()).map(|(_, found)| found.orgs);
    let broken_by = usize::try_from(without.sum::<i64>()).unwrap_or(usize::MAX);
    rules.push(RuleCheck { rule: Rule::ZonesExist, broken_by });
    let differences = super::differences(&mut connection).await?;
    let (orgs, complete) = (verified.orgs, verified.is_through);
    Ok(Verdict { rules, differences, orgs, complete })
}
