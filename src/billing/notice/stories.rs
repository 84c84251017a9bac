//! What is told when, kind by kind: each look with what it says, and what it has recorded since.

use jiff::tz::TimeZoneDatabase;
use uuid::Uuid;

use super::ahead::{DaysBefore, Subscribed};
use super::packs::PackAhead;
use super::reached::LimitReached;
use super::runs_out::{CounterAhead, Outlook};
use super::sold::Sold;
use super::summary::Closed;
use super::user_limit::OwnCounter;
use super::{
    Decided, Kind, Notice, Part, RunsOut, Seen, SeenState, Used, packs, reached, runs_out, sold,
    summary, user_limit,
};
use crate::billing::forecast::Forecast;
use crate::billing::forecast::backtest::{Comparison, Method, RunOut};
use crate::billing::{Instant, LocalDate, Period, Quantity, Zone};

fn zone() -> Zone {
    let name = "Europe/Berlin";
    Zone::new(name, TimeZoneDatabase::bundled().get(name).unwrap())
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn units(units: i64) -> Quantity {
    Quantity::units(units)
}

/// What looks have recorded.
#[derive(Default)]
struct Book(Vec<Seen>);

impl Book {
    /// Records what a look decided, and returns the keys that tell something.
    fn records(&mut self, decided: Vec<Decided>, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        for one in decided {
            let Decided { kind, key, part, .. } = one;
            let allowance = match &part {
                Part::Tells(Notice::RunsOut(one)) => Some(one.allowance),
                _ => None,
            };
            if matches!(part, Part::Tells(_)) {
                told.push(key.clone());
            }
            let state = SeenState::Told;
            self.0.push(Seen { kind, key, state, decided_at: now, allowance });
        }
        told
    }
}

/// An org on pro whose periods end with each month, in Berlin.
fn subscribed<'a>(zone: &'a Zone, ends: &'a [Instant], day_ends: &'a [Instant]) -> Subscribed<'a> {
    Subscribed {
        zone,
        ends,
        day_ends,
        status: Some("active"),
        tier: ("pro", "Pro"),
        next_tier: None,
        next_tier_at: None,
        subscription_ends_at: None,
        ended_tier: ("free", "Free"),
    }
}

/// June 1 and July 1, and the ends of these days.
fn boundaries() -> ([Instant; 2], [Instant; 2]) {
    let ends = ["2026-05-31T22:00:00Z", "2026-06-30T22:00:00Z"];
    let day_ends = ["2026-06-01T22:00:00Z", "2026-07-01T22:00:00Z"];
    (ends.map(at), day_ends.map(at))
}

const DAYS: DaysBefore<'static> =
    DaysBefore { subscription_ends: &[7, 1], trial_ends: &[3, 1], tier_changes: &[7] };

#[test]
fn the_end_of_a_subscription_is_told_on_the_days_before_its_boundary() {
    let (zone, (ends, day_ends)) = (zone(), boundaries());
    let ending = Some(at("2026-05-20T12:00:00Z"));
    let org = Subscribed { subscription_ends_at: ending, ..subscribed(&zone, &ends, &day_ends) };
    let mut book = Book::default();
    let mut look = |now: &str| {
        let decided = org.decide(DAYS, at(now), &book.0);
        book.records(decided, at(now))
    };
    // It ends on May 20, which means the boundary of June 1: seven days before that is May 25.
    assert_eq!(look("2026-05-24T21:59:59Z"), [""; 0]);
    assert_eq!(look("2026-05-24T22:00:00Z"), ["2026-05-31T22:00:00Z/7"]);
    assert_eq!(look("2026-05-24T22:00:00Z"), [""; 0]);
    assert_eq!(look("2026-05-30T21:59:59Z"), [""; 0]);
    assert_eq!(look("2026-05-30T22:00:00Z"), ["2026-05-31T22:00:00Z/1"]);
    assert_eq!(look("2026-05-31T21:59:59Z"), [""; 0]);
    assert_eq!(look("2026-05-31T22:00:00Z"), [""; 0], "nothing after the fact");
}

