//! Random orgs: where they are, what they are granted, what they use and buy, and when somebody
//! looks.
//!
//! Instants are drawn from a small pool, a microsecond more or less, so that uses, purchases,
//! expiries, ends of periods and passes fall on one instant as often as not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use jiff::civil::Date;
use periodd::billing::org::Subscription;
use periodd::billing::rollover::MINUTES;
use periodd::billing::{Calendar, Cycle, Instant, LocalDate, Period, Quantity, TimeOfDay, Zone};
use periodd::tz::TzData;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::periods::oracle::{Dates, Wall};

/// What is metered here.
pub(crate) const FEATURES: [&str; 2] = [MINUTES, "sms_sent"];
/// The tiers; the last one is where ended subscriptions go.
pub(crate) const TIERS: [&str; 3] = ["pro", "starter", "free"];

/// Zones, each with a date near which its clocks do something that is hard to follow.
const PLACES: [(&str, &str); 14] = [
    ("UTC", "2025-01-20"),
    ("Europe/Berlin", "2025-03-10"),
    ("America/Sao_Paulo", "2017-10-01"), // no midnight on October 15
    ("America/Havana", "2025-10-20"),    // midnight of November 2 happens twice
    ("Pacific/Apia", "2011-12-20"),      // no December 30
    ("Pacific/Kiritimati", "1994-12-20"),
    ("Pacific/Kwajalein", "1993-08-10"),
    ("Etc/GMT+12", "2026-05-20"),
    ("America/Vancouver", "2026-10-15"),
    ("America/Nuuk", "2024-03-15"),
    ("Africa/Cairo", "2014-05-01"),
    ("Asia/Kathmandu", "1985-12-20"),
    ("Australia/Lord_Howe", "2025-03-20"),
    ("Africa/Casablanca", "2026-02-01"),
];
/// Boundaries that a scenario knows ahead of its first.
const AHEAD: usize = 9;
/// Periods among which the pool's instants lie; passes look at most one period later.
const BUSY: usize = 5;

/// A scenario as drawn: small numbers that shrink well.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    place: usize,
    days_later: usize,
    schedule: Schedule,
    moved_to: Option<(usize, Schedule)>,
    knows_its_end_date: bool,
    starts_late: u8,
    pool: Vec<(i8, u8)>,
    scale: usize,
    tiers: Vec<Vec<Option<Grant>>>,
    overrides: Vec<Option<Grant>>,
    tier: usize,
    next_tier: Option<(usize, Option<Pick>)>,
    ends_at: Option<Pick>,
    uses: Vec<(usize, Pick, i8)>,
    packs: Vec<PackRecipe>,
    looks: Vec<(Pick, usize)>,
    last_look: (u8, u8, usize),
    everything_is_known: bool,
    /// When uses and packs come to light, where that is not at once.
    delays: Vec<Pick>,
    /// Feature, period and units that a fallen limit has left included.
    kept: Vec<(usize, usize, u8)>,
    /// Which features do not reset.
    levels: Vec<bool>,
    /// From when the org is paused, and until when.
    pause: Option<(Pick, Option<Pick>)>,
}

/// Cycle, anchor day, anchor month in the schema's words.
type Schedule = (&'static str, i64, i64, i64);
/// What is granted: `None` is unlimited.
type Grant = Option<u8>;
/// Feature, how much, bought when, expires when, and something for its id.
type PackRecipe = (usize, u8, Pick, Option<Pick>, u8);

/// One of the pool's instants, or a microsecond beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    which: usize,
    nudge: i8,
}

pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let instant = || {
        let nudge = prop_oneof![4 => Just(0_i8), 1 => Just(1), 1 => Just(-1)];
        (0..6_usize, nudge).prop_map(|(which, nudge)| Pick { which, nudge })
    };
    let grant = || prop_oneof![1 => Just(None), 8 => (0..9_u8).prop_map(Some)];
    let grants = || vec(option::of(grant()), FEATURES.len());
    let calendar = (
        0..PLACES.len(),
        0..45_usize,
        schedules(),
        option::weighted(0.3, (0..PLACES.len(), schedules())),
        any::<bool>(),
        prop_oneof![2 => Just(0_u8), 1 => 1..8_u8],
    );
    // Spread over many periods, or crowded into one, where draws and gives-back pile up.
    let pool = prop_oneof![vec((-1..=5_i8, 0..8_u8), 6), vec((0..=1_i8, 0..8_u8), 6)];
    let feature = || prop_oneof![3 => Just(0_usize), 1 => Just(1)];
    let granted = (
        vec(grants(), TIERS.len()),
        vec(option::weighted(0.2, grant()), FEATURES.len()),
        0..TIERS.len(),
        option::weighted(0.3, (0..TIERS.len(), option::of(instant()))),
        option::weighted(0.2, instant()),
    );
    let uses = vec((feature(), instant(), -9..12_i8), 0..14);
    let pack = (feature(), 1..12_u8, instant(), option::weighted(0.7, instant()), any::<u8>());
    let packs = vec(pack, 0..7);
    let looks = (vec((instant(), 1..=12_usize), 0..8), (0..=6_u8, 0..8_u8, 1..=12_usize));
    let kept = vec((0..FEATURES.len(), 0..BUSY, 0..12_u8), 0..3);
    let levels = vec(prop::bool::weighted(0.2), FEATURES.len());
    let pause = option::weighted(0.2, (instant(), option::of(instant())));
    let known = (any::<bool>(), vec(instant(), 4), kept, levels, pause);
    (calendar, pool, 0..4_usize, granted, uses, packs, looks, known).prop_map(
        |(calendar, pool, scale, granted, uses, packs, looks, known)| {
            let (everything_is_known, delays, kept, levels, pause) = known;
            let (place, days_later, schedule, moved_to, knows_its_end_date, starts_late) = calendar;
            let (tiers, overrides, tier, next_tier, ends_at) = granted;
            let (looks, last_look) = looks;
            Recipe {
                place,
                days_later,
                schedule,
                moved_to,
                knows_its_end_date,
                starts_late,
                pool,
                scale,
                tiers,
                overrides,
                tier,
                next_tier,
                ends_at,
                uses,
                packs,
                looks,
                last_look,
                everything_is_known,
                delays,
                kept,
                levels,
                pause,
            }
        },
    )
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let cycles = prop_oneof![
        Just(("daily", 1, 1)),
        (1..=7_i64).prop_map(|day| ("weekly", day, 1)),
        prop_oneof![Just(1), Just(31), 1..=31_i64].prop_map(|day| ("monthly", day, 1)),
        (1..=31_i64, 1..=12_i64).prop_map(|(day, month)| ("quarterly", day, month)),
        (1..=31_i64, 1..=12_i64).prop_map(|(day, month)| ("semiannual", day, month)),
        (1..=31_i64, 1..=12_i64).prop_map(|(day, month)| ("yearly", day, month)),
    ];
    let time = prop_oneof![3 => Just(0), 1 => Just(9_000), 1 => Just(52_330), 1 => Just(86_399)];
    (cycles, time).prop_map(|((cycle, day, month), time)| (cycle, day, month, time))
}

/// A use, or a correction of one.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) feature: &'static str,
    pub(crate) at: Instant,
    /// When it was written down.
    pub(crate) known: Instant,
    pub(crate) units: i64,
}

/// A pack that somebody buys.
#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) id: Uuid,
    pub(crate) feature: &'static str,
    pub(crate) units: i64,
    pub(crate) at: Instant,
    /// When it was written down.
    pub(crate) known: Instant,
    pub(crate) expires_at: Option<Instant>,
}

/// Somebody looks at the org and rolls over what is due, so many periods at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) now: Instant,
    pub(crate) max_periods: usize,
}

/// An org, everything that happens to it, and when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) zone: &'static str,
    pub(crate) schedule: Schedule,
    /// Start and end of the period that is open at first, then the ends that must follow.
    pub(crate) boundaries: Vec<Instant>,
    /// The dates that they stand for.
    pub(crate) dates: Vec<LocalDate>,
    pub(crate) end_date: Option<LocalDate>,
    /// How many millionths one unit of this scenario is.
    pub(crate) scale: i128,
    /// Units that each tier includes, by feature; an inner `None` is unlimited.
    pub(crate) limits: BTreeMap<(&'static str, &'static str), Option<i64>>,
    pub(crate) overrides: BTreeMap<&'static str, Option<i64>>,
    /// Units that stay included after a limit has fallen, by feature and number of the period.
    pub(crate) kept: BTreeMap<(&'static str, usize), i64>,
    /// The features that do not reset.
    pub(crate) levels: BTreeSet<&'static str>,
    /// From when the org is paused, and until when; `None` is for ever.
    pub(crate) pause: Option<(Instant, Option<Instant>)>,
    pub(crate) subscription: Subscription,
    pub(crate) uses: Vec<Use>,
    pub(crate) packs: Vec<Purchase>,
    /// Before the last one, in order.
    pub(crate) looks: Vec<Look>,
    pub(crate) last_look: Look,
    /// Are uses and packs known before they happen?
    pub(crate) everything_is_known: bool,
}

