//! Charts of whatever the dice say.

use jiff::SignedDuration;
use periodd::billing::quota::Included;
use periodd::billing::{Instant, Period, Quantity, Zone};
use periodd::charts::lanes::ClockChange;
use periodd::charts::period::{Course, Expected, Forecast, Pack, Point, Threshold};
use periodd::charts::tenths::{Before, PARTS, Tenths};
use periodd::charts::wave::{End, State, Wave};
use periodd::charts::{Chart, When, Width};

use super::samples::{HOSTILE, at, closes, days, hours, lanes, lateness, packs, zone};

/// Numbers that somebody else rolled.
pub(crate) struct Dice(Vec<u64>, usize);

impl Dice {
    pub(crate) fn new(numbers: Vec<u64>) -> Self {
        Self(numbers, 0)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.1 += 1;
        let number = self.0.get(self.1 % self.0.len().max(1)).copied().unwrap_or_default();
        // The same numbers mean something else the second time.
        number
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(u32::try_from(self.1 % 64).expect("small"))
            % limit.max(1)
    }

    fn units(&mut self, limit: u64) -> Quantity {
        Quantity::units(i64::try_from(self.below(limit)).expect("small"))
    }

    /// A quantity of any size.
    fn quantity(&mut self) -> Quantity {
        let size = 10_u64.pow(u32::try_from(self.below(13)).expect("small"));
        let whole = self.units(size + 1);
        let part = Quantity::from_millionths(self.below(1_000_000).into()).expect("small");
        if self.below(4) == 0 { whole.plus(part).expect("small") } else { whole }
    }

    fn name(&mut self) -> String {
        match self.below(3) {
            0 => HOSTILE[usize::try_from(self.below(6)).expect("small")].to_owned(),
            1 => format!("order-{}", self.below(1_000)),
            _ => "x".repeat(usize::try_from(self.below(80)).expect("small")),
        }
    }

    fn instant(&mut self, from: Instant, to: Instant) -> Instant {
        let span = to.since(from).as_secs().unsigned_abs();
        let seconds = i64::try_from(self.below(span + 1)).expect("small");
        from.plus(SignedDuration::from_secs(seconds)).expect("an instant")
    }
}

/// A wave of whatever the dice say.
pub(crate) fn any_wave(dice: &mut Dice) -> Wave {
    let now = at("2026-11-23T12:40:05Z");
    let number = dice.below(90);
    let end = |dice: &mut Dice| {
        let offset = i32::try_from(dice.below(105)).expect("small") * 900 - 43_200;
        let odd = dice.below(8) == 0;
        let mut at = dice.instant(hours(now, -5), hours(now, 26));
        if !odd {
            let day = (at.microseconds() / 1_000_000).div_euclid(86_400) * 86_400;
            at = Instant::from_microseconds((day - i64::from(offset)) * 1_000_000).expect("one");
        }
        let state = match dice.below(12) {
            0 => State::Overdue,
            _ if at > now => State::Ahead,
            _ => State::Closed { late: SignedDuration::from_millis(400) },
        };
        let state = if at > now { State::Ahead } else { state };
        let zones = (0..dice.below(4)).map(|_| dice.name()).collect();
        let orgs = 10_u64.pow(u32::try_from(dice.below(7)).expect("small"));
        End { at, offset, zones, orgs: dice.below(orgs), state, odd: None }
    };
    Wave { now, ends: (0..number).map(|_| end(dice)).collect() }
}

/// A period of whatever the dice say.
pub(crate) fn any_course(dice: &mut Dice) -> Course {
    let start = at("2026-03-01T00:00:00Z");
    let days = [1, 7, 28, 31, 92, 365][usize::try_from(dice.below(6)).expect("small")];
    let end = hours(start, days * 24);
    let now = dice.instant(start, hours(end, 48));
    let unit = dice.quantity();
    let grown = |sum: Quantity, dice: &mut Dice| {
        let more =
            Quantity::from_millionths(unit.millionths() * i128::from(dice.below(100)) / 1_000);
        sum.plus(more.expect("small")).expect("small")
    };
    let mut points: Vec<Point> = Vec::new();
    let (mut counted, mut late, mut uncounted) = Default::default();
    let last = now.min(end);
    let number = dice.below(40) + 1;
    for part in 0..=number {
        let span = last.since(start).as_secs() * i64::try_from(part).expect("small");
        let span = span / i64::try_from(number).expect("small");
        let at = start.plus(SignedDuration::from_secs(span)).expect("an instant");
        points.push(Point { at, counted, late, uncounted });
        counted = grown(counted, dice);
        if dice.below(9) == 0 {
            late = grown(late, dice);
        }
        if dice.below(12) == 0 {
            uncounted = grown(uncounted, dice);
        }
    }
    let included = match dice.below(6) {
        0 => Included::Unlimited,
        1 => Included::NONE,
        _ => Included::Quantity(dice.quantity()),
    };
    let mut packs = Vec::new();
    for _ in 0..dice.below(5) {
        let from = dice.instant(hours(start, -500), end);
        let until = (dice.below(2) == 0).then(|| dice.instant(from, hours(end, 500)));
        packs.push(Pack { name: dice.name(), quantity: dice.quantity(), from, until });
    }
    let allowance = included.column().map(|included| {
        let all = packs.iter().map(|pack| pack.quantity).chain([included]);
        Quantity::sum(all).expect("small")
    });
    let mut thresholds = Vec::new();
    for percent in [80_u8, 90, 100] {
        if let Some(allowance) = allowance.filter(|_| dice.below(3) > 0) {
            let level = allowance.millionths() / 100 * i128::from(percent);
            let sent = (dice.below(2) == 0).then(|| dice.instant(start, last));
            let level = Quantity::from_millionths(level).expect("small");
            let crossed = sent.or_else(|| (dice.below(2) == 0).then(|| dice.instant(start, last)));
            thresholds.push(Threshold { percent, level, crossed, sent });
        }
    }
    let used = points.last().map(|point| point.counted).unwrap_or_default();
    let forecast = (now < end && dice.below(4) > 0).then(|| {
        let likely = used.plus(dice.quantity()).expect("small");
        let high = likely.plus(dice.quantity()).expect("small");
        let short = (dice.below(2) == 0).then(|| dice.quantity());
        let used_up_on = short.map(|_| Zone::utc().date(dice.instant(now, end)));
        Forecast { points: vec![Expected { at: end, low: used, likely, high }], used_up_on, short }
    });
    let period = Period { start, end };
    let feature = dice.name();
    Course { feature, period, now, points, included, packs, allowance, thresholds, forecast }
}

