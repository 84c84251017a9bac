//! Charts of every kind, as they are met: on a usual day, at the edges, and where things go wrong.

use jiff::SignedDuration;
use periodd::billing::quota::Included;
use periodd::billing::{Instant, LocalDate, Period, Quantity, Zone};
use periodd::charts::closes::{Close, Closes};
use periodd::charts::days::{Day, Days};
use periodd::charts::drawdown::{self, Drawdown, Kind, Step};
use periodd::charts::lanes::{ClockChange, Job, Lanes, Outcome, Pause, Run};
use periodd::charts::lateness::{Boundary, Lateness};
use periodd::charts::period::{Course, Expected, Forecast, Pack, Point, Threshold};
use periodd::charts::tenths::{Before, Tenths};
use periodd::charts::wave::{End, State, Wave};
use periodd::charts::{Chart, When, Width};
use periodd::tz::TzData;

/// What anybody may call a feature, a pack or a job.
pub(crate) const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\u{202e}\"]]>&amp;'=cmd\u{0}\u{7}\n",
    "</text></svg><style>*{}</style>",
    "\u{fdfd}\u{1242b}\u{fffe}🦀🦀🦀",
    "minutes_of_transcription_with_a_name_that_somebody_did_not_think_about_for_long",
    "",
];

pub(crate) fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

pub(crate) fn zone(name: &str) -> Zone {
    TzData::bundled().zone(name).expect("a zone")
}

pub(crate) fn hours(at: Instant, hours: i64) -> Instant {
    at.plus(SignedDuration::from_hours(hours)).expect("an instant")
}

/// A chart by its name, for a width.
pub(crate) type Sample = (String, Box<dyn Fn(Width) -> Chart>);

/// Every sample.
pub(crate) fn all() -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    let mut add = |name: &str, chart: Box<dyn Fn(Width) -> Chart>| {
        all.push((name.to_owned(), chart));
    };
    for (name, wave) in [
        ("wave-usual", wave("2026-11-23T12:40:05Z", true)),
        ("wave-change", wave("2026-03-28T21:30:00Z", false)),
        (
            "wave-few",
            Wave {
                ends: wave("2026-11-23T12:40:05Z", false).ends[..3].to_vec(),
                ..wave("2026-11-23T12:40:05Z", false)
            },
        ),
        ("wave-empty", Wave { now: at("2026-11-23T12:40:05Z"), ends: Vec::new() }),
    ] {
        add(name, Box::new(move |width| wave.chart(width, &When::utc())));
    }
    for (name, course, zone_name) in courses() {
        let when = When::local(zone(zone_name));
        add(name, Box::new(move |width| course.chart(width, &when)));
    }
    let berlin = When::local(zone("Europe/Berlin"));
    let when = berlin.clone();
    add("drawdown-usual", Box::new(move |width| packs(3).chart(width, &when)));
    let when = berlin.clone();
    add("drawdown-many", Box::new(move |width| packs(14).chart(width, &when)));
    let when = berlin.clone();
    add("closes-usual", Box::new(move |width| closes(11).chart(width, &when)));
    let when = berlin.clone();
    add("closes-few", Box::new(move |width| closes(2).chart(width, &when)));
    let when = When::utc();
    add("lanes-day", Box::new(move |width| lanes(24).chart(width, &when)));
    add("lanes-week", Box::new(move |width| lanes(168).chart(width, &berlin)));
    add("tenths-usual", Box::new(|width| tenths().chart(width)));
    add("days-usual", Box::new(|width| days(Some(10_000)).chart(width)));
    let when = When::utc();
    add("lateness-usual", Box::new(move |width| lateness(false).chart(width, &when)));
    let when = When::utc();
    add("lateness-broken", Box::new(move |width| lateness(true).chart(width, &when)));
    all
}