#[test]
fn a_late_look_tells_the_nearest_and_never_the_others() {
    let (zone, (ends, day_ends)) = (zone(), boundaries());
    let ending = Some(at("2026-05-20T12:00:00Z"));
    let org = Subscribed { subscription_ends_at: ending, ..subscribed(&zone, &ends, &day_ends) };
    let now = at("2026-05-31T10:00:00Z");
    let decided = org.decide(DAYS, now, &[]);
    let parts: Vec<bool> = decided.iter().map(|one| one.part == Part::Covered).collect();
    assert_eq!(parts, [false, true]);
    let mut book = Book::default();
    assert_eq!(book.records(decided, now), ["2026-05-31T22:00:00Z/1"]);
    assert_eq!(org.decide(DAYS, now, &book.0), []);
    // What waits for somebody to tell is told again.
    book.0[0].state = SeenState::Waiting;
    assert_eq!(org.decide(DAYS, now, &book.0).len(), 1);
}

#[test]
fn trials_and_tiers_are_kinds_of_their_own() {
    let (zone, (ends, day_ends)) = (zone(), boundaries());
    let now = at("2026-05-29T10:00:00Z");
    let kinds = |org: &Subscribed<'_>| -> Vec<Kind> {
        org.decide(DAYS, now, &[]).iter().map(|one| one.kind).collect()
    };
    let plain = subscribed(&zone, &ends, &day_ends);
    assert_eq!(kinds(&plain), []);
    let ending = Subscribed { subscription_ends_at: Some(now), ..plain.clone() };
    let trial = Subscribed { status: Some("trialing"), ..ending.clone() };
    assert_eq!(kinds(&trial), [Kind::TrialEnds]);
    let next = Subscribed { next_tier: Some(("business", "Business")), ..plain.clone() };
    assert_eq!(kinds(&next), [Kind::TierChanges]);
    // At the same boundary the subscription says both; the same tier is no change.
    let both = Subscribed { next_tier: next.next_tier, ..ending };
    assert_eq!(kinds(&both), [Kind::SubscriptionEnds]);
    let same = Subscribed { next_tier: Some(("pro", "Pro")), ..plain.clone() };
    assert_eq!(kinds(&same), []);
    // Set for July: that is more than a week ahead.
    let later = Subscribed { next_tier_at: Some(at("2026-06-10T00:00:00Z")), ..next };
    assert_eq!(kinds(&later), []);
    let never = Subscribed { subscription_ends_at: Some(Instant::NEVER), ..plain };
    assert_eq!(kinds(&never), []);
}

fn pack(number: u128, remaining: i64, expires: &str) -> PackAhead {
    PackAhead {
        pack: Uuid::from_u128(number),
        feature: "minutes".to_owned(),
        remaining: units(remaining),
        purchased_at: at("2026-04-01T00:00:00Z"),
        expires_at: at(expires),
        undrawn: Quantity::ZERO,
    }
}

/// What is left of the packs that a decision tells of, in its order.
fn left(decided: &[Decided]) -> Vec<Quantity> {
    let told = decided.iter().find_map(|one| match &one.part {
        Part::Tells(Notice::PackExpires(one)) => Some(&one.packs),
        _ => None,
    });
    told.into_iter().flatten().map(|pack| pack.left).collect()
}

#[test]
fn packs_of_a_day_are_one_notice_in_the_order_in_which_they_pay() {
    let zone = zone();
    let packs = [pack(2, 50, "2026-06-01T10:00:00Z"), pack(1, 30, "2026-06-01T08:00:00Z")];
    let now = at("2026-05-25T06:00:00Z");
    let decided = packs::decide(&packs, &[7, 1], now, &zone, &[]).unwrap();
    assert_eq!(left(&decided), [units(30), units(50)]);
    assert_eq!(decided[1].part, Part::With);
    let mut book = Book::default();
    assert_eq!(book.records(decided, now).len(), 1);
    assert_eq!(packs::decide(&packs, &[7, 1], now, &zone, &book.0).unwrap(), []);
    let last = at("2026-05-31T06:00:00Z");
    assert_eq!(packs::decide(&packs, &[7, 1], last, &zone, &book.0).unwrap().len(), 2);
    let after = at("2026-06-01T10:00:00Z");
    assert_eq!(packs::decide(&packs, &[7, 1], after, &zone, &[]).unwrap(), []);
}

#[test]
fn what_usage_has_claimed_of_packs_is_not_left() {
    let zone = zone();
    let now = at("2026-05-31T06:00:00Z");
    let packs = [pack(1, 30, "2026-06-01T08:00:00Z"), pack(2, 50, "2026-06-01T10:00:00Z")];
    let claimed = packs.map(|pack| PackAhead { undrawn: units(40), ..pack });
    assert_eq!(left(&packs::decide(&claimed, &[1], now, &zone, &[]).unwrap()), [units(40)]);
    let all = claimed.map(|pack| PackAhead { undrawn: units(80), ..pack });
    assert_eq!(packs::decide(&all, &[1], now, &zone, &[]).unwrap(), []);
}