impl Scenario {
    pub(crate) fn of(recipe: &Recipe) -> Self {
        let Recipe { place, schedule, moved_to, .. } = recipe;
        let mut road = Road::begin(PLACES[*place], *schedule, recipe.days_later);
        let end_date = road.date();
        let (zone, schedule) = moved_to.unwrap_or((*place, *schedule));
        road.go_on(PLACES[zone].0, schedule);
        let (mut boundaries, dates) = (road.boundaries, road.dates);
        let length = boundaries[1].microseconds() - boundaries[0].microseconds();
        boundaries[0] = moved(boundaries[0], length / 8 * i64::from(recipe.starts_late));
        let pool: Vec<Instant> = recipe.pool.iter().map(|at| within(&boundaries, *at)).collect();
        let pick = |Pick { which, nudge }: Pick| moved(pool[which], nudge.into());
        let look =
            |(at, max_periods): &(Pick, usize)| Look { now: pick(*at), max_periods: *max_periods };
        let (period, eighth, max_periods) = recipe.last_look;
        let now = within(&boundaries, (i8::try_from(period).expect("few"), eighth));
        let mut looks: Vec<Look> = recipe.looks.iter().map(look).collect();
        looks.retain(|look| look.now <= now);
        looks.sort_by_key(|look| look.now);
        Self {
            zone: PLACES[zone].0,
            schedule,
            boundaries,
            dates,
            // A date that nobody stored is the nearest one's, which is this one's only where the
            // calendar is still the same.
            end_date: (recipe.knows_its_end_date || moved_to.is_some()).then_some(end_date),
            scale: [1_000_000, 1, 250_000, 1_000_000_000_000_000_001][recipe.scale],
            limits: limits(recipe),
            overrides: overrides(recipe),
            kept: kept(recipe),
            levels: FEATURES
                .into_iter()
                .zip(&recipe.levels)
                .filter_map(|(feature, is_level)| is_level.then_some(feature))
                .collect(),
            // The schema has no pause that ends before it begins.
            pause: recipe.pause.map(|(from, until)| {
                let from = pick(from);
                (from, until.map(|until| pick(until).max(from)))
            }),
            subscription: subscription(recipe, pick),
            uses: uses(recipe, pick),
            packs: purchases(recipe, pick),
            looks,
            last_look: Look { now, max_periods },
            everything_is_known: recipe.everything_is_known,
        }
    }

    /// The same, but uses and packs come to light late, and not in order.
    pub(crate) fn late(recipe: &Recipe) -> Self {
        let mut scenario = Self::of(recipe);
        let pool: Vec<Instant> =
            recipe.pool.iter().map(|at| within(&scenario.boundaries, *at)).collect();
        let mut delays = recipe.delays.iter().cycle().map(|pick| pool[pick.which]);
        let mut known = |at: Instant| delays.next().map_or(at, |delay| at.max(delay));
        for used in &mut scenario.uses {
            used.known = known(used.at);
        }
        for pack in &mut scenario.packs {
            pack.known = known(pack.at);
        }
        scenario.everything_is_known = false;
        scenario
    }

    pub(crate) fn quantity(&self, units: i64) -> Quantity {
        Quantity::from_millionths(i128::from(units) * self.scale).expect("in range")
    }

    pub(crate) fn calendar(&self) -> Calendar {
        let (cycle, day, month, time) = self.schedule;
        let cycle = Cycle::new(cycle, day, month).expect("a cycle");
        Calendar { zone: zone(self.zone, time).0, cycle, time: time_of_day(time) }
    }

    /// The period that begins at the boundary of that number.
    pub(crate) fn period(&self, number: usize) -> Period {
        Period { start: self.boundaries[number], end: self.boundaries[number + 1] }
    }
}

fn limits(recipe: &Recipe) -> BTreeMap<(&'static str, &'static str), Option<i64>> {
    let of_tier = |(tier, grants): (usize, &Vec<Option<Grant>>)| {
        let granted = grants.iter().zip(FEATURES);
        let rows = granted.filter_map(move |(grant, feature)| {
            Some(((TIERS[tier], feature), (*grant)?.map(i64::from)))
        });
        rows.collect::<Vec<_>>()
    };
    recipe.tiers.iter().enumerate().flat_map(of_tier).collect()
}

fn overrides(recipe: &Recipe) -> BTreeMap<&'static str, Option<i64>> {
    let rows = recipe.overrides.iter().zip(FEATURES);
    rows.filter_map(|(grant, feature)| Some((feature, (*grant)?.map(i64::from)))).collect()
}

fn kept(recipe: &Recipe) -> BTreeMap<(&'static str, usize), i64> {
    let row = |(feature, period, units): &(usize, usize, u8)| {
        ((FEATURES[*feature], *period), i64::from(*units))
    };
    recipe.kept.iter().map(row).collect()
}

fn subscription(recipe: &Recipe, pick: impl Fn(Pick) -> Instant) -> Subscription {
    let next = recipe.next_tier;
    Subscription {
        tier: TIERS[recipe.tier].to_owned(),
        next_tier: next.map(|(tier, _)| TIERS[tier].to_owned()),
        next_tier_at: next.and_then(|(_, at)| at).map(&pick),
        status: Some("active".to_owned()),
        ends_at: recipe.ends_at.map(&pick),
    }
}

