//! What is wrong with an org, and the command that mends it.

use super::{Explanation, FeatureView, calendar};
use crate::billing::offers::Offer;
use crate::billing::rollover::MINUTES;
use crate::billing::{Calendar, Instant, Quantity};
use crate::jobs::finding::Finding;
use crate::tzdata::TzData;

/// From this share of the allowance on a limit is near.
const NEAR_PERCENT: i64 = 80;

/// The findings, the worst first.
pub(super) fn of(
    explanation: &Explanation,
    offers: &[(String, Offer)],
    tz: &TzData,
    waiting: i64,
) -> Vec<Finding> {
    let slug = &explanation.org.slug;
    let mut findings = row(explanation, tz);
    findings.extend(period(explanation, tz));
    for feature in &explanation.features {
        findings.extend(copies(slug, feature));
        findings.extend(limit(explanation, feature, offers));
        findings.extend(packs(explanation, feature));
    }
    findings.extend(users(explanation));
    if waiting > 0 {
        let text = format!("{waiting} metrics from before the open period are not counted yet");
        findings.push(Finding::note("uncounted", text).mend(format!("periodd sync --org {slug}")));
    }
    // What comes of another finding is said after it.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// What stands in the org's row and cannot be right.
fn row(explanation: &Explanation, tz: &TzData) -> Vec<Finding> {
    let org = &explanation.org;
    let slug = &org.slug;
    let mut findings = Vec::new();
    if let Some(at) = org.parked_at {
        let reason = org.parked_reason.as_deref().unwrap_or("no reason was given");
        findings.push(
            Finding::problem("parked", format!("set aside since {at}: {reason}"))
                .mend(format!("periodd orgs unpark {slug}")),
        );
    }
    if let Err(unknown) = tz.zone(&org.time_zone) {
        let zone = unknown.similar.clone().unwrap_or_else(|| "Europe/Berlin".to_owned());
        findings.push(
            Finding::problem("zone", unknown.to_string())
                .mend(format!("periodd orgs set {slug} --zone {zone}")),
        );
    } else if calendar(org, tz).is_none() {
        let what = format!("cycle {} has no anchor day {}", org.cycle, org.anchor_day);
        findings.push(
            Finding::problem("cycle", what)
                .mend(format!("periodd orgs set {slug} --anchor-day 1 --anchor-month 1")),
        );
    }
    findings
}

/// What the open period has wrong.
fn period(explanation: &Explanation, tz: &TzData) -> Vec<Finding> {
    let Explanation { org, now, .. } = explanation;
    let slug = &org.slug;
    let roll_over = format!("periodd rollover --org {slug}");
    let (start, end) = match (org.current_period_start, org.current_period_end) {
        (Some(start), Some(end)) => (start, end),
        (None, None) => {
            let what = "it has no open period: increments fail, usage waits to be counted";
            return vec![Finding::problem("no_period", what).mend(roll_over)];
        }
        _ => {
            let what = "one end of its period is NULL: increments fail, usage waits to be counted";
            return vec![Finding::problem("no_period", what).mend(roll_over)];
        }
    };
    if end <= start {
        let what = format!("its period ends at {end}, not after its start at {start}");
        return vec![Finding::problem("inverted_period", what).mend("periodd db import --apply")];
    }
    let mut findings = Vec::new();
    if end <= *now {
        let what = format!("its period ended at {end} and is not closed yet");
        let overdue = Finding::problem("overdue", what);
        findings.push(if org.parked_at.is_some() { overdue } else { overdue.mend(roll_over) });
    }
    if is_inclusive(end) {
        let what =
            format!("its period ends at {end}, an inclusive end: a moment belongs to nobody");
        findings.push(Finding::problem("inclusive_end", what).mend("periodd db import --apply"));
    } else if let Some(boundary) = calendar(org, tz).and_then(|calendar| misplaced(&calendar, end))
    {
        let what = format!(
            "its period ends at {end}, which is no boundary of its calendar (the nearest is \
             {boundary}); it stands, and the next one is regular"
        );
        findings.push(Finding::note("irregular_end", what));
    }
    if org.next_period_ends.is_empty() {
        let what = "the ends that follow are not stored yet: after its end nothing is counted";
        let roll_over = format!("periodd rollover --org {slug}");
        findings.push(Finding::warning("following_ends", what).mend(roll_over));
    }
    findings
}

/// An end like 23:59:59.999: the last moment inside, written where the first one after belongs.
/// Somewhere on earth it is midnight at every quarter of an hour. `doctor` and `db verify` ask the
/// same.
fn is_inclusive(end: Instant) -> bool {
    let seconds = end.microseconds().div_euclid(1_000_000);
    seconds.rem_euclid(15 * 60) == 15 * 60 - 1
}

/// The nearest boundary of the calendar, where the end is none.
fn misplaced(calendar: &Calendar, end: Instant) -> Option<Instant> {
    let boundary = calendar.zone.first_instant(calendar.nearest(end).ok()?).ok()?;
    (boundary != end).then_some(boundary)
}

/// Copies of a number that do not agree.
fn copies(slug: &str, feature: &FeatureView) -> Vec<Finding> {
    let mut findings = Vec::new();
    for copy in feature.copies.iter().filter(|copy| !copy.agrees) {
        let sync = format!("periodd sync --org {slug}");
        let of = &feature.feature;
        let against = match copy.column.as_str() {
            "usage_counters.used" => "its metrics",
            "organizations.used_minutes" | "organizations.overage_minutes" => "its counter",
            _ => "should hold",
        };
        let holds = copy.holds.map_or_else(|| "nothing".to_owned(), |holds| holds.to_string());
        let what = format!("{} holds {holds} {of}, and {against} {}", copy.column, copy.should);
        // Until it is written the next time, a copy of a counter that has moved may lag behind.
        let is_behind = !feature.is_synced && copy.column != "usage_counters.used";
        let finding = if is_behind { Finding::warning } else { Finding::problem };
        findings.push(finding("drift", what).mend(sync));
    }
    if feature.without_pack.is_positive() {
        let (more, of) = (feature.without_pack, &feature.feature);
        let what = format!(
            "organizations.overage_minutes shows {more} {of} more than the packs hold: bought \
             without a pack, nobody can use them"
        );
        findings
            .push(Finding::problem("purchase_without_pack", what).mend(format!(
                "periodd packs grant --org {slug} --feature {of} --quantity {more}"
            )));
    }
    if feature.uncounted != Quantity::ZERO {
        let what =
            format!("{} {} are recorded and not counted yet", feature.uncounted, feature.feature);
        findings.push(Finding::note("uncounted", what).mend(format!("periodd sync --org {slug}")));
    }
    findings
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
        let over = feature.left.map_or(Quantity::ZERO, |left| {
            Quantity::ZERO.minus(left).unwrap_or_default().or_zero()
        });
        let short = over.plus(Quantity::units(1)).unwrap_or(over);
        let what = format!("no more {name}: {why}");
        return Some(Finding::warning("limit_reached", what).mend(buy(short)));
    }
    let near = feature.percent.is_some_and(|percent| percent >= NEAR_PERCENT);
    let ahead = feature.forecast.as_ref();
    match (near, ahead.and_then(|ahead| ahead.used_up_on)) {
        (_, Some(day)) => {
            let at_end = ahead.map(|ahead| ahead.at_end).unwrap_or_default();
            let short = at_end.minus(feature.allowance.unwrap_or_default()).unwrap_or_default();
            let what =
                format!("at this pace {name} are used up on {day}, {short} short at the end");
            Some(Finding::note("runs_out", what).mend(buy(short)))
        }
        (true, None) => {
            let percent = feature.percent.unwrap_or_default();
            Some(Finding::note("limit_near", format!("{percent} % of {name} are used")))
        }
        (false, None) => None,
    }
}

