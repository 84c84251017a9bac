//! The features of an org: may one more be used, what is left, and the picture of the period.

use serde::Serialize;

use super::course::{self, Shown};
use super::reading::{Known, one};
use crate::billing::Instant;
use crate::billing::offers::Offer;
use crate::billing::when::shown_in_utc;
use crate::charts;
use crate::http::limits::{Checked, Offered, Verdict, Whose, message};
use crate::http::pages::clock::{Clock, Moment};
use crate::http::pages::parts::{Cell, Table, Tone, grouped, said};
use crate::http::pages::picture::Picture;
use crate::jobs::alerts::Watched;
use crate::jobs::explain::{FeatureView, NEAR_PERCENT, PeriodView};
use crate::locale::Locale;
use crate::text::url_part;
use crate::tz::TzData;

/// Features that have a picture, and those that have figures of their own beside it; all others
/// share a table.
const DRAWN: usize = 3;
const WITH_FIGURES: usize = 4;
const OTHERS: usize = 250;
/// How much of a page pictures may take.
const MOST_BYTES: usize = 20_000;
/// What a row of the others takes of that.
const ROW_BYTES: usize = 300;

#[derive(Serialize)]
pub(super) struct Features {
    first: Vec<Feature>,
    others: Vec<Other>,
    /// How many have no picture although there is something to draw.
    undrawn: usize,
}

/// One of many.
#[derive(Serialize)]
struct Other {
    name: String,
    /// What leads to this page with its picture.
    query: String,
    allowed: &'static str,
    tone: Tone,
    used: String,
}

#[derive(Serialize)]
struct Feature {
    /// Its place by its name: the same however much is used, so that what is open stays open.
    number: usize,
    name: String,
    /// The page with its picture, where it has none on this one.
    href: Option<String>,
    unit: String,
    is_allowed: bool,
    /// Why one more would be allowed or not.
    message: String,
    resets: Option<Moment>,
    /// The same in UTC, where the org's clock shows something else.
    resets_utc: Option<String>,
    offers: Vec<String>,
    /// Used of the allowance; `None`: unlimited.
    percent: Option<i64>,
    /// The same for a bar: 0 to 100.
    filled: i64,
    passed_percent: Option<i64>,
    tone: Tone,
    facts: Vec<(&'static str, Cell)>,
    forecast: Option<String>,
    picture: Option<Picture>,
    copies: Table,
    /// Does any copy differ?
    differs: bool,
}

/// A feature with its chart.
pub(super) struct Drawn<'a> {
    pub(super) view: &'a FeatureView,
    pub(super) packs: Vec<Shown<'a>>,
    /// `None`: nothing is known of its course.
    pub(super) chart: Option<charts::period::Course>,
    is_asked: bool,
}

impl Drawn<'_> {
    /// Is there anything to see in its chart?
    fn is_worth_it(&self) -> bool {
        self.is_asked || !self.view.used.is_zero() || !self.view.uncounted.is_zero()
    }
}

/// All features: the one that was asked for first, then those that have used most of their
/// allowance.
pub(super) fn in_order<'a>(
    known: &'a Known,
    asked: Option<&str>,
    watched: &Watched,
) -> Vec<Drawn<'a>> {
    let mut views: Vec<&FeatureView> = known.found.features.iter().collect();
    let is_asked =
        |view: &FeatureView| asked.is_some_and(|asked| asked.eq_ignore_ascii_case(&view.feature));
    views.sort_by_key(|view| {
        (!is_asked(view), std::cmp::Reverse(view.percent), view.used.is_zero())
    });
    let drawn = |view: &'a FeatureView| {
        let period = known.found.period.as_ref();
        let packs = period.map(|period| course::packs(known, view, period)).unwrap_or_default();
        let course = period.zip(known.courses.get(&view.feature));
        let chart = course
            .map(|(period, course)| course::chart(known, view, course, period, &packs, watched));
        Drawn { view, packs, chart, is_asked: is_asked(view) }
    };
    views.into_iter().map(drawn).collect()
}