/// The orgs of a company with customers everywhere.
const ORGS: [(&str, u64); 41] = [
    ("Pacific/Kiritimati", 9),
    ("Pacific/Auckland", 212),
    ("Pacific/Apia", 6),
    ("Pacific/Fiji", 21),
    ("Australia/Sydney", 640),
    ("Australia/Melbourne", 301),
    ("Australia/Adelaide", 88),
    ("Australia/Brisbane", 190),
    ("Australia/Darwin", 12),
    ("Asia/Tokyo", 940),
    ("Asia/Seoul", 410),
    ("Asia/Singapore", 520),
    ("Asia/Shanghai", 480),
    ("Australia/Perth", 77),
    ("Asia/Bangkok", 166),
    ("Asia/Dhaka", 70),
    ("Asia/Kathmandu", 14),
    ("Asia/Kolkata", 1_210),
    ("Asia/Karachi", 90),
    ("Asia/Dubai", 160),
    ("Asia/Kabul", 40),
    ("Asia/Beirut", 35),
    ("Europe/Istanbul", 180),
    ("Africa/Cairo", 60),
    ("Europe/Helsinki", 110),
    ("Europe/Berlin", 1_880),
    ("Europe/Paris", 800),
    ("Africa/Lagos", 150),
    ("Europe/London", 1_490),
    ("Atlantic/Azores", 5),
    ("Atlantic/South_Georgia", 1),
    ("America/Sao_Paulo", 430),
    ("America/St_Johns", 8),
    ("America/Halifax", 50),
    ("America/New_York", 2_740),
    ("America/Toronto", 700),
    ("America/Chicago", 1_310),
    ("America/Denver", 310),
    ("America/Los_Angeles", 1_990),
    ("America/Anchorage", 22),
    ("Pacific/Honolulu", 31),
];

/// The midnights around an instant; with `late`, Apia is overdue.
pub(crate) fn wave(now: &str, late: bool) -> Wave {
    let now = at(now);
    let tz = TzData::bundled();
    let mut ends = Vec::new();
    for (name, orgs) in ORGS {
        let zone = tz.zone(name).expect("a zone");
        let mut date = zone.date(hours(now, -30));
        for _ in 0..4 {
            let midnight = zone.first_instant(date).expect("an instant");
            let state = if midnight > now {
                State::Ahead
            } else if late && name == "Pacific/Apia" {
                State::Overdue
            } else {
                State::Closed { late: SignedDuration::from_millis(400) }
            };
            if hours(now, -3) <= midnight && midnight <= hours(now, 24) {
                ends.push(End::of(&zone, midnight, now, orgs, state));
            }
            date = LocalDate(date.0.tomorrow().expect("a date"));
        }
    }
    Wave { now, ends }
}

/// Usage at the end of each local day, cumulative, up to now.
fn points(zone: &Zone, period: Period, now: Instant, daily: &[i64]) -> Vec<Point> {
    let mut points = vec![point(period.start, 0)];
    let mut date = zone.date(period.start);
    let mut sum = 0;
    for number in 0.. {
        date = LocalDate(date.0.tomorrow().expect("a date"));
        let end = zone.first_instant(date).expect("an instant").min(now).min(period.end);
        sum += daily[number % daily.len()];
        points.push(point(end, sum));
        if end >= now.min(period.end) {
            break;
        }
    }
    points
}

fn point(at: Instant, counted: i64) -> Point {
    let counted = Quantity::units(counted);
    Point { at, counted, late: Quantity::ZERO, uncounted: Quantity::ZERO }
}

fn pack(name: &str, quantity: i64, from: &str, until: Option<&str>) -> Pack {
    let quantity = Quantity::units(quantity);
    Pack { name: name.to_owned(), quantity, from: at(from), until: until.map(at) }
}

fn forecast(from: Instant, to: Instant, used: i64, daily: &[i64], spread: i64) -> Vec<Expected> {
    let mut points = Vec::new();
    let (mut now, mut likely) = (from, used);
    for number in 0.. {
        now = hours(now, 24).min(to);
        likely += daily[number % daily.len()];
        let by = spread * i64::try_from(number + 1).expect("small");
        let [low, likely, high] =
            [(likely - by).max(used), likely, likely + by].map(Quantity::units);
        points.push(Expected { at: now, low, likely, high });
        if now >= to {
            break;
        }
    }
    points
}