/// The grant that covers what is short: by the smallest pack on sale that does, else as much.
fn buy(slug: &str, feature: &str, short: Quantity, offers: &[(String, Offer)]) -> String {
    let of_it = offers.iter().filter(|(of, _)| of == feature).map(|(_, offer)| offer.quantity);
    let enough = of_it.filter(|quantity| *quantity >= short).min();
    let quantity = enough.unwrap_or(short);
    format!("periodd packs grant --org {slug} --feature {feature} --quantity {quantity}")
}

/// Packs that hold something and cannot be used: credits that are there and do not help.
fn packs(explanation: &Explanation, feature: &FeatureView) -> Vec<Finding> {
    let Explanation { org, packs, now, .. } = explanation;
    let mut findings = Vec::new();
    let holding =
        packs.iter().filter(|p| p.feature == feature.feature && p.remaining.is_positive());
    for pack in holding {
        let named = pack.reference.clone().unwrap_or_else(|| pack.id.to_string());
        let left = pack.remaining;
        if pack.expires_at.is_some_and(|at| at <= *now) {
            let what = format!("pack {named} has expired with {left} left; it is settled next");
            let roll_over = format!("periodd rollover --org {}", org.slug);
            findings.push(Finding::note("expired_pack", what).mend(roll_over));
        } else if pack.purchased_at > *now {
            let what = format!("pack {named} with {left} is usable from {} on", pack.purchased_at);
            findings.push(Finding::note("future_pack", what));
        }
    }
    let nothing_left = feature.purchased_remaining.is_zero() && feature.in_packs.is_positive();
    if nothing_left && (feature.feature == MINUTES || !feature.increment.allowed) {
        let what = format!(
            "packs hold {} {}, all of it claimed by usage above the included quantity: they are \
             drawn when the period closes",
            feature.in_packs, feature.feature
        );
        findings.push(Finding::note("packs_claimed", what));
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
    let what = format!("users.usage_this_month of {first}{more} is not what their counter holds");
    let sync = format!("periodd sync --org {}", explanation.org.slug);
    Some(Finding::problem("drift", what).mend(sync))
}
