//! The rule as a property: every zone of the tz database, 1970 to 2037.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeZone as _;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use periodd::billing::{Boundary, Calendar, Cycle, Instant, LocalDate, Period, TimeOfDay, Zone};
use periodd::tz::TzData;

use super::oracle::{Dates, Wall, first_second_by_minutes};

/// Cycle, anchor day and anchor month, in the schema's words.
const CYCLES: [(&str, i64, i64); 13] = [
    ("daily", 1, 1),
    ("weekly", 1, 1),
    ("weekly", 7, 1),
    ("monthly", 1, 1),
    ("monthly", 15, 1),
    ("monthly", 31, 1),
    ("quarterly", 31, 2),
    ("quarterly", 1, 12),
    ("semiannual", 30, 8),
    ("semiannual", 15, 1),
    ("yearly", 29, 2),
    ("yearly", 31, 2),
    ("yearly", 31, 12),
];

#[test]
fn periods_tile_in_every_zone_and_agree_with_what_the_clocks_showed() {
    let dates = Dates::all();
    let cycles = CYCLES.map(|(cycle, day, month)| {
        (Cycle::new(cycle, day, month).expect("a cycle"), dates.nominal(cycle, day, month))
    });
    in_every_zone(|zone, rules| {
        let wall = Wall::watch(rules);
        let interesting = interesting_instants(zone, &wall);
        let times = times_of_day(zone, &wall);
        let first_seconds = times.map(|time| wall.first_seconds(time));
        for (place, (cycle, nominal)) in cycles.iter().enumerate() {
            // Midnight for every cycle, and for each another one of the odd times.
            for which in [0, 1 + place % (times.len() - 1)] {
                let first_seconds = &first_seconds[which];
                let time = TimeOfDay::from_seconds(times[which]).expect("a time");
                let calendar = Calendar { zone: zone.clone(), cycle: *cycle, time };
                let mut expected: Vec<Boundary> = nominal
                    .iter()
                    .map(|&position| boundary(first_seconds[position], dates.at(position)))
                    .collect();
                // Two dates that fall on one instant are one boundary.
                expected.dedup_by_key(|boundary| boundary.at);
                assert!(expected.is_sorted_by(|a, b| a.at < b.at), "{calendar:?}: out of order");
                walk(&calendar, &expected);
                for &at in &interesting {
                    look_up(&calendar, &expected, at);
                }
            }
        }
    });
}

/// Midnight, a time that the clocks of the zone were moved over once, the second before it, and
/// two that chance picks: the same ones at every run.
fn times_of_day(zone: &Zone, wall: &Wall) -> [i64; 5] {
    let mut chance = fastrand::Rng::with_seed(zone.name().bytes().map(u64::from).sum());
    let changes: Vec<i64> = wall.changes().collect();
    let at = chance.choice(&changes).map_or(0, |at| *at);
    let instant = Instant::from_microseconds((at - 1) * 1_000_000).expect("in range");
    let before = zone.time_of_day(instant).seconds();
    let [one, other] = [(); 2].map(|()| chance.i64(0..86_400));
    [0, (before + 1 + chance.i64(0..3_600)) % 86_400, before, one, other]
}

/// Following each end from the first leads to every boundary, in order, once.
fn walk(calendar: &Calendar, expected: &[Boundary]) {
    let mut last = expected[0];
    for &expected in &expected[1..] {
        last = calendar.following(last).expect("in range");
        assert_eq!(
            last,
            expected,
            "{} {:?}",
            calendar.zone.name(),
            (calendar.cycle, calendar.time)
        );
    }
}

/// The period at an instant is the one between the boundaries around it.
fn look_up(calendar: &Calendar, boundaries: &[Boundary], at: Instant) {
    let next = boundaries.partition_point(|boundary| boundary.at <= at);
    let (Some(start), Some(end)) = (boundaries.get(next.wrapping_sub(1)), boundaries.get(next))
    else {
        return; // a yearly period that reaches beyond 1969 or 2038
    };
    let expected = (Period { start: start.at, end: end.at }, end.date);
    let found = calendar.period_at(at).expect("in range");
    let (zone, rule) = (calendar.zone.name(), (calendar.cycle, calendar.time));
    assert_eq!(found, expected, "{zone} {rule:?} at {at}");
    assert!(found.0.contains(at));
}

/// The microseconds around a few dozen changes of the zone's clocks, and instants picked by
/// chance (the same ones at every run).
fn interesting_instants(zone: &Zone, wall: &Wall) -> Vec<Instant> {
    let mut chance = fastrand::Rng::with_seed(zone.name().bytes().map(u64::from).sum());
    let range = second_of("1970-01-01T00:00:00Z")..second_of("2038-01-01T00:00:00Z");
    let changes: Vec<i64> = wall.changes().filter(|at| range.contains(at)).collect();
    let mut seconds = chance.choose_multiple(changes, 5);
    seconds.extend(std::iter::repeat_with(|| chance.i64(range.clone())).take(5));
    let around = |second: i64| [-1, 0, 1].map(|microsecond| second * 1_000_000 + microsecond);
    let mut instants: Vec<Instant> = seconds
        .into_iter()
        .flat_map(around)
        .map(|microseconds| Instant::from_microseconds(microseconds).expect("in range"))
        .collect();
    instants.sort_unstable();
    instants
}