/// What a working week uses.
const WEEK: [i64; 7] = [30, 220, 240, 230, 200, 20, 15];

fn threshold(percent: u8, allowance: i64, sent: Option<&str>) -> Threshold {
    let level = Quantity::units(allowance * i64::from(percent) / 100);
    let sent = sent.map(at);
    Threshold { percent, level, crossed: sent, sent }
}

/// A month with two packs, in which what is allowed will not do.
fn usual() -> Course {
    let period = Period { start: at("2026-10-31T23:00:00Z"), end: at("2026-11-30T23:00:00Z") };
    let now = at("2026-11-22T23:00:00Z");
    let usual = points(&zone("Europe/Berlin"), period, now, &WEEK);
    let used = usual.last().expect("a point").counted;
    let used_units = i64::try_from(used.millionths() / 1_000_000).expect("small");
    let units = Quantity::units;
    Course {
        feature: "minutes_transcribed".to_owned(),
        period,
        now,
        points: usual,
        included: Included::Quantity(units(2_400)),
        packs: vec![
            pack("order-7", 300, "2026-10-12T09:00:00Z", Some("2026-12-10T00:00:00Z")),
            pack("order-9", 900, "2026-11-10T09:00:00Z", None),
        ],
        allowance: Some(units(3_600)),
        thresholds: vec![
            threshold(80, 3_600, Some("2026-11-20T09:12:00Z")),
            threshold(90, 3_600, None),
        ],
        forecast: Some(Forecast {
            points: forecast(now, period.end, used_units, &WEEK, 22),
            used_up_on: Some("2026-11-26".parse().expect("a date")),
            short: Some(units(211)),
        }),
    }
}

/// Periods, each with the zone of its org.
type Courses = Vec<(&'static str, Course, &'static str)>;

/// Periods of every kind.
fn courses() -> Courses {
    let course = usual();
    let mut courses = months(&course);
    courses.extend(limits(&course));
    courses.extend(lengths(&course));
    courses.push(("period-usual", course, "Europe/Berlin"));
    courses
}

fn months(course: &Course) -> Courses {
    let (berlin, period, now) = (zone("Europe/Berlin"), course.period, course.now);
    let units = Quantity::units;
    let calm = Course {
        points: points(&berlin, period, now, &[20, 35, 40, 31, 44, 3, 2]),
        packs: Vec::new(),
        allowance: Some(units(2_400)),
        thresholds: vec![threshold(80, 2_400, None), threshold(90, 2_400, None)],
        forecast: Some(Forecast {
            points: forecast(now, period.end, 550, &[20, 35, 40, 31, 44, 3, 2], 6),
            used_up_on: None,
            short: None,
        }),
        ..course.clone()
    };
    let expiring = Course {
        packs: vec![
            pack("spring-sale", 500, "2026-10-01T00:00:00Z", Some("2026-11-18T23:00:00Z")),
            pack("order-7", 600, "2026-10-12T09:00:00Z", Some("2026-11-27T12:00:00Z")),
            pack("order-9", 700, "2026-11-12T09:00:00Z", None),
        ],
        allowance: Some(units(3_900)),
        thresholds: Vec::new(),
        forecast: course.forecast.clone().map(|ahead| Forecast {
            used_up_on: None,
            short: None,
            ..ahead
        }),
        ..course.clone()
    };
    let mut late = course.clone();
    for (number, point) in late.points.iter_mut().enumerate().skip(8) {
        let share = i64::try_from(number).expect("small");
        point.late = units(share * 14);
        if number > 18 {
            point.uncounted = units((share - 18) * 60);
        }
    }
    late.forecast = None;
    let closed = Course {
        now: at("2026-12-03T12:00:00Z"),
        points: points(&berlin, period, period.end, &WEEK),
        forecast: None,
        ..course.clone()
    };
    vec![
        ("period-calm", calm, "Europe/Berlin"),
        ("period-expiring", expiring, "Europe/Berlin"),
        ("period-late", late, "Europe/Berlin"),
        ("period-closed", closed, "Europe/Berlin"),
    ]
}

