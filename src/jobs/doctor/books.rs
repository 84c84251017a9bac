//! Are the books right: packs conserved, usage the sum of its metrics, periods touching?

use super::Context;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::sync;
use crate::store::StoreError;
use crate::store::audit::verify::{self, Rule};

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let rules = verify::rules(context.database).await?;
    let mut findings = Vec::new();
    for broken in rules.into_iter().filter(|rule| rule.broken_by > 0) {
        let (check, mend) = match broken.rule {
            Rule::CountersAreTheirMetrics | Rule::SyncedCountersAreCopied => {
                (Check::Drift, audit(context).await?)
            }
            // What is pending is left to the next sync; of the rest only an audit knows.
            Rule::ClosedUsageIsItsMetrics => (Check::LateUsage, Mend::periodd(["sync", "--full"])),
            Rule::EndsReachFarEnough => (Check::FollowingEnds, Mend::periodd(["rollover"])),
            Rule::PacksAreConserved => (Check::Packs, Mend::advice(COMPARE)),
            _ => (Check::Books, Mend::advice(RESTORE)),
        };
        let plural = if broken.broken_by == 1 { "row violates" } else { "rows violate" };
        let what = format!("{} {plural}: {}", broken.broken_by, broken.rule);
        findings.push(Finding::problem(check, what).mend(mend));
    }
    Ok(findings)
}

/// What a person does about a pack and its ledger.
const COMPARE: &str =
    "compare `packs list` with overage_entries, and restore the one that was changed by hand";
/// What a person does about the other rules.
const RESTORE: &str = "`db verify` names the rows; restore them from a backup";

/// What an audit would do about it: its guard may refuse, and then a person decides.
async fn audit(context: &Context<'_>) -> Result<Mend, StoreError> {
    let columns = match sync::targets(context.database, &context.config.sync).await {
        Ok(columns) => columns,
        Err(sync::Error::Store(error)) => return Err(error),
        Err(other) => return Ok(Mend::advice(other.to_string())),
    };
    let standing = sync::Request::standing(&context.config.sync, columns);
    let request = sync::Request { at: Some(context.now), ..standing };
    match sync::repair(context.database, request).await {
        Ok(mend) => Ok(mend),
        Err(sync::Error::Store(error)) => Err(error),
        Err(other) => Ok(Mend::advice(other.to_string())),
    }
}