fn uses(recipe: &Recipe, pick: impl Fn(Pick) -> Instant) -> Vec<Use> {
    let row = |(feature, at, units): &(usize, Pick, i8)| Use {
        feature: FEATURES[*feature],
        at: pick(*at),
        known: pick(*at),
        units: i64::from(*units),
    };
    recipe.uses.iter().map(row).collect()
}

fn purchases(recipe: &Recipe, pick: impl Fn(Pick) -> Instant) -> Vec<Purchase> {
    let row = |(place, (feature, units, bought, expires, id)): (usize, &PackRecipe)| {
        let at = pick(*bought);
        Purchase {
            id: Uuid::from_u128((u128::from(*id) << 64) + place as u128),
            feature: FEATURES[*feature],
            units: i64::from(*units),
            at,
            known: at,
            // The schema has no pack that expires before it is bought.
            expires_at: expires.map(|expires| pick(expires).max(moved(at, 1))),
        }
    };
    recipe.packs.iter().enumerate().map(row).collect()
}

/// That many eighths into a period; the one before the first is taken to be as long as the first.
fn within(boundaries: &[Instant], (number, eighth): (i8, u8)) -> Instant {
    let number = number.min(i8::try_from(BUSY).expect("few") + 1);
    let start = usize::try_from(number).unwrap_or(0);
    let length = boundaries[start + 1].microseconds() - boundaries[start].microseconds();
    let from = if number < 0 { moved(boundaries[0], -length) } else { boundaries[start] };
    moved(from, length / 8 * i64::from(eighth))
}

fn moved(at: Instant, microseconds: i64) -> Instant {
    Instant::from_microseconds(at.microseconds() + microseconds).expect("in range")
}

/// A walk over boundaries as the rule's text has them: from one nominal date to the next, each at
/// the first instant at which the clocks showed it.
struct Road {
    boundaries: Vec<Instant>,
    dates: Vec<LocalDate>,
    last: usize,
}

static DATES: LazyLock<Dates> = LazyLock::new(Dates::all);

impl Road {
    fn begin((name, near): (&str, &str), schedule: Schedule, days_later: usize) -> Self {
        let near = DATES.position(near.parse::<Date>().expect("a date")) + days_later;
        let (_, first) = zone(name, schedule.3);
        let mut dates = nominal(schedule).into_iter().filter(|date| *date >= near);
        let start = dates.next().expect("a boundary");
        let end = dates.find(|date| first[*date] > first[start]).expect("another");
        let dates = [start, end].map(|date| LocalDate(DATES.at(date))).to_vec();
        Self { boundaries: vec![instant(first[start]), instant(first[end])], dates, last: end }
    }

    fn date(&self) -> LocalDate {
        LocalDate(DATES.at(self.last))
    }

    /// The first later nominal date whose boundary lies after the last one, again and again.
    fn go_on(&mut self, name: &str, schedule: Schedule) {
        let (_, first) = zone(name, schedule.3);
        let nominal = nominal(schedule);
        for _ in 0..AHEAD {
            let end = *self.boundaries.last().expect("two");
            let later = |date: &&usize| **date > self.last && instant(first[**date]) > end;
            self.last = *nominal.iter().find(later).expect("a boundary before 2038");
            self.boundaries.push(instant(first[self.last]));
            self.dates.push(self.date());
        }
    }
}

fn nominal((cycle, day, month, _): Schedule) -> Vec<usize> {
    type Known = BTreeMap<(&'static str, i64, i64), Vec<usize>>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("unpoisoned");
    known.entry((cycle, day, month)).or_insert_with(|| DATES.nominal(cycle, day, month)).clone()
}

/// The time of day that many seconds after midnight.
pub(crate) fn time_of_day(seconds: i64) -> TimeOfDay {
    TimeOfDay::from_seconds(seconds).expect("a time of day")
}

/// A zone, and the first second of every date there at or after a time of day.
fn zone(name: &str, time: i64) -> (Zone, Arc<Vec<i64>>) {
    type Known = BTreeMap<(String, i64), (Zone, Arc<Vec<i64>>)>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    static TZ: LazyLock<TzData> = LazyLock::new(TzData::bundled);
    let mut known = KNOWN.lock().expect("unpoisoned");
    let look_up = || {
        let rules = jiff::tz::TimeZoneDatabase::bundled().get(name).expect("a zone");
        (TZ.zone(name).expect("a zone"), Arc::new(Wall::watch(&rules).first_seconds(time)))
    };
    known.entry((name.to_owned(), time)).or_insert_with(look_up).clone()
}

fn instant(second: i64) -> Instant {
    Instant::from_microseconds(second * 1_000_000).expect("in range")
}