fn limits(course: &Course) -> Courses {
    let (berlin, period, now) = (zone("Europe/Berlin"), course.period, course.now);
    let units = Quantity::units;
    let unlimited = Course {
        included: Included::Unlimited,
        packs: Vec::new(),
        allowance: None,
        thresholds: Vec::new(),
        forecast: Some(Forecast {
            used_up_on: None,
            short: None,
            ..course.forecast.clone().expect("it has one")
        }),
        ..course.clone()
    };
    let nothing = Course {
        included: Included::NONE,
        packs: Vec::new(),
        allowance: Some(Quantity::ZERO),
        thresholds: Vec::new(),
        forecast: None,
        points: points(&berlin, period, now, &[0, 0, 2, 0, 1]),
        ..course.clone()
    };
    let over = Course {
        points: points(&berlin, period, now, &[30, 320, 340, 330, 300, 20, 15]),
        packs: Vec::new(),
        allowance: Some(units(2_400)),
        thresholds: vec![
            threshold(80, 2_400, Some("2026-11-11T09:12:00Z")),
            threshold(90, 2_400, Some("2026-11-12T10:00:00Z")),
        ],
        forecast: None,
        ..course.clone()
    };
    let many = Course {
        packs: (0..15)
            .map(|number| {
                let name = HOSTILE[number % HOSTILE.len()];
                let until = (number % 3 == 0).then_some("2026-11-25T00:00:00Z");
                pack(&format!("{name}{number}"), 80, "2026-11-05T00:00:00Z", until)
            })
            .collect(),
        feature: HOSTILE[0].to_owned(),
        ..course.clone()
    };
    vec![
        ("period-unlimited", unlimited, "Europe/Berlin"),
        ("period-nothing", nothing, "Europe/Berlin"),
        ("period-over", over, "UTC"),
        ("period-many", many, "Europe/Berlin"),
    ]
}

fn lengths(course: &Course) -> Courses {
    let (berlin, period, now) = (zone("Europe/Berlin"), course.period, course.now);
    let units = Quantity::units;
    let first = at("2026-11-01T08:30:00Z");
    let first = Course {
        now: first,
        points: points(&berlin, period, first, &[14]),
        forecast: None,
        thresholds: vec![threshold(80, 2_700, None), threshold(90, 2_700, None)],
        allowance: Some(units(2_700)),
        packs: course.packs[..1].to_vec(),
        ..course.clone()
    };
    let day = Period { start: at("2026-11-22T23:00:00Z"), end: at("2026-11-23T23:00:00Z") };
    let noon = at("2026-11-23T12:40:00Z");
    let daily = Course {
        feature: "scrapes".to_owned(),
        period: day,
        now: noon,
        points: (0..15)
            .map(|hour| {
                let used = [0, 0, 0, 0, 1, 4, 9, 20, 44, 61, 66, 80, 93, 95, 99];
                point(hours(day.start, hour).min(noon), used[usize::try_from(hour).expect("small")])
            })
            .collect(),
        included: Included::Quantity(units(100)),
        packs: Vec::new(),
        allowance: Some(units(100)),
        thresholds: vec![
            threshold(80, 100, Some("2026-11-23T10:00:12Z")),
            threshold(90, 100, Some("2026-11-23T11:02:00Z")),
        ],
        forecast: None,
    };
    let year = Period { start: at("2026-02-28T23:00:00Z"), end: at("2027-02-28T23:00:00Z") };
    let yearly = Course {
        period: year,
        points: points(&berlin, year, now, &[3_000, 41_000, 38_000, 52_500, 36_000, 900, 200]),
        included: Included::Quantity(units(10_000_000)),
        allowance: Some(units(10_300_000)),
        packs: vec![pack("order-7", 300_000, "2026-06-12T09:00:00Z", None)],
        thresholds: vec![threshold(80, 10_300_000, None)],
        forecast: Some(Forecast {
            points: forecast(now, year.end, 6_573_600, &[3_000, 41_000, 38_000, 52_500], 3_000),
            used_up_on: None,
            short: None,
        }),
        ..course.clone()
    };
    vec![
        ("period-first-day", first, "Europe/Berlin"),
        ("period-daily", daily, "Europe/Berlin"),
        ("period-year", yearly, "America/Argentina/ComodRivadavia"),
    ]
}