#[test]
fn a_second_notice_of_a_day_waits_for_tomorrow_if_there_is_one() {
    let zone = zone();
    let now = at("2026-05-25T06:00:00Z");
    let first = pack(1, 30, "2026-06-01T08:00:00Z");
    let mut book = Book::default();
    let decided = packs::decide(std::slice::from_ref(&first), &[7, 1], now, &zone, &[]).unwrap();
    book.records(decided, now);
    let (soon, later) = (pack(2, 5, "2026-05-26T12:00:00Z"), pack(3, 5, "2026-05-28T12:00:00Z"));
    let bought = [first, soon, later];
    let decided = packs::decide(&bought, &[7, 1], now, &zone, &book.0).unwrap();
    assert_eq!(left(&decided), [units(5)], "the one that expires tomorrow cannot wait");
    book.records(decided, now);
    let tomorrow = at("2026-05-26T06:00:00Z");
    let decided = packs::decide(&bought[2..], &[7, 1], tomorrow, &zone, &book.0).unwrap();
    assert_eq!(left(&decided), [units(5)]);
}

const MAY: [&str; 2] = ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"];

fn may() -> Period {
    Period { start: at(MAY[0]), end: at(MAY[1]) }
}

/// A counter at 320 of an allowance, with so much expected at the end.
fn counter(allowance: i64, expected: i64, error: u64) -> CounterAhead<'static> {
    let used_up_on = (expected >= allowance).then(|| "2026-05-20".parse::<LocalDate>().unwrap());
    CounterAhead {
        feature: "minutes",
        period: may(),
        used: units(320),
        allowance: units(allowance),
        forecast: Some(Forecast { used_up_on, expected_at_end: units(expected) }),
        error,
    }
}

#[test]
fn what_runs_out_is_told_once_and_again_after_a_purchase_was_used_up() {
    let now = at("2026-05-14T00:00:00Z");
    let mut book = Book::default();
    let mut look = |counter: &CounterAhead<'_>| match runs_out::decide(counter, now, &book.0) {
        Ok(Outlook::Tell(decided)) => book.records(vec![decided], now).concat(),
        Ok(Outlook::Withdraw(key)) => {
            let seen = book.0.iter_mut().find(|seen| seen.key == key).unwrap();
            seen.state = SeenState::Withdrawn;
            format!("not {key}")
        }
        Ok(Outlook::Nothing) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(look(&counter(600, 800, 100)), "2026-05-01T00:00:00Z/minutes/1");
    assert_eq!(look(&counter(600, 900, 100)), "");
    // Slower usage is noise, and withdraws nothing; a purchase that is not enough says nothing.
    assert_eq!(look(&counter(600, 500, 100)), "");
    assert_eq!(look(&counter(700, 800, 100)), "");
    assert_eq!(look(&counter(900, 800, 100)), "not 2026-05-01T00:00:00Z/minutes/1");
    assert_eq!(look(&counter(900, 800, 100)), "");
    assert_eq!(look(&counter(900, 1100, 100)), "2026-05-01T00:00:00Z/minutes/2");
}

#[test]
fn what_is_within_the_error_of_forecasts_is_not_told() {
    let tells = |counter: &CounterAhead<'_>, now: &str| {
        matches!(runs_out::decide(counter, at(now), &[]), Ok(Outlook::Tell(_)))
    };
    let middle = "2026-05-14T00:00:00Z";
    assert!(!tells(&counter(600, 660, 100), middle), "660 less 10 % are 594");
    assert!(tells(&counter(600, 670, 100), middle));
    assert!(tells(&counter(600, 610, 0), middle));
    assert!(!tells(&counter(600, 5_000, 1_000), middle), "nothing can be foreseen of this org");
    let unknown = CounterAhead { forecast: None, ..counter(600, 800, 0) };
    assert!(!tells(&unknown, middle), "less than a week of history");
    let reached = CounterAhead { used: units(600), ..counter(600, 800, 0) };
    assert!(!tells(&reached, middle));
    // The last tenth of May begins on May 28 at 21:36.
    assert!(tells(&counter(600, 800, 0), "2026-05-28T21:36:00Z"));
    assert!(!tells(&counter(600, 800, 0), "2026-05-28T21:36:01Z"));
    assert!(!tells(&counter(600, 800, 0), "2026-06-01T00:00:00Z"));
}

