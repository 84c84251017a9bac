//! The picture of a feature's period, from what is known of it.

use uuid::Uuid;

use super::reading::Known;
use crate::billing::quota::Included;
use crate::billing::threshold::{is_crossed, usage_at};
use crate::billing::{Instant, Period, Quantity};
use crate::charts::period::{self, Expected, Forecast, Pack, Point, Threshold};
use crate::http::pages::parts::said;
use crate::jobs::alerts::Watched;
use crate::jobs::explain::{self, Course, FeatureView, PeriodView};
use crate::store::messages::outbox::Progress;
use crate::store::reports::explain::PackRow;

/// Letters of a pack's reference.
const LONGEST: usize = 60;

/// A pack in a picture.
pub(super) struct Shown<'a> {
    pub(super) pack: &'a PackRow,
    band: Pack,
}

/// A pack by its reference, or by the beginning of its id.
pub(super) fn named(reference: Option<&str>, id: Uuid) -> String {
    let Some(reference) = reference else { return id.to_string().chars().take(8).collect() };
    let reference = said(reference);
    match reference.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &reference[..end]),
        None => reference,
    }
}

/// The packs that pay for a feature in the period, in the order in which they do, each with what it
/// has for this period: what ended periods will still take out of them is taken from the first.
pub(super) fn packs<'a>(
    known: &'a Known,
    view: &FeatureView,
    period: &PeriodView,
) -> Vec<Shown<'a>> {
    let now = known.found.now;
    let is_over = |pack: &PackRow, at: Instant| pack.expires_at.is_some_and(|end| end <= at);
    let of_it = known.found.packs.iter().filter(|pack| pack.feature == view.feature);
    let here = of_it.filter(|pack| pack.purchased_at < period.end && !is_over(pack, period.start));
    let mut packs: Vec<&PackRow> = here.collect();
    packs.sort_by_key(|pack| (pack.expires_at.is_none(), pack.expires_at, pack.purchased_at));
    let mut owed = view.claimed;
    let shown = packs.into_iter().filter_map(|pack| {
        let mut quantity = pack.remaining;
        if pack.purchased_at <= now && !is_over(pack, now) {
            let taken = owed.min(quantity);
            owed = owed.minus(taken).unwrap_or_default();
            quantity = quantity.minus(taken).unwrap_or_default();
        }
        let lost = if is_over(pack, now) { pack.expired } else { Quantity::ZERO };
        let quantity = Quantity::sum([quantity, pack.drawn_in_period, lost]).unwrap_or(quantity);
        let name = named(pack.reference.as_deref(), pack.id);
        let band = Pack { name, quantity, from: pack.purchased_at, until: pack.expires_at };
        quantity.is_positive().then_some(Shown { pack, band })
    });
    shown.collect()
}

/// The chart of a feature.
pub(super) fn chart(
    known: &Known,
    view: &FeatureView,
    course: &Course,
    period: &PeriodView,
    packs: &[Shown<'_>],
    watched: &Watched,
) -> period::Course {
    let point = |used: &crate::jobs::explain::Used| Point {
        at: used.at,
        counted: used.counted,
        // What comes late belongs to closed periods.
        late: Quantity::ZERO,
        uncounted: used.uncounted,
    };
    let ahead: Vec<Expected> = course
        .ahead
        .iter()
        .map(|day| {
            let [low, likely, high] = [day.low, day.likely, day.high].map(whole);
            Expected { at: day.at, low, likely, high }
        })
        .collect();
    let short = ahead.last().zip(view.allowance).map(|(end, most)| end.likely.minus(most));
    let forecast = (!ahead.is_empty()).then_some(Forecast {
        points: ahead,
        used_up_on: view.forecast.as_ref().and_then(|ahead| ahead.used_up_on),
        short: short.and_then(Result::ok).filter(|short| short.is_positive()),
    });
    period::Course {
        feature: said(&view.feature),
        period: explain::shown(Period { start: period.start, end: period.end }, known.found.now),
        now: known.found.now,
        points: course.points.iter().map(point).collect(),
        included: Included::from(view.included),
        packs: packs.iter().map(|shown| shown.band.clone()).collect(),
        allowance: view.allowance,
        thresholds: thresholds(known, view, period, watched),
        forecast,
    }
}

/// Whole units: an expectation has no fractions.
fn whole(quantity: Quantity) -> Quantity {
    quantity.rounded(0).unwrap_or(quantity)
}

/// The levels that are watched, with when each was found crossed and when its first email was sent.
fn thresholds(
    known: &Known,
    view: &FeatureView,
    period: &PeriodView,
    watched: &Watched,
) -> Vec<Threshold> {
    if !view.is_listed {
        return Vec::new();
    }
    let set = |name: &str| known.settings.iter().find(|setting| setting.feature == name);
    let own = [set(&view.feature), set("*")];
    let own_levels = own.iter().flatten().find_map(|setting| setting.thresholds.as_ref());
    let levels: Vec<u8> = own_levels.map_or_else(
        || watched.thresholds(&view.feature).to_vec(),
        |own| watched.own_thresholds(own),
    );
    let basis = own.iter().flatten().find_map(|setting| setting.basis.as_deref());
    let limit = match basis.unwrap_or_else(|| watched.basis(&view.feature)) {
        "allowance" => view.allowance,
        _ => view.included,
    };
    let limit = Included::from(limit);
    let threshold = |percent: u8| {
        let level = usage_at(percent, limit).filter(|level| level.is_positive())?;
        let is_it = |feature: &str, threshold: i16, start: Instant| {
            feature == view.feature && threshold == i16::from(percent) && start == period.start
        };
        // With a higher limit than then, it may not be crossed any more.
        let crossed = known
            .found
            .alerts
            .iter()
            .filter(|alert| is_it(&alert.feature, alert.threshold, alert.period_start))
            .map(|alert| alert.decided_at)
            .max()
            .filter(|_| is_crossed(percent, view.used, limit));
        let sent = known
            .emails
            .iter()
            .filter(|email| {
                is_it(&email.feature, email.threshold.unwrap_or_default(), email.period_start)
            })
            .filter(|email| email.progress() == Progress::Sent)
            .filter_map(|email| email.settled_at)
            .min()
            .filter(|_| crossed.is_some());
        Some(Threshold { percent, level, crossed, sent })
    };
    levels.into_iter().filter_map(threshold).collect()
}