pub(crate) fn packs(number: usize) -> Drawdown {
    let units = Quantity::units;
    let step =
        |text: &str, kind, remaining| Step { at: at(text), kind, remaining: units(remaining) };
    let packs = [
        drawdown::Pack {
            name: "order-4".to_owned(),
            granted: units(600),
            expires_at: Some(at("2026-10-01T00:00:00Z")),
            steps: vec![
                step("2026-08-07T10:00:00Z", Kind::Granted, 600),
                step("2026-08-31T22:00:00Z", Kind::Drawn, 390),
                step("2026-09-30T22:00:00Z", Kind::Drawn, 70),
                step("2026-10-01T00:00:00Z", Kind::Expired, 0),
            ],
            claimed: Quantity::ZERO,
        },
        drawdown::Pack {
            name: "order-7".to_owned(),
            granted: units(300),
            expires_at: Some(at("2026-11-28T00:00:00Z")),
            steps: vec![step("2026-10-12T09:00:00Z", Kind::Granted, 300)],
            claimed: units(300),
        },
        drawdown::Pack {
            name: "order-9".to_owned(),
            granted: units(900),
            expires_at: None,
            steps: vec![
                step("2026-11-10T09:00:00Z", Kind::Granted, 900),
                step("2026-11-14T09:00:00Z", Kind::Refunded, 700),
            ],
            claimed: units(80),
        },
    ];
    Drawdown {
        feature: "minutes_transcribed".to_owned(),
        from: at("2026-07-31T22:00:00Z"),
        now: at("2026-11-22T23:00:00Z"),
        to: at("2026-11-30T23:00:00Z"),
        packs: packs.iter().cycle().take(number).cloned().collect(),
    }
}

pub(crate) fn closes(number: usize) -> Closes {
    let berlin = zone("Europe/Berlin");
    let first: LocalDate = "2025-12-01".parse().expect("a date");
    let month = |number: usize| {
        let months = jiff::Span::new().months(i64::try_from(number).expect("small"));
        let date = LocalDate(first.0.checked_add(months).expect("a date"));
        berlin.first_instant(date).expect("an instant")
    };
    let parts = [
        (2_300, 0, 0, 0),
        (2_650, 0, 0, 0),
        (2_480, 0, 0, 0),
        (3_000, 180, 0, 0),
        (3_000, 270, 0, 60),
        (3_000, 140, 0, 0),
        (3_000, 210, 0, 0),
        (2_880, 0, 0, 0),
        (3_000, 210, 0, 0),
        (3_000, 390, 0, 0),
        (3_000, 320, 150, 0),
    ];
    let close = |number: usize| {
        let (included, drawn, uncovered, late) = parts[number % parts.len()];
        let [included, drawn, uncovered, late] =
            [included, drawn, uncovered, late].map(Quantity::units);
        let period = Period { start: month(number), end: month(number + 1) };
        Close { period, included, drawn, uncovered, late }
    };
    Closes { feature: "minutes_transcribed".to_owned(), closes: (0..number).map(close).collect() }
}

