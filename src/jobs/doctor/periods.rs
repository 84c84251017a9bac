//! Is every org's open period in order?

use jiff::SignedDuration;

use super::{Context, named, orgs};
use crate::billing::clock::TOLERANCE;
use crate::clock;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::status::REDATE;
use crate::store::reports::doctor::Faulty;
use crate::store::{StoreError, reports::doctor};

/// A period that ended longer ago than this is not merely waiting for the next pass.
const OUTDATED_AFTER: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let outdated_before = context.now.plus(-OUTDATED_AFTER).unwrap_or(context.now);
    // What has not come by `--at` need not be the work of a clock that ran ahead.
    let latest = context.now.max(context.database.now().await?.min(clock::now()));
    let latest = latest.plus(TOLERANCE).unwrap_or(latest);
    let found = doctor::periods(&mut connection, outdated_before, latest).await?;
    let findings = [
        (Check::NoPeriod, &found.unopened, "no complete open period"),
        (Check::InvertedPeriod, &found.inverted, "a period that ends before it starts"),
        (Check::InclusiveEnd, &found.inclusive, "an inclusive period end, such as 23:59:59.999"),
        (Check::FuturePeriod, &found.future, "an open period that begins in the future"),
        (Check::ClosedAhead, &found.closed_ahead, "closed periods in the future"),
        (Check::ExpiredAhead, &found.expired_ahead, "packs that expired in the future"),
        (Check::Overdue, &found.outdated, "an ended period that is not closed"),
        (
            Check::NotTouching,
            &found.not_touching,
            "an open period that does not start at the end of the last closed one",
        ),
        (
            Check::Overlapping,
            &found.overlapping,
            "an open period that overlaps the period of an earlier counter, whose usage no limit \
             includes",
        ),
        (Check::DatedAhead, &found.dated_ahead, "metrics dated after the last stored period end"),
    ];
    let finding = |(check, faulty, what): (Check, &Faulty, &str)| {
        let verb = if faulty.orgs == 1 { "has" } else { "have" };
        let who = named(&faulty.named, faulty.orgs);
        let what = format!("{} {verb} {what}: {who}", orgs(faulty.orgs));
        (faulty.orgs > 0).then(|| Finding::problem(check, what).mend(mend(check, faulty)))
    };
    Ok(findings.into_iter().filter_map(finding).collect())
}

/// What to do about an org's periods.
fn mend(check: Check, faulty: &Faulty) -> Mend {
    let sql = |statement: fn(&str) -> String| {
        let each = faulty.named.iter().map(|slug| statement(slug));
        Mend::sql(each.collect::<Vec<_>>().join("; "))
    };
    match check {
        Check::InvertedPeriod | Check::InclusiveEnd => Mend::periodd(["db", "import", "--apply"]),
        Check::NotTouching => sql(doctor::start_at_last_end),
        Check::Overlapping => sql(doctor::start_at_overlapped),
        Check::DatedAhead => Mend::advice(REDATE),
        Check::FuturePeriod | Check::ClosedAhead => Mend::advice(
            "a clock ran ahead: restore the rows of these orgs from a backup, or leave them until \
             their time has come (docs/operating.md, \"When the clock is wrong\")",
        ),
        Check::ExpiredAhead => Mend::advice(
            "a clock ran ahead: give back what was written off with `packs grant` and a new \
             reference",
        ),
        _ => Mend::periodd(["rollover"]),
    }
}