/// Any of the other charts.
pub(crate) fn any_other(dice: &mut Dice, width: Width) -> Chart {
    let when = When::local(zone(
        ["UTC", "Asia/Kathmandu", "America/St_Johns"]
            [usize::try_from(dice.below(3)).expect("small")],
    ));
    let kind = dice.below(6);
    let number = usize::try_from(dice.below(16)).expect("small");
    match kind {
        0 => {
            let mut closes = closes(number);
            closes.feature = dice.name();
            for close in &mut closes.closes {
                let parts = [(); 4]
                    .map(|()| if dice.below(3) == 0 { Quantity::ZERO } else { dice.quantity() });
                [close.included, close.drawn, close.uncovered, close.late] = parts;
            }
            closes.chart(width, &when)
        }
        1 => {
            let mut days = days((dice.below(2) == 0).then_some(10_000));
            days.feature = dice.name();
            days.days.truncate(number * 2 + 1);
            for day in &mut days.days {
                day.used = dice.quantity();
                day.before = (dice.below(3) > 0).then(|| dice.quantity());
            }
            days.chart(width)
        }
        2 => {
            let mut orgs = || -> [u64; PARTS] {
                std::array::from_fn(|_| {
                    let size = 10_u64.pow(u32::try_from(dice.below(8)).expect("small"));
                    dice.below(size)
                })
            };
            let (orgs, then) = (orgs(), orgs());
            let before =
                (dice.below(2) == 0).then(|| Before { when: "a month ago".to_owned(), orgs: then });
            Tenths { feature: dice.name(), orgs, before }.chart(width)
        }
        3 => {
            let mut lateness = lateness(false);
            lateness.boundaries.truncate(number * 3);
            for boundary in &mut lateness.boundaries {
                let size = 10_u64.pow(u32::try_from(dice.below(9)).expect("small"));
                boundary.late =
                    SignedDuration::from_millis(i64::try_from(dice.below(size)).expect("small"));
                boundary.orgs = dice.below(1_000);
            }
            lateness.chart(width, &when)
        }
        4 => {
            let mut packs = packs(number);
            for pack in &mut packs.packs {
                pack.name = dice.name();
                pack.granted = dice.quantity();
                pack.claimed = dice.quantity();
                pack.expires_at =
                    (dice.below(2) == 0).then(|| dice.instant(packs.from, hours(packs.to, 999)));
                let mut left = pack.granted;
                for step in &mut pack.steps {
                    step.at = dice.instant(packs.from, packs.now);
                    step.remaining = left;
                    left = Quantity::from_millionths(left.millionths() / 3).expect("small");
                }
                pack.steps.sort_by_key(|step| step.at);
            }
            packs.chart(width, &when)
        }
        _ => {
            let mut lanes = lanes([1, 24, 168][usize::try_from(dice.below(3)).expect("small")]);
            for job in &mut lanes.jobs {
                job.name = dice.name();
                for pause in &mut job.pauses {
                    pause.from = dice.instant(lanes.from, lanes.now);
                    pause.until = (dice.below(2) == 0).then(|| dice.instant(pause.from, lanes.now));
                    pause.said = dice.name();
                }
            }
            for number in 0..dice.below(4) {
                let at = dice.instant(lanes.from, lanes.now);
                let is_repeated = number % 2 == 0;
                lanes.changes.push(ClockChange { at, is_repeated, hour: dice.name() });
            }
            lanes.chart(width, &when)
        }
    }
}
