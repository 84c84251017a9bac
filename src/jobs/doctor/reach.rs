//! How is the database reached: whose clock, what lies in between?

use jiff::SignedDuration;

use super::Context;
use crate::billing::when::shown_in_utc;
use crate::clock;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::status::{SYNCHRONISE, clock_of, start_daemon};
use crate::store::reports::doctor::{self, Reach};
use crate::store::{StoreError, reports::status, runs::schedules};

/// Clocks that differ by more than this are wrong.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let reach = doctor::reach(context.database).await?;
    let mut findings = of_reach(reach);
    let before = clock::now();
    let judged = context.database.look_at_clock().await?;
    let (after, database) = (clock::now(), judged.database());
    let mut connection = context.database.connection().await?;
    let rows = schedules::all(&mut connection).await?;
    let ended_ahead = status::ended_after(&mut connection, judged.expected()).await?;
    let start = start_daemon(&context.around, false);
    findings.extend(clock_of(&judged, &rows, ended_ahead, &start));
    // Somewhere between the two looks at this machine's clock.
    let skew = before.since(database).max(database.since(after));
    if skew > SKEW {
        let (after, database) = (shown_in_utc(after), shown_in_utc(database));
        let what = format!("this machine's clock says {after}, the database's {database}");
        findings.push(Finding::problem(Check::ClockSkew, what).mend(Mend::advice(SYNCHRONISE)));
    }
    Ok(findings)
}

/// What there is to know of the way to the database.
pub fn of_reach(reach: Reach) -> Vec<Finding> {
    let mut findings = Vec::new();
    if reach.is_pooled {
        let what = "connections go through a pooler in transaction mode, such as PgBouncer: every \
                    command and function works; settings of a session, LISTEN and session locks \
                    of your application last for one transaction";
        findings.push(Finding::note(Check::Pooler, what));
    }
    if !reach.is_encrypted && !reach.is_local && !reach.is_pooled {
        let what = "the connection to the database is not encrypted";
        let advice = "add sslmode=verify-full to the URL of [database]";
        findings.push(Finding::problem(Check::Tls, what).mend(Mend::advice(advice)));
    }
    findings
}