#[test]
fn the_error_is_the_median_of_the_same_quarter() {
    let compared = |percent, method, total_error| Comparison {
        percent,
        method,
        total_error,
        run_out: RunOut::None,
    };
    let all = [
        compared(50, Method::Weekdays, 300),
        compared(50, Method::Weekdays, 40),
        compared(50, Method::Weekdays, 80),
        compared(50, Method::StraightLine, 1),
        compared(25, Method::Weekdays, 900),
    ];
    assert_eq!(runs_out::error(&all, may(), at("2026-05-16T12:00:00Z")), 80);
    assert_eq!(runs_out::error(&all, may(), at("2026-05-03T00:00:00Z")), 900);
    assert_eq!(runs_out::error(&[], may(), at("2026-05-16T12:00:00Z")), 100);
}

#[test]
fn a_limit_that_stays_exceeded_is_told_every_so_many_days() {
    let reached = LimitReached {
        feature: "minutes",
        period: may(),
        used: units(640),
        allowance: units(600),
        generation: 1,
        told_at: at("2026-05-10T09:00:00Z"),
    };
    let mut book = Book::default();
    let mut look = |reached: &LimitReached<'_>, now: &str| {
        let decided = reached::decide(reached, 7, at(now), &book.0);
        book.records(decided.into_iter().collect(), at(now)).concat()
    };
    assert_eq!(look(&reached, "2026-05-17T08:59:59Z"), "");
    assert_eq!(look(&reached, "2026-05-17T09:00:00Z"), "2026-05-01T00:00:00Z/minutes/1/1");
    assert_eq!(look(&reached, "2026-05-20T09:00:00Z"), "");
    let raised = LimitReached { allowance: units(700), ..reached };
    assert_eq!(look(&raised, "2026-05-24T09:00:00Z"), "", "it is exceeded no more");
    assert_eq!(look(&reached, "2026-05-31T09:00:00Z"), "2026-05-01T00:00:00Z/minutes/1/3");
    assert_eq!(look(&reached, "2026-06-01T09:00:00Z"), "", "the period is over");
}

#[test]
fn operators_hear_once_that_an_org_was_set_aside() {
    let since = at("2026-05-10T09:00:00Z");
    let decide = |now: &str, seen: &[Seen]| {
        reached::parked(since, Some("unknown_zone"), "unknown zone", at(now), seen).unwrap()
    };
    let decided = decide("2026-05-10T09:00:00Z", &[]).unwrap();
    let mut book = Book::default();
    book.records(vec![decided], since);
    assert_eq!(decide("2026-05-10T10:00:00Z", &book.0), None);
    assert_eq!(decide("2026-05-13T09:00:00Z", &[]), None, "not days after the fact");
}