pub(super) fn features(
    known: &Known,
    drawn: &[Drawn<'_>],
    clock: &Clock,
    tz: &TzData,
    href: &str,
) -> Features {
    let period = known.found.period.as_ref();
    let mut first: Vec<Feature> = drawn
        .iter()
        .take(WITH_FIGURES)
        .map(|one| Feature {
            href: one.chart.as_ref().map(|_| self::href(href, one.view)),
            ..feature(known, one.view, period, clock, tz)
        })
        .collect();
    let others = drawn.iter().skip(WITH_FIGURES).take(OTHERS);
    let (mut bytes, mut pictures, mut undrawn) = (others.len() * ROW_BYTES, 0, 0);
    for (place, one) in drawn.iter().enumerate() {
        let Some(chart) = one.chart.as_ref().filter(|_| one.is_worth_it()) else { continue };
        let place = first.get_mut(place).filter(|_| pictures < DRAWN && bytes < MOST_BYTES);
        let Some(feature) = place else {
            undrawn += 1;
            continue;
        };
        feature.href = None;
        let draw = |width| chart.chart(width, &clock.when());
        // The first is looked at most.
        let picture = if pictures == 0 { Picture::of(draw) } else { Picture::alone(draw) };
        bytes += picture.bytes() + picture.table_bytes();
        pictures += 1;
        feature.picture = Some(picture);
    }
    Features { first, others: others.map(|one| other(known, one.view)).collect(), undrawn }
}

/// The page of the org, with that feature first.
fn href(org: &str, view: &FeatureView) -> String {
    format!("{org}{}", query(view))
}

fn query(view: &FeatureView) -> String {
    format!("?feature={}", url_part(&view.feature))
}

/// What a check of one more unit says.
fn checked(known: &Known, view: &FeatureView, tz: &TzData) -> Option<Checked> {
    let standing = &known.standing;
    let limit = standing.limits.iter().find(|limit| limit.feature == view.feature)?;
    let offers: Vec<(u32, Offer)> = known.offers.get(&view.feature).cloned().unwrap_or_default();
    let verdict = Verdict::of(limit, one());
    Some(verdict.said(&Whose::of(standing, tz), limit.clone(), offers))
}

fn feature(
    known: &Known,
    view: &FeatureView,
    period: Option<&PeriodView>,
    clock: &Clock,
    tz: &TzData,
) -> Feature {
    let checked = checked(known, view, tz);
    let standing = checked.as_ref().map(|checked| &checked.standing);
    let (included_left, purchased_left) = standing.map_or_else(
        || (Cell::text("not known"), Cell::text("not known")),
        |standing| {
            let included = match (standing.included_left, view.included) {
                (None, Some(_)) => Cell::text("not known"),
                (left, _) => Cell::limit(left),
            };
            (included, Cell::number(standing.purchased_left))
        },
    );
    let resets_at = standing.and_then(|standing| standing.resets_at);
    let resets = resets_at.map(|at| clock.moment(at));
    let resets_utc = resets_at.map(shown_in_utc);
    let resets_utc =
        resets_utc.filter(|utc| resets.as_ref().is_some_and(|resets| resets.text() != utc));
    let mut facts = vec![
        ("Used", Cell::number(view.used)),
        ("Allowance", Cell::limit(view.allowance)),
        ("Included", Cell::limit(view.included)),
        ("Included, left", included_left),
        ("Purchased, left", purchased_left),
    ];
    for (name, quantity) in [
        ("In packs", view.in_packs),
        ("Claimed by ended periods", view.claimed),
        ("Drawn in this period", view.drawn),
        ("Not counted yet", view.uncounted),
    ] {
        if !quantity.is_zero() {
            facts.push((name, Cell::number(quantity)));
        }
    }
    if view.is_level {
        facts.push(("Kind", Cell::text("level, carries over")));
    }
    let percent = view.percent;
    let tone = match percent {
        Some(100..) => Tone::Bad,
        Some(NEAR_PERCENT..) => Tone::Warning,
        _ => Tone::Plain,
    };
    let forecast = view.forecast.as_ref().map(|ahead| {
        let at_end = grouped(&ahead.at_end.to_string());
        match ahead.used_up_on {
            Some(day) => format!("About {at_end} by the end; used up on {day}."),
            None => format!("About {at_end} by the end."),
        }
    });
    let offers = checked.iter().flat_map(|checked| &checked.standing.offers).map(offered);
    Feature {
        number: number(known, view),
        name: said(&view.feature),
        href: None,
        unit: said(&view.unit),
        is_allowed: checked.as_ref().is_some_and(|checked| checked.allowed),
        offers: offers.collect(),
        message: checked.as_ref().map_or_else(
            || "It is not known whether one more would be allowed.".to_owned(),
            // When it resets is said beside it, on the clock of the page.
            |checked| said(&message(&known.found.org.slug, &checked.standing, "")),
        ),
        resets,
        resets_utc,
        percent,
        filled: percent.unwrap_or_default().clamp(0, 100),
        passed_percent: period
            .filter(|period| !view.is_level && period.end != Instant::NEVER)
            .map(|period| period.passed_percent),
        tone,
        facts,
        forecast,
        picture: None,
        copies: copies(view),
        differs: view.copies.iter().any(|copy| !copy.agrees),
    }
}

fn number(known: &Known, view: &FeatureView) -> usize {
    let views = known.found.features.iter();
    views.take_while(|other| other.feature != view.feature).count() + 1
}

/// `2 × scrapes-100: 200 for $19.00`.
fn offered(offer: &Offered) -> String {
    let all = i64::from(offer.count).saturating_mul(offer.price_cents);
    let price = Locale::of("en").money(all, &offer.currency);
    let of_each = grouped(&offer.quantity.to_string());
    format!("{} × {}, {of_each} each, for {} in all", offer.count, said(&offer.code), said(&price))
}

fn copies(view: &FeatureView) -> Table {
    let mut copies = Table::new("Copies of the number", &["Copy", "Holds#", "Should#", "Agrees"]);
    for copy in &view.copies {
        let agrees = if copy.agrees {
            Cell::text("agrees").tone(Tone::Good)
        } else {
            Cell::text("differs").tone(Tone::Bad)
        };
        let holds = copy.holds.map_or_else(|| Cell::text("nothing"), Cell::number);
        copies.row([Cell::text(&copy.column), holds, Cell::number(copy.should), agrees]);
    }
    copies
}

/// Of one of the others: may one more be used, and how much is.
fn other(known: &Known, view: &FeatureView) -> Other {
    let mut limits = known.standing.limits.iter();
    let limit = limits.find(|limit| limit.feature == view.feature);
    let (allowed, tone) = match limit.map(|limit| Verdict::of(limit, one()).is_allowed) {
        Some(true) => ("allowed", Tone::Good),
        Some(false) => ("refused", Tone::Bad),
        None => ("not known", Tone::Warning),
    };
    let used = grouped(&view.used.to_string());
    let used = match (view.allowance, view.percent) {
        (Some(allowance), Some(percent)) => {
            format!("{used} of {} ({percent} %)", grouped(&allowance.to_string()))
        }
        _ => format!("{used}, unlimited"),
    };
    let (name, query) = (said(&view.feature), query(view));
    Other { name, query, allowed, tone, used }
}