#[test]
fn the_oracle_itself_follows_the_letter_of_the_rule() {
    let dates = Dates::all();
    // Midnights that are missing or double, a missing date, a half-hour change, a reform a year.
    for name in [
        "America/St_Johns",
        "America/Scoresbysund",
        "Pacific/Apia",
        "Pacific/Kwajalein",
        "Asia/Gaza",
        "Africa/Casablanca",
        "Australia/Lord_Howe",
        "Asia/Pyongyang",
    ] {
        let rules = TimeZoneDatabase::bundled().get(name).expect("a zone");
        let wall = Wall::watch(&rules);
        let range = second_of("1970-01-01T00:00:00Z")..second_of("2030-01-01T00:00:00Z");
        for time in [0, 30 * 60, 150 * 60, 23 * 3600 + 59 * 60] {
            let first_seconds = wall.first_seconds(time);
            for change in wall.changes().filter(|at| range.contains(at)) {
                let local = rules.to_datetime(jiff::Timestamp::from_second(change).unwrap());
                let position = dates.position(local.date());
                for (near, &found) in first_seconds.iter().enumerate().skip(position - 1).take(3) {
                    let literal = first_second_by_minutes(&rules, near, time);
                    assert_eq!(found, literal, "{name} {} and {time} s", dates.at(near));
                }
            }
        }
    }
}

#[test]
fn boundaries_come_from_the_freshest_tz_data() {
    let tz = TzData::newest();
    let vancouver = tz.zone("America/Vancouver").expect("a zone");
    let december = LocalDate(jiff::civil::date(2026, 12, 1));
    // British Columbia stays on summer time from 2026 on; tz data of 2025 says 08:00Z.
    assert_eq!(vancouver.first_instant(december).unwrap().to_string(), "2026-12-01T07:00:00Z");
}

#[test]
fn an_older_copy_of_the_tz_data_agrees_where_the_rules_do() {
    let different = Mutex::new(Vec::new());
    let compared = AtomicUsize::new(0);
    let dates = Dates::all();
    in_every_zone(|zone, rules| {
        let Ok(other) = zone.name().parse::<chrono_tz::Tz>() else { return };
        let mut days = dates.nominal("monthly", 1, 1);
        days.extend(dates.nominal("monthly", 15, 1));
        days.extend(Wall::watch(rules).changes().filter_map(|change| {
            let local = rules.to_datetime(jiff::Timestamp::from_second(change).ok()?);
            (1970..2025).contains(&local.year()).then(|| dates.position(local.date()))
        }));
        let days = days.into_iter().map(|day| dates.at(day));
        let mut wrong = days.filter(|date| (1970..2025).contains(&date.year())).filter(|date| {
            let midnight = chrono::NaiveDate::from_ymd_opt(
                date.year().into(),
                date.month().unsigned_abs().into(),
                date.day().unsigned_abs().into(),
            );
            let midnight = midnight.and_then(|date| date.and_hms_opt(0, 0, 0)).expect("a date");
            let Some(expected) = other.from_local_datetime(&midnight).single() else {
                return false; // double or missing: the other library leaves the choice to its user
            };
            compared.fetch_add(1, Ordering::Relaxed);
            let ours = zone.first_instant(LocalDate(*date)).expect("in range");
            ours.microseconds() != expected.timestamp_micros()
        });
        if let Some(date) = wrong.next() {
            different.lock().expect("no panic").push(format!("{} {date}", zone.name()));
        }
    });
    let mut different = different.into_inner().expect("no panic");
    different.sort();
    // The release after the older copy corrected the summers of Baja California before 1976.
    let corrected =
        ["America/Ensenada", "America/Santa_Isabel", "America/Tijuana", "Mexico/BajaNorte"];
    assert_eq!(different, corrected.map(|zone| format!("{zone} 1970-05-01")));
    assert!(compared.into_inner() > 500_000);
}

#[test]
fn zones_are_known_by_their_own_spelling_in_any_case_of_letters() {
    let system = TzData::system(std::path::Path::new("/usr/share/zoneinfo"));
    for tz in [Some(TzData::bundled()), system].into_iter().flatten() {
        let names = tz.names();
        assert!(names.len() > 400, "{} of {}", names.len(), tz.source());
        for name in names {
            let title_case_of_no_kind = name
                .char_indices()
                .map(
                    |(i, c)| {
                        if i % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
                    },
                )
                .collect();
            for spelling in
                [name.clone(), name.to_lowercase(), name.to_uppercase(), title_case_of_no_kind]
            {
                let zone = tz.zone(&spelling);
                assert_eq!(
                    zone.expect("a zone").name(),
                    name,
                    "from `{spelling}` ({})",
                    tz.source()
                );
            }
        }
        for refused in [
            "CET",
            "cet",
            "EST5EDT",
            "Etc/Unknown",
            "posix/UTC",
            "POSIX/Europe/Berlin",
            "right/UTC",
            "/etc/passwd",
            "../Europe/Berlin",
            "Europe/../Europe/Berlin",
            "",
            "/",
            "Mars/Phobos",
            "Europe/Berlin ",
            "Europe//Berlin",
            "UTC+1",
            "localtime",
            "GMT",
        ] {
            assert!(tz.zone(refused).is_err(), "`{refused}` was accepted ({})", tz.source());
        }
    }
}

/// Runs `check` for every zone of the bundled tz data, on all the machine's cores.
fn in_every_zone(check: impl Fn(&Zone, &TimeZone) + Sync) {
    let tz = TzData::bundled();
    let names = tz.names();
    assert!(names.len() > 400, "every zone, not only a few: {}", names.len());
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let zone = tz.zone(name).expect("every listed name is accepted");
                    let rules = TimeZoneDatabase::bundled().get(name).expect("the same database");
                    check(&zone, &rules);
                }
            });
        }
    });
}

fn boundary(second: i64, date: Date) -> Boundary {
    let at = Instant::from_microseconds(second * 1_000_000).expect("in range");
    Boundary { at, date: LocalDate(date) }
}

fn second_of(instant: &str) -> i64 {
    instant.parse::<jiff::Timestamp>().expect("an instant").as_second()
}