#[test]
fn a_notice_is_its_own_payload() {
    let period = may();
    let notice = Notice::RunsOut(RunsOut {
        feature: "minutes".to_owned(),
        period_start: period.start,
        period_end: period.end,
        used: "320.5".parse().unwrap(),
        allowance: units(600),
        expected_at_end: units(800),
        about: "2026-05-20".parse().unwrap(),
    });
    let json = serde_json::to_string(&notice).unwrap();
    assert!(json.starts_with(r#"{"kind":"runs_out","feature":"minutes""#), "{json}");
    assert_eq!(serde_json::from_str::<Notice>(&json).unwrap(), notice);
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
}

fn used(feature: &str, quantity: i64) -> Used {
    let nothing = Quantity::ZERO;
    let (used, included) = (units(quantity), Some(units(600)));
    Used { feature: feature.to_owned(), used, included, drawn: nothing, uncovered: nothing }
}

/// Acme's May, with June open.
fn closed_may() -> Closed {
    Closed {
        period: Period { start: at("2026-04-30T22:00:00Z"), end: at("2026-05-31T22:00:00Z") },
        open: Period { start: at("2026-05-31T22:00:00Z"), end: at("2026-06-30T22:00:00Z") },
        is_paused: false,
        features: vec![used("minutes_transcribed", 320)],
        later: Vec::new(),
    }
}

#[test]
fn a_close_is_told_of_once_within_a_week() {
    let mut book = Book::default();
    let mut look = |closed: Closed, now: &str| {
        let decided = summary::decide(closed, at(now), &book.0).unwrap();
        book.records(decided.into_iter().collect(), at(now)).len()
    };
    assert_eq!(look(closed_may(), "2026-05-31T21:59:59Z"), 0, "it has not ended");
    // Nothing was used, or the org was paused all the time.
    assert_eq!(look(Closed { features: Vec::new(), ..closed_may() }, "2026-05-31T22:10:00Z"), 0);
    assert_eq!(look(Closed { is_paused: true, ..closed_may() }, "2026-05-31T22:10:00Z"), 0);
    assert_eq!(look(closed_may(), "2026-06-07T22:00:00Z"), 0, "that is too long ago");
    assert_eq!(look(closed_may(), "2026-06-07T21:59:59Z"), 1);
    assert_eq!(look(closed_may(), "2026-06-07T21:59:59Z"), 0);
}

#[test]
fn of_missed_periods_the_last_one_is_told_of() {
    // May is closed, and June has ended: it is about to be closed as well.
    let now = at("2026-07-01T06:00:00Z");
    let open = Period { start: closed_may().period.end, end: at("2026-06-30T22:00:00Z") };
    assert_eq!(summary::decide(Closed { open, ..closed_may() }, now, &[]), Ok(None));
    // June is closed since then: what is said of May is over.
    let later = Period { start: open.end, end: at("2026-07-31T22:00:00Z") };
    let at_once = at("2026-06-01T06:00:00Z");
    assert_eq!(summary::decide(Closed { open: later, ..closed_may() }, at_once, &[]), Ok(None));
    let told = summary::decide(closed_may(), at_once, &[]).unwrap().unwrap();
    let Part::Tells(notice) = told.part else { panic!("no notice") };
    let closed = |start| super::Standing { closed_start: Some(start), ..Default::default() };
    assert!(!notice.is_over(closed(closed_may().period.start), now));
    assert!(notice.is_over(closed(open.start), now));
}

#[test]
fn a_long_summary_says_that_it_is_cut() {
    let features = (0..51).map(|number| used(&format!("feature_{number}"), 1)).collect();
    let now = at("2026-06-01T06:00:00Z");
    let told = summary::decide(Closed { features, ..closed_may() }, now, &[]).unwrap().unwrap();
    let Part::Tells(Notice::Summary(said)) = told.part else { panic!("no notice") };
    assert!(said.is_cut && said.features.len() == 50);
}

#[test]
fn a_user_is_told_of_the_highest_threshold_once_per_limit() {
    let mut book = Book::default();
    let period = closed_may().open;
    let mut look = |quantity, limit, now: &str| {
        let (used, included) = (units(quantity), units(limit));
        let user = Uuid::from_u128(7);
        let counter = OwnCounter { user, feature: "scrapes", period, used, included };
        let decided = user_limit::decide(&counter, &[80, 90, 100], at(now), &book.0);
        book.records(decided, at(now))
    };
    let now = "2026-06-10T06:00:00Z";
    assert!(look(79, 100, now).is_empty());
    let told = look(95, 100, now);
    assert!(told.len() == 1 && told[0].ends_with("/scrapes/100/90"), "{told:?}");
    assert!(look(95, 100, now).is_empty(), "80 is covered");
    assert_eq!(look(100, 100, now).len(), 1);
    assert!(look(150, 100, now).is_empty());
    // Another limit is told of again; the period is over at its end.
    assert_eq!(look(150, 180, now).len(), 1);
    assert!(look(180, 180, "2026-06-30T22:00:00Z").is_empty());
    // Nothing used is no news, however low the limit.
    assert!(look(0, 0, now).is_empty());
}

#[test]
fn a_purchase_without_a_pack_is_told_where_more_was_sold_than_before() {
    let mut book = Book::default();
    let mut look = |quantity, granted| {
        let (quantity, granted) = (units(quantity), units(granted));
        let (column, feature) = ("organizations.overage_minutes", "minutes_transcribed");
        let sold = Sold { column, row: Uuid::from_u128(7), feature, quantity, granted };
        let now = at("2026-06-10T06:00:00Z");
        let decided = sold::decide(&sold, &book.0, now).unwrap();
        !book.records(decided.into_iter().collect(), now).is_empty()
    };
    assert!(look(300, 0));
    assert!(!look(300, 0), "nothing is new");
    assert!(!look(299, 0) && !look(40, 0), "the application lowers the column");
    assert!(look(310, 0), "more was sold");
    assert!(look(300, 300), "a pack was granted in between");
}
