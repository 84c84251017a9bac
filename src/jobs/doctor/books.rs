//! Are the books right: packs conserved, usage the sum of its metrics, periods touching?

use jiff::SignedDuration;

use super::Context;
use super::verify::{self, Question};
use crate::billing::Instant;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::stop::Stop;
use crate::jobs::sync;
use crate::store::StoreError;
use crate::store::audit::verify::{self as books, Rule};

/// How far back is looked where the books were never verified: over the last close of most orgs.
const UNVERIFIED: SignedDuration = SignedDuration::from_hours(35 * 24);

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let since = since(context, &mut findings).await?;
    let question = Question::ClosedAfter(since);
    let verified = verify::run(context.database, question, &Stop::default(), &|_| ()).await?;
    for broken in verified.rules.into_iter().filter(|rule| rule.broken_by > 0) {
        let (check, mend) = match broken.rule {
            Rule::CountersAreTheirMetrics | Rule::SyncedCountersAreCopied => {
                (Check::Drift, audit(context).await?)
            }
            // What is pending is left to the next sync; of the rest only an audit knows.
            Rule::ClosedUsageIsItsMetrics => (Check::LateUsage, Mend::periodd(["sync", "--full"])),
            Rule::EndsReachFarEnough => (Check::FollowingEnds, Mend::periodd(["rollover"])),
            Rule::PacksAreConserved | Rule::UncoveredOnlyWithoutPacks => {
                (Check::Packs, Mend::advice(COMPARE))
            }
            Rule::SettledMessagesHaveNoLease => (Check::Books, Mend::advice(HARMLESS)),
            _ => (Check::Books, Mend::advice(RESTORE)),
        };
        let plural = if broken.broken_by == 1 { "row violates" } else { "rows violate" };
        let what = format!("{} {plural}: {}", broken.broken_by, broken.rule);
        findings.push(Finding::problem(check, what).mend(mend));
    }
    Ok(findings)
}

/// What was closed before this has been verified, or `db verify` is proposed. In a sandbox business
/// time says nothing of when a period was really closed: there everything is asked.
async fn since(context: &Context<'_>, findings: &mut Vec<Finding>) -> Result<Instant, StoreError> {
    if context.config.database.sandbox {
        return Ok(Instant::MIN);
    }
    let mut connection = context.database.connection().await?;
    if let Some(verified) = books::verified_at(&mut connection).await? {
        return Ok(verified);
    }
    let since = context.now.plus(-UNVERIFIED).unwrap_or(Instant::MIN);
    if books::any_closed_by(&mut connection, since).await? {
        let what = format!("periods that were closed before {since} were never verified");
        let verify = Mend::periodd(["db", "verify"]);
        findings.push(Finding::note(Check::Books, what).mend(verify));
    }
    Ok(since)
}

/// What a person does about a pack and its ledger.
const COMPARE: &str =
    "compare `packs list` with overage_entries, and restore the one that was changed by hand";
/// What a person does about a lease that outlived its message.
const HARMLESS: &str = "nothing is lost or sent twice by this; set lease and leased_until of these \
                        rows to null, and find out who writes to them";
/// What a person does about the other rules.
const RESTORE: &str = "`db verify` names the rows; restore them from a backup";

/// What an audit would do about it: its guard may refuse, and then a person decides.
async fn audit(context: &Context<'_>) -> Result<Mend, StoreError> {
    let columns = match sync::targets(context.database, &context.config.sync).await {
        Ok(columns) => columns,
        Err(sync::Error::Store(error)) => return Err(error),
        Err(other) => return Ok(Mend::advice(other.to_string())),
    };
    let standing = sync::Request::standing(context.config, columns);
    let request = sync::Request { at: Some(context.now), ..standing };
    match sync::repair(context.database, request).await {
        Ok(mend) => Ok(mend),
        Err(sync::Error::Store(error)) => Err(error),
        Err(other) => Ok(Mend::advice(other.to_string())),
    }
}