pub(crate) fn lanes(span: i64) -> Lanes {
    // Berlin's clocks went back at 01:00 UTC.
    let now = at("2026-10-25T12:40:00Z");
    let from = hours(now, -span);
    let minute = |number: i64| from.plus(SignedDuration::from_mins(number)).expect("an instant");
    let run = |due: Instant, late: i64, outcome| Run {
        due,
        began: (outcome != Outcome::Skipped)
            .then(|| due.plus(SignedDuration::from_secs(late)).expect("an instant")),
        outcome,
        reason: match outcome {
            Outcome::Done => String::new(),
            Outcome::Failed => "connection refused".to_owned(),
            Outcome::Skipped => "the one before it was still running".to_owned(),
        },
    };
    let every = |minutes: i64, outcome: fn(i64) -> (i64, Outcome)| -> Vec<Run> {
        let numbers = 0..span * 60 / minutes;
        numbers
            .map(|number| {
                let (late, outcome) = outcome(number);
                run(minute(number * minutes), late, outcome)
            })
            .collect()
    };
    let job = |name: &str, runs| Job { name: name.to_owned(), runs, pauses: Vec::new() };
    let mut audit = job(
        "sync --full",
        every(360, |number| (if number == 2 { 5_400 } else { 1 }, Outcome::Done)),
    );
    audit.pauses.push(Pause {
        from: hours(now, -7),
        until: Some(hours(now, -1)),
        said: "ann: migration of the archive".to_owned(),
    });
    let rare = |number: i64| match number {
        3 => (1, Outcome::Failed),
        7 | 8 => (0, Outcome::Skipped),
        11 => (2_400, Outcome::Done),
        _ => (1, Outcome::Done),
    };
    let mut deliver = job("deliver", every(30, rare));
    deliver.pauses.push(Pause { from: hours(now, -2), until: None, said: "bob".to_owned() });
    for job in [&mut audit, &mut deliver] {
        let pause = job.pauses[0].clone();
        job.runs
            .retain(|run| run.due < pause.from || pause.until.is_some_and(|until| until < run.due));
    }
    Lanes {
        from,
        now,
        jobs: vec![
            job("rollover", every(1, |_| (0, Outcome::Done))),
            job(
                "sync",
                every(15, |number| (1, if number == 40 { Outcome::Failed } else { Outcome::Done })),
            ),
            audit,
            job("alerts", every(60, rare)),
            deliver,
            job("retention", every(1_440, |_| (1, Outcome::Done))),
        ],
        changes: vec![ClockChange {
            at: at("2026-10-25T01:00:00Z"),
            is_repeated: true,
            hour: "02:00 to 03:00 in Europe/Berlin".to_owned(),
        }],
    }
}

fn tenths() -> Tenths {
    Tenths {
        feature: "minutes_transcribed".to_owned(),
        orgs: [3_410, 2_430, 2_020, 1_600, 1_310, 1_080, 860, 690, 410, 260, 190, 118, 41],
        before: Some(Before {
            when: "a month ago".to_owned(),
            orgs: [3_800, 2_400, 1_900, 1_500, 1_200, 900, 800, 500, 300, 200, 90, 60, 20],
        }),
    }
}

pub(crate) fn days(sample: Option<u64>) -> Days {
    let first: LocalDate = "2026-10-24".parse().expect("a date");
    let day = |number: i64| {
        let date = first.0.checked_add(jiff::Span::new().days(number)).expect("a date");
        let weekday = if number % 7 < 2 { 9 } else { 41 };
        Day {
            date: LocalDate(date),
            used: Quantity::units(weekday * (1_000 + number * 17)),
            before: Some(Quantity::units(weekday * (1_150 + number * 3))),
        }
    };
    Days { feature: "minutes_transcribed".to_owned(), days: (0..30).map(day).collect(), sample }
}

pub(crate) fn lateness(broken: bool) -> Lateness {
    let now = at("2026-11-23T12:40:00Z");
    let boundary = |number: i64| Boundary {
        at: hours(now, -24).plus(SignedDuration::from_mins(20 + number * 30)).expect("an instant"),
        orgs: u64::try_from(number * 37 % 900 + 1).expect("small"),
        late: match number {
            21 if broken => SignedDuration::from_secs(9_480),
            23 if broken => SignedDuration::from_millis(2_700),
            number => SignedDuration::from_millis(80 + number * 7_919 % 900),
        },
    };
    Lateness {
        from: hours(now, -24),
        now,
        boundaries: (0..48).map(boundary).collect(),
        promised: SignedDuration::from_secs(2),
    }
}
