//! What is wrong with an org, and the command that mends it.

use std::collections::BTreeMap;

use super::{Explanation, FeatureView, calendar};
use crate::billing::offers::Offer;
use crate::billing::parking::ParkedCode;
use crate::billing::rollover::MINUTES;
use crate::billing::when::shown;
use crate::billing::{Calendar, Cycle, Instant, Quantity, Zone};
use crate::command::Command;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::mail_findings::{self, Audience};
use crate::jobs::status::{REDATE, repair_and_unpark};
use crate::store::reports::explain::OrgRow;
use crate::tz::TzData;

/// From this share of the allowance on a limit is near.
pub const NEAR_PERCENT: i64 = 80;

/// Metrics of the org that are in no counter.
pub(super) struct Uncounted {
    /// From before the open period.
    pub(super) waiting: i64,
    /// After every end that is stored: how many, and the first.
    pub(super) ahead: (i64, Option<Instant>),
    /// In the period, of features that have no counter, limit or pack yet.
    pub(super) without_counter: BTreeMap<String, Quantity>,
}

/// The findings, the worst first.
pub(super) fn of(
    explanation: &Explanation,
    offers: &[(String, Offer)],
    tz: &TzData,
    uncounted: Uncounted,
    audience: &Audience,
) -> Vec<Finding> {
    let slug = &explanation.org.slug;
    let mut findings = row(explanation, tz);
    findings.extend(period(explanation, tz));
    for feature in &explanation.features {
        findings.extend(copies(slug, feature));
        findings.extend(limit(explanation, feature, offers));
        findings.extend(packs(explanation, feature, tz));
    }
    findings.extend(users(explanation));
    let Uncounted { waiting, ahead, without_counter } = uncounted;
    for (feature, uncounted) in without_counter {
        findings.push(not_counted(slug, &feature, uncounted));
    }
    if let (count, Some(first)) = ahead {
        let what = format!(
            "{count} metrics are dated {first} or later, after the last stored period end; they \
             are counted once their period is stored"
        );
        findings.push(Finding::warning(Check::DatedAhead, what).mend(Mend::advice(REDATE)));
    }
    if waiting > 0 {
        let text = format!("{waiting} metrics from before the open period are not counted yet");
        findings.push(Finding::note(Check::Uncounted, text).mend(sync(slug)));
    }
    let waits = |state: &str| state == "waiting";
    let alerts = explanation.alerts.iter().filter(|alert| waits(&alert.state)).count();
    let notices = explanation.notices.iter().filter(|notice| waits(&notice.state)).count();
    let waiting = alerts + notices;
    if waiting > 0 {
        let plural = if waiting == 1 { "" } else { "s" };
        let alerts = format!("{waiting} alert{plural}");
        findings.extend(mail_findings::no_recipient(&alerts, std::slice::from_ref(audience)));
    }
    findings.extend(mail_findings::unheard(audience));
    // What comes of another finding is said after it.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// What stands in the org's row and cannot be right.
fn row(explanation: &Explanation, tz: &TzData) -> Vec<Finding> {
    let org = &explanation.org;
    let slug = &org.slug;
    let mut findings = Vec::new();
    if org.is_parked {
        let at = org.parked_at.map_or_else(|| "?".to_owned(), |at| shown(&zone_of(org, tz), at));
        let reason = org.parked_reason.as_deref().unwrap_or("no reason was given");
        let is_by_hand = org.parked_code.as_deref() == Some(ParkedCode::ByHand.name());
        let finding = if is_by_hand { Finding::note } else { Finding::problem };
        let check = if is_by_hand { Check::ParkedByHand } else { Check::Parked };
        let mend = if is_by_hand {
            Mend::periodd(["orgs", "unpark", slug])
        } else {
            repair_and_unpark(slug)
        };
        findings.push(finding(check, format!("parked since {at}: {reason}")).mend(mend));
    }
    if let Err(unknown) = tz.zone(&org.time_zone) {
        let mend = set_zone(slug, unknown.similar.as_deref());
        findings.push(Finding::problem(Check::Zone, unknown.to_string()).mend(mend));
    } else if calendar(org, tz).is_none() {
        let what = format!("cycle {} has no anchor day {}", org.cycle, org.anchor_day);
        let words = ["orgs", "set", slug, "--anchor-day", "1", "--anchor-month", "1"];
        findings.push(Finding::problem(Check::Cycle, what).mend(Mend::periodd(words)));
    }
    findings
}

/// The zone of an org's times.
fn zone_of(org: &OrgRow, tz: &TzData) -> Zone {
    tz.zone(&org.time_zone).unwrap_or_else(|_| Zone::utc())
}

/// What the open period has wrong.
fn period(explanation: &Explanation, tz: &TzData) -> Vec<Finding> {
    let Explanation { org, now, .. } = explanation;
    let slug = &org.slug;
    let roll_over = || Mend::periodd(["rollover", "--org", slug]);
    let import = || Mend::periodd(["db", "import", "--apply"]);
    let (start, end) = match (org.current_period_start, org.current_period_end) {
        (Some(start), Some(end)) => (start, end),
        (None, None) => {
            let what = "no open period: increments fail, and usage is not counted yet";
            return vec![Finding::problem(Check::NoPeriod, what).mend(roll_over())];
        }
        _ => {
            let what = "one bound of the open period is NULL: increments fail, and usage is not \
                        counted yet";
            return vec![Finding::problem(Check::NoPeriod, what).mend(roll_over())];
        }
    };
    let zone = zone_of(org, tz);
    let end_shown = shown(&zone, end);
    if end <= start {
        let start = shown(&zone, start);
        let what = format!("the period ends at {end_shown}, not after its start at {start}");
        return vec![Finding::problem(Check::InvertedPeriod, what).mend(import())];
    }
    let mut findings = Vec::new();
    if end <= *now {
        let what = format!("the period ended at {end_shown} and is not closed yet");
        let overdue = Finding::problem(Check::Overdue, what);
        findings.push(if org.is_parked { overdue } else { overdue.mend(roll_over()) });
    }
    if org.has_inclusive_end {
        let what = format!(
            "the period ends at {end_shown}, an inclusive end: usage in its last moment would be \
             in no period"
        );
        findings.push(Finding::problem(Check::InclusiveEnd, what).mend(import()));
    } else if let Some(boundary) = calendar(org, tz).and_then(|calendar| misplaced(&calendar, end))
    {
        let what = format!(
            "the period ends at {end_shown}, which is not a boundary of its calendar (the nearest \
             is {}); it is kept, and the next period is regular",
            shown(&zone, boundary)
        );
        findings.push(Finding::note(Check::IrregularEnd, what));
    }
    if org.next_period_ends.is_empty() && end != Instant::NEVER {
        let what = "the following period ends are not stored: usage after the end is not counted";
        findings.push(Finding::warning(Check::FollowingEnds, what).mend(roll_over()));
    }
    findings
}

/// The nearest boundary of the calendar, where the end is none.
fn misplaced(calendar: &Calendar, end: Instant) -> Option<Instant> {
    if calendar.cycle == Cycle::None {
        return None;
    }
    let boundary = calendar.boundary_of(calendar.nearest(end).ok()?).ok()?.at;
    (boundary != end).then_some(boundary)
}

/// Copies of a number that do not agree.
fn copies(slug: &str, feature: &FeatureView) -> Vec<Finding> {
    let mut findings = Vec::new();
    for copy in feature.copies.iter().filter(|copy| !copy.agrees) {
        let of = &feature.feature;
        let against = match copy.column.as_str() {
            "usage_counters.used" => "its metrics",
            "organizations.used_minutes" | "organizations.overage_minutes" => "its counter",
            _ => "should hold",
        };
        let holds = copy.holds.map_or_else(|| "nothing".to_owned(), |holds| holds.to_string());
        let what = format!("{} holds {holds} {of}, but {against} {}", copy.column, copy.should);
        // Until it is written the next time, a copy of a counter that has moved may lag behind.
        let is_behind = !feature.is_synced && copy.column != "usage_counters.used";
        let finding = if is_behind { Finding::warning } else { Finding::problem };
        findings.push(finding(Check::Drift, what).mend(sync(slug)));
    }
    if feature.without_pack.is_positive() {
        let (more, of) = (feature.without_pack, &feature.feature);
        let what = format!(
            "organizations.overage_minutes is {more} {of} higher than the packs: purchases \
             without a pack cannot be used"
        );
        let mend = granting(slug, of, more);
        findings.push(Finding::problem(Check::PurchaseWithoutPack, what).mend(mend));
    }
    if feature.uncounted != Quantity::ZERO {
        findings.push(not_counted(slug, &feature.feature, feature.uncounted));
    }
    findings
}

/// Metrics of the period that no counter holds yet.
fn not_counted(slug: &str, feature: &str, uncounted: Quantity) -> Finding {
    let what = format!("{uncounted} {feature} recorded but not counted yet");
    Finding::note(Check::Uncounted, what).mend(sync(slug))
}

/// A limit that is reached, or soon will be.
fn limit(
    explanation: &Explanation,
    feature: &FeatureView,
    offers: &[(String, Offer)],
) -> Option<Finding> {
    let slug = &explanation.org.slug;
    let name = &feature.feature;
    let buy = |short: Quantity| buy(slug, name, short, offers);
    if let (false, Some(why)) = (feature.increment.allowed, &feature.increment.why) {
        explanation.period.as_ref()?;
        if !feature.is_listed && !feature.used.is_positive() {
            return None;
        }
        let over = feature.used.minus(feature.allowance.unwrap_or_default());
        let over = over.unwrap_or_default().or_zero();
        let short = over.plus(Quantity::units(1)).unwrap_or(over);
        let what = format!("{name} are refused: {why}");
        return Some(Finding::warning(Check::LimitReached, what).mend(buy(short)));
    }
    let near = feature.percent.is_some_and(|percent| percent >= NEAR_PERCENT);
    let ahead = feature.forecast.as_ref();
    match (near, ahead.and_then(|ahead| ahead.used_up_on)) {
        (_, Some(day)) => {
            let at_end = ahead.map(|ahead| ahead.at_end).unwrap_or_default();
            let short = at_end.minus(feature.allowance.unwrap_or_default()).unwrap_or_default();
            let what =
                format!("at this rate {name} will be used up on {day}, {short} short by the end");
            Some(Finding::note(Check::RunsOut, what).mend(buy(short)))
        }
        (true, None) => {
            let percent = feature.percent.unwrap_or_default();
            Some(Finding::note(Check::LimitNear, format!("{percent} % of {name} are used")))
        }
        (false, None) => None,
    }
}

/// The sale that covers what is short: of the smallest pack on sale that does. Where none does, a
/// person decides; a command would give units away.
fn buy(slug: &str, feature: &str, short: Quantity, offers: &[(String, Offer)]) -> Mend {
    let of_it = offers.iter().filter(|(of, _)| of == feature).map(|(_, offer)| offer.quantity);
    match of_it.filter(|quantity| *quantity >= short).min() {
        Some(quantity) => {
            let advice = "raise the limit, or sell a pack and record the sale";
            Mend::advice_then(advice, granting(slug, feature, quantity))
        }
        None => Mend::advice(format!(
            "sell a pack of at least {short} {feature}, which `packs grant` records, or raise the \
             limit"
        )),
    }
}

fn granting(slug: &str, feature: &str, quantity: Quantity) -> Command {
    let quantity = quantity.to_string();
    let words = ["packs", "grant", "--org", slug, "--feature", feature, "--quantity", &quantity];
    Command::periodd(words)
}

fn sync(slug: &str) -> Mend {
    Mend::periodd(["sync", "--org", slug])
}

/// What puts an org into a zone that exists; the zone only where it is known which one is meant.
pub(in crate::jobs) fn set_zone(slug: &str, similar: Option<&str>) -> Mend {
    match similar {
        Some(zone) => Command::periodd(["orgs", "set", slug, "--zone", zone]).into(),
        None => Mend::advice(format!(
            "set the zone of {slug} to a name of the tz database, such as Europe/Berlin, with \
             `orgs set --zone`"
        )),
    }
}

/// Packs that hold something and cannot be used: credits that are there and do not help.
fn packs(explanation: &Explanation, feature: &FeatureView, tz: &TzData) -> Vec<Finding> {
    let Explanation { org, packs, now, .. } = explanation;
    let mut findings = Vec::new();
    let holding =
        packs.iter().filter(|p| p.feature == feature.feature && p.remaining.is_positive());
    for pack in holding {
        let named = pack.reference.clone().unwrap_or_else(|| pack.id.to_string());
        let left = pack.remaining;
        if pack.expires_at.is_some_and(|at| at <= *now) {
            let what = format!(
                "pack {named} has expired with {left} left; the next rollover writes it off"
            );
            let roll_over = Mend::periodd(["rollover", "--org", &org.slug]);
            findings.push(Finding::note(Check::ExpiredPack, what).mend(roll_over));
        } else if pack.purchased_at > *now {
            let from = shown(&zone_of(org, tz), pack.purchased_at);
            let what = format!("pack {named} with {left} is usable from {from} on");
            findings.push(Finding::note(Check::FuturePack, what));
        }
    }
    let nothing_left = feature.purchased_remaining.is_zero() && feature.in_packs.is_positive();
    if nothing_left && (feature.feature == MINUTES || !feature.increment.allowed) {
        let what = format!(
            "packs hold {} {}, all claimed by usage above the included quantity and drawn when \
             the period closes",
            feature.in_packs, feature.feature
        );
        findings.push(Finding::note(Check::PacksClaimed, what));
    }
    findings
}

/// Users whose own column disagrees with their counter.
fn users(explanation: &Explanation) -> Option<Finding> {
    if !explanation.period.as_ref()?.is_open {
        return None;
    }
    let wrong = explanation.users.iter().filter(|user| user.usage_this_month != user.counted);
    let wrong: Vec<&str> = wrong.map(|user| user.email.as_str()).collect();
    let first = wrong.first()?;
    let more = match wrong.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!("users.usage_this_month of {first}{more} differs from the counter");
    Some(Finding::problem(Check::Drift, what).mend(sync(&explanation.org.slug)))
}
