//! Do the copies of the tz database agree for the zones in use: the one in the binary, the
//! system's, PostgreSQL's?

use std::path::Path;

use super::{Context, named, orgs};
use crate::billing::{Calendar, Instant, Zone};
use crate::command::Commands;
use crate::jobs::explain::set_zone;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::status::UPGRADE_TZ;
use crate::store::reports::doctor::Faulty;
use crate::store::{StoreError, reports::doctor};
use crate::tz::{Source, TzData};

/// Months ahead that the copies are compared over.
const MONTHS: usize = 14;
/// Where Linux distributions keep the tz database.
const SYSTEM: &str = "/usr/share/zoneinfo";
/// How PostgreSQL writes a local time.
const LOCAL: &str = "%Y-%m-%d %H:%M:%S";

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let mut findings = Vec::new();
    let mut asked: Vec<(String, Instant)> = Vec::new();
    let mut expected: Vec<String> = Vec::new();
    let copies = [Some(TzData::bundled()), TzData::system(Path::new(SYSTEM))];
    let others = copies.into_iter().flatten().filter(|copy| copy.source() != context.tz.source());
    let others: Vec<TzData> = others.collect();
    let mut differing: Vec<Vec<String>> = vec![Vec::new(); others.len()];
    for (name, count) in doctor::zones(&mut connection).await? {
        let zone = match context.tz.zone(&name) {
            Ok(zone) => zone,
            Err(unknown) => {
                let who = named(&count.named, count.orgs);
                let what =
                    format!("{} in an unknown time zone: {unknown}: {who}", orgs(count.orgs));
                let similar = unknown.similar.as_deref();
                findings.push(Finding::problem(Check::Zone, what).mend(set_zones(&count, similar)));
                continue;
            }
        };
        let months = months(&zone, context.now);
        for (other, differing) in others.iter().zip(&mut differing) {
            if other.zone(&name).ok().map(|zone| self::months(&zone, context.now)).as_ref()
                != Some(&months)
            {
                differing.push(name.clone());
            }
        }
        for at in months {
            expected.push(zone.local_as(at, LOCAL));
            asked.push((name.clone(), at));
        }
    }
    for (other, differing) in others.iter().zip(differing) {
        findings.extend(behind(context.tz, other, &differing));
    }
    let found = doctor::local_times(&mut connection, &asked).await?;
    findings.extend(postgresql(&asked, &expected, &found));
    Ok(findings)
}

/// What puts orgs into a zone that exists, one after the other.
fn set_zones(orgs: &Faulty, similar: Option<&str>) -> Mend {
    let each = orgs.named.iter().map(|slug| set_zone(slug, similar));
    let mut commands = Vec::new();
    for mend in each {
        match mend {
            Mend::Command(command) => commands.extend(command.0),
            other => return other,
        }
    }
    Mend::Command(Commands(commands))
}

/// The first instants of the months to come.
fn months(zone: &Zone, now: Instant) -> Vec<Instant> {
    let calendar = Calendar::months(zone.clone());
    let mut months = Vec::with_capacity(MONTHS);
    let mut at = now;
    while months.len() < MONTHS {
        let Ok((period, _)) = calendar.period_at(at) else { break };
        months.push(period.end);
        at = period.end;
    }
    months
}

/// Another copy that has other boundaries: older than the one in use, which is the newest.
pub fn behind(tz: &TzData, other: &TzData, differing: &[String]) -> Option<Finding> {
    if differing.is_empty() {
        return None;
    }
    let count = i64::try_from(differing.len()).unwrap_or(i64::MAX);
    let what = format!(
        "the {} tz data ({}) give different period ends in {}; the {} ({}) are used",
        other.source(),
        other.release(),
        named(&differing[..differing.len().min(5)], count),
        tz.source(),
        tz.release()
    );
    let finding = Finding::note(Check::TzCopies, what);
    Some(match other.source() {
        Source::System => finding.mend(Mend::advice(UPGRADE_TZ)),
        Source::Bundled => finding,
    })
}

/// Zones that PostgreSQL has other rules for: nothing of ours goes by them, applications may.
fn postgresql(
    asked: &[(String, Instant)],
    expected: &[String],
    found: &[Option<String>],
) -> Option<Finding> {
    let answers = asked.iter().zip(expected).zip(found);
    let differs = answers.filter(|((_, expected), found)| found.as_ref() != Some(*expected));
    let mut zones: Vec<String> = differs.map(|(((zone, _), _), _)| zone.clone()).collect();
    zones.dedup();
    if zones.is_empty() {
        return None;
    }
    let count = i64::try_from(zones.len()).unwrap_or(i64::MAX);
    let what = format!(
        "PostgreSQL has different rules for {}; periodd does not use them, but your SQL may",
        named(&zones[..zones.len().min(5)], count)
    );
    let advice = "upgrade PostgreSQL, or its host's tzdata, to the newest release";
    Some(Finding::note(Check::TzCopies, what).mend(Mend::advice(advice)))
}
