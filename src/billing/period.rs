//! Periods: which local dates are boundaries, and which instants they are.
//!
//! The rule, in three steps:
//!
//! 1. *Nominal dates* come from the anchor alone, never from the boundary before: monthly on day
//!    `min(anchor_day, days in the month)`, quarterly, semiannual and yearly the same in every
//!    third, sixth or twelfth month, counted from `anchor_month`, weekly on an ISO weekday, daily
//!    on every date. So Jan 31 is followed by Feb 28 and then by Mar 31.
//! 2. A *boundary* is the first instant at or after the anchor time (midnight, unless it is set) of
//!    its nominal date in the org's zone. Where that time happens twice it is the earlier one;
//!    where it is missing, the first instant after the gap; where the whole date is missing, the
//!    first instant of the next date that exists.
//! 3. The *period* at `t` runs from the greatest boundary ≤ `t` to the least boundary > `t`.
//!
//! Without a cycle there are no boundaries: the period at `t` runs from the start of that month to
//! [`Instant::NEVER`], whose nominal date is the last one there is.
//!
//! This is the only file that turns local dates into instants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use schemars::JsonSchema;

use super::instant::time_of_day::TimeOfDay;
use super::instant::{self, Instant, InvalidInstant, LocalDate, OutOfRange};

/// The following ends that an org stores: at least this many …
pub const FOLLOWING_ENDS: usize = 3;
/// … and at least this much time's worth, so that use finds its period however late a rollover is.
pub const FOLLOWING_SPAN: SignedDuration = SignedDuration::from_hours(35 * 24);

/// A half-open stretch of time `[start, end)`, never empty.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, serde::Serialize, JsonSchema,
)]
pub struct Period {
    /// The first instant inside.
    pub start: Instant,
    /// The first instant after.
    pub end: Instant,
}

impl Period {
    /// Is `at` inside? The start is, the end is not.
    pub fn contains(self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A time zone: its name, and the rules that the tz database has for it.
#[derive(Clone, Debug)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

impl Zone {
    /// A zone from its name and its rules. Names are looked up by [`crate::tz`].
    pub fn new(name: &str, rules: TimeZone) -> Self {
        Self { name: name.into(), rules }
    }

    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self::new("UTC", TimeZone::UTC)
    }

    /// The tz database's name of the zone, such as `Europe/Berlin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules themselves: what follows the zone's wall clock without a calendar asks them.
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// The instant written as local time with its offset: `2026-05-01T00:00:00+02:00`.
    pub fn local(&self, at: Instant) -> String {
        if at == Instant::NEVER {
            return at.to_string();
        }
        self.local_as(at, "%Y-%m-%dT%H:%M:%S%.f%:z")
    }

    /// The instant written as local time, by a pattern of `strftime`: `%a %b %d %H:%M`.
    pub fn local_as(&self, at: Instant, pattern: &str) -> String {
        at.timestamp().to_zoned(self.rules.clone()).strftime(pattern).to_string()
    }

    /// The instant on this zone's wall clock, to be kept and shown.
    pub fn wall_clock(&self, at: Instant) -> LocalTime {
        LocalTime { at, offset: self.rules.to_offset(at.timestamp()) }
    }

    /// The local date at an instant.
    pub fn date(&self, at: Instant) -> LocalDate {
        LocalDate(self.rules.to_datetime(at.timestamp()).date())
    }

    /// The local time of day at an instant, to the second.
    pub fn time_of_day(&self, at: Instant) -> TimeOfDay {
        TimeOfDay::of(self.rules.to_datetime(at.timestamp()).time())
    }

    /// The first instant of a local date.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn first_instant(&self, date: LocalDate) -> Result<Instant, OutOfRange> {
        self.first_at(date, TimeOfDay::MIDNIGHT)
    }

    /// The first instant at or after a time of day on a local date, as rule 2 defines it.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn first_at(&self, date: LocalDate, time: TimeOfDay) -> Result<Instant, OutOfRange> {
        let local = DateTime::from_parts(date.0, time.time());
        let at = match self.rules.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local),
            // Where a zone took on other rules in the moment of the transition, its clocks may
            // never have shown the offset before.
            AmbiguousOffset::Fold { before, after } => match before.to_timestamp(local) {
                Ok(earlier) if self.rules.to_offset(earlier) != before => after.to_timestamp(local),
                earlier => earlier,
            },
            // The gap swallows that time: its local times never happen. `after` is the offset
            // behind the gap, so the time read with it lies before the transition.
            AmbiguousOffset::Gap { after, .. } => {
                after.to_timestamp(local).map(|before_gap| self.next_transition(before_gap))
            }
        };
        at.map(Instant::from).map_err(|_| OutOfRange)
    }

    /// The first instant after a local date.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn end_of(&self, date: LocalDate) -> Result<Instant, OutOfRange> {
        self.first_instant(LocalDate(date.0.tomorrow().map_err(|_| OutOfRange)?))
    }

    /// The first instants of the days from one date to another, and of the day after: one more
    /// than there are days.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn days(&self, from: LocalDate, to: LocalDate) -> Result<Vec<Instant>, OutOfRange> {
        let mut starts = vec![self.first_instant(from)?];
        let mut date = from;
        while date <= to {
            date = LocalDate(date.0.tomorrow().map_err(|_| OutOfRange)?);
            starts.push(self.first_instant(date)?);
        }
        Ok(starts)
    }

    /// Midday of a local date: what a date stands for when only the date of a use is known. It is
    /// far from both ends of the day, and so in the period that the date is in, where periods end
    /// at midnight.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn midday(&self, date: LocalDate) -> Result<Instant, OutOfRange> {
        let midday = DateTime::from_parts(date.0, Time::midnight()).with().hour(12).build();
        let midday = midday.map_err(|_| OutOfRange)?;
        let at = self.rules.to_ambiguous_timestamp(midday).compatible();
        at.map(Instant::from).map_err(|_| OutOfRange)
    }

    /// When the clocks of this zone are moved between two instants, and which hours they show twice
    /// or never.
    pub fn clock_changes(&self, from: Instant, to: Instant) -> Vec<ClockChange> {
        let following = self.rules.following(from.timestamp());
        let within = following.take_while(|transition| transition.timestamp() <= to.timestamp());
        let change = |at: Timestamp| {
            let before = self.rules.to_offset(at.checked_sub(SignedDuration::from_secs(1)).ok()?);
            let after = self.rules.to_offset(at);
            let [old, new] = [before, after].map(|offset| offset.to_datetime(at));
            let is_repeated = new < old;
            let hours = if is_repeated { [new, old] } else { [old, new] };
            let hours = hours.map(|time| time.strftime("%H:%M").to_string());
            (old != new).then(|| ClockChange { at: at.into(), is_repeated, hours })
        };
        within.filter_map(|transition| change(transition.timestamp())).collect()
    }

    fn next_transition(&self, at: Timestamp) -> Timestamp {
        // A gap always ends in a transition, so the fallback is never taken.
        self.rules.following(at).next().map_or(at, |transition| transition.timestamp())
    }
}

/// A moment at which the clocks of a zone are moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClockChange {
    pub at: Instant,
    /// Do they show the hours twice? Otherwise never.
    pub is_repeated: bool,
    /// From when to when, on the wall clock: `02:00` and `03:00`.
    pub hours: [String; 2],
}

/// An instant together with what the wall clock of a zone showed at it.
///
/// What people are told is frozen with it: a newer tz database does not change a sentence that
/// has been said. As text it is RFC 3339 with the local offset: `2026-05-01T00:00:00+02:00`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalTime {
    pub at: Instant,
    offset: Offset,
}

impl LocalTime {
    /// The date on the wall.
    pub fn date(self) -> LocalDate {
        LocalDate(self.wall().date())
    }

    /// Hour (0 to 23) and minute on the wall.
    pub fn hour_and_minute(self) -> (i8, i8) {
        (self.wall().hour(), self.wall().minute())
    }

    fn wall(self) -> DateTime {
        self.offset.to_datetime(self.at.timestamp())
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = TimeZone::fixed(self.offset);
        write!(f, "{}", self.at.timestamp().to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.f%:z"))
    }
}

impl fmt::Debug for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LocalTime {
    type Err = InvalidInstant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidInstant { text: text.to_owned() };
        let offset = Pieces::parse(text).ok().and_then(|pieces| pieces.to_numeric_offset());
        Ok(Self { at: text.parse()?, offset: offset.ok_or_else(invalid)? })
    }
}

impl serde::Serialize for LocalTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for LocalTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        instant::parsed(deserializer)
    }
}

/// How often a period ends, with the anchor that says on which dates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Cycle {
    /// Every date.
    Daily,
    /// One ISO weekday.
    Weekly(Weekday),
    /// One day of the month, 1 to 31; short months use their last day.
    Monthly {
        /// Day of the month, 1 to 31.
        day: i8,
    },
    /// One day of every third month.
    Quarterly {
        /// One of the months, 1 to 12.
        month: i8,
        /// Day of the month, 1 to 31; a short month uses its last day.
        day: i8,
    },
    /// One day of every sixth month.
    Semiannual {
        /// One of the months, 1 to 12.
        month: i8,
        /// Day of the month, 1 to 31; a short month uses its last day.
        day: i8,
    },
    /// One day of one month.
    Yearly {
        /// Month, 1 to 12.
        month: i8,
        /// Day of the month, 1 to 31; a short month uses its last day.
        day: i8,
    },
    /// Never: one period without an end.
    None,
}

impl Cycle {
    /// The names of all cycles, as the schema and the command line spell them.
    pub const NAMES: [&str; 7] =
        ["monthly", "quarterly", "semiannual", "yearly", "weekly", "daily", "none"];

    /// A cycle from the words and numbers that the schema and the command line use.
    ///
    /// # Errors
    /// [`InvalidCycle`] for an unknown name or an anchor outside its range.
    pub fn new(name: &str, anchor_day: i64, anchor_month: i64) -> Result<Self, InvalidCycle> {
        let within = |value: i64, limit: i8, what| {
            i8::try_from(value)
                .ok()
                .filter(|value| (1..=limit).contains(value))
                .ok_or(InvalidCycle::Anchor { what, value, limit })
        };
        match name {
            "daily" => Ok(Self::Daily),
            "none" => Ok(Self::None),
            "weekly" => {
                let day = within(anchor_day, 7, "weekday")?;
                let day = Weekday::from_monday_one_offset(day).map_err(|_| {
                    InvalidCycle::Anchor { what: "weekday", value: anchor_day, limit: 7 }
                })?;
                Ok(Self::Weekly(day))
            }
            "monthly" => Ok(Self::Monthly { day: within(anchor_day, 31, "day")? }),
            "quarterly" | "semiannual" | "yearly" => {
                let month = within(anchor_month, 12, "month")?;
                let day = within(anchor_day, 31, "day")?;
                Ok(match name {
                    "quarterly" => Self::Quarterly { month, day },
                    "semiannual" => Self::Semiannual { month, day },
                    _ => Self::Yearly { month, day },
                })
            }
            other => Err(InvalidCycle::Name { name: other.to_owned() }),
        }
    }

    /// The name that the schema uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly(_) => "weekly",
            Self::Monthly { .. } => "monthly",
            Self::Quarterly { .. } => "quarterly",
            Self::Semiannual { .. } => "semiannual",
            Self::Yearly { .. } => "yearly",
            Self::None => "none",
        }
    }

    /// The first nominal date on or after `from`.
    fn on_or_after(self, from: Date) -> Result<Date, OutOfRange> {
        match self {
            Self::Daily => Ok(from),
            Self::Weekly(weekday) => {
                let days = i64::from(from.weekday().until(weekday));
                from.checked_add(days.days()).map_err(|_| OutOfRange)
            }
            Self::Monthly { day } => {
                let here = clamp(from.first_of_month(), day);
                if here >= from { Ok(here) } else { Ok(clamp(month_after(from)?, day)) }
            }
            Self::Quarterly { month, day } => in_every(3, month, day, from),
            Self::Semiannual { month, day } => in_every(6, month, day, from),
            Self::Yearly { month, day } => in_every(12, month, day, from),
            Self::None => Ok(LAST_DATE),
        }
    }

    /// The first nominal date after `date`.
    fn after(self, date: Date) -> Result<Date, OutOfRange> {
        self.on_or_after(date.tomorrow().map_err(|_| OutOfRange)?)
    }

    /// The same cycle with its anchor on a date.
    fn anchored_on(self, date: Date) -> Self {
        let (month, day) = (date.month(), date.day());
        match self {
            Self::Daily => Self::Daily,
            Self::Weekly(_) => Self::Weekly(date.weekday()),
            Self::Monthly { .. } => Self::Monthly { day },
            Self::Quarterly { .. } => Self::Quarterly { month, day },
            Self::Semiannual { .. } => Self::Semiannual { month, day },
            Self::Yearly { .. } => Self::Yearly { month, day },
            Self::None => Self::None,
        }
    }

    /// A date so far before `date` that at least two nominal dates lie between.
    fn well_before(self, date: Date) -> Result<Date, OutOfRange> {
        let days = match self {
            Self::Daily => 4,
            Self::Weekly(_) => 16,
            Self::Monthly { .. } => 64,
            Self::Quarterly { .. } => 186,
            Self::Semiannual { .. } => 370,
            Self::Yearly { .. } => 734,
            Self::None => 0,
        };
        date.checked_sub(days.days()).map_err(|_| OutOfRange)
    }
}

/// A cycle with its anchor, in the words of people: `monthly 31`, `yearly 2-29`, `daily`; with the
/// time of day where it is not midnight: `quarterly 2-28 at 14:32:10`. Of names that do not exist,
/// too: what a row holds is shown.
pub fn cycle_words(name: &str, anchor_day: i16, anchor_month: i16, time: TimeOfDay) -> String {
    let anchored = match name {
        "daily" => name.to_owned(),
        // What never ends has no time of day.
        "none" => return name.to_owned(),
        "quarterly" | "semiannual" | "yearly" => format!("{name} {anchor_month}-{anchor_day}"),
        other => format!("{other} {anchor_day}"),
    };
    if time == TimeOfDay::MIDNIGHT { anchored } else { format!("{anchored} at {time}") }
}

/// The first date on or after `from` on a day of every third, sixth or twelfth month.
fn in_every(months: i8, month: i8, day: i8, from: Date) -> Result<Date, OutOfRange> {
    // Months since the year 0, so that a step may lead into the next year.
    let here = i32::from(from.year()) * 12 + i32::from(from.month()) - 1;
    let ahead = (month - from.month()).rem_euclid(months);
    let of = |count: i32| {
        let year = i16::try_from(count.div_euclid(12)).map_err(|_| OutOfRange)?;
        let month = i8::try_from(count.rem_euclid(12) + 1).map_err(|_| OutOfRange)?;
        Date::new(year, month, 1).map(|first| clamp(first, day)).map_err(|_| OutOfRange)
    };
    let first = of(here + i32::from(ahead))?;
    if first >= from { Ok(first) } else { of(here + i32::from(ahead + months)) }
}

fn month_after(date: Date) -> Result<Date, OutOfRange> {
    date.last_of_month().tomorrow().map_err(|_| OutOfRange)
}

/// The day of that month, or the month's last day when the month is too short for it.
fn clamp(first_of_month: Date, day: i8) -> Date {
    let day = day.min(first_of_month.days_in_month());
    first_of_month.with().day(day).build().unwrap_or(first_of_month)
}

/// A cycle or an anchor that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCycle {
    /// No such cycle.
    #[error(
        "unknown cycle `{name}`; use monthly, quarterly, semiannual, yearly, weekly, \
             daily or none"
    )]
    Name {
        /// What was written.
        name: String,
    },
    /// The anchor is out of its range.
    #[error("anchor {what} {value} does not exist; use 1 to {limit}")]
    Anchor {
        /// Day, weekday or month.
        what: &'static str,
        /// What was written.
        value: i64,
        /// The largest that exists.
        limit: i8,
    },
}

/// The last date that there is, for which [`Instant::NEVER`] stands.
const LAST_DATE: Date = Date::MAX;

/// A boundary: the instant, and the nominal date that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Boundary {
    pub at: Instant,
    pub date: LocalDate,
}

/// The anchor of a calendar, as the row of an org has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, JsonSchema)]
pub struct Anchor {
    /// Day of the month, or ISO weekday of a weekly cycle.
    pub day: i16,
    /// Month.
    pub month: i16,
    /// Local time of day.
    pub time: TimeOfDay,
}

impl Boundary {
    /// The end of a period that never ends.
    pub const NEVER: Self = Self { at: Instant::NEVER, date: LocalDate(LAST_DATE) };
}

/// Everything that decides an org's boundaries: the zone, the cycle, and the time of day.
#[derive(Clone, Debug)]
pub struct Calendar {
    pub zone: Zone,
    pub cycle: Cycle,
    /// The local time of day at which periods end.
    pub time: TimeOfDay,
}

impl Calendar {
    /// The calendar months of a zone.
    pub fn months(zone: Zone) -> Self {
        Self { zone, cycle: Cycle::Monthly { day: 1 }, time: TimeOfDay::MIDNIGHT }
    }

    /// The calendar whose periods are full ones from an instant on: the same cycle, anchored on
    /// the local date and time of day of that instant, to the second.
    pub fn anchored_at(&self, at: Instant) -> (Self, Anchor) {
        let (LocalDate(date), time) = (self.zone.date(at), self.zone.time_of_day(at));
        let cycle = self.cycle.anchored_on(date);
        let day = match cycle {
            Cycle::Weekly(weekday) => weekday.to_monday_one_offset(),
            _ => date.day(),
        };
        let anchor = Anchor { day: day.into(), month: date.month().into(), time };
        (Self { zone: self.zone.clone(), cycle, time }, anchor)
    }

    /// The period that contains `at`, with the nominal date of its end.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn period_at(&self, at: Instant) -> Result<(Period, LocalDate), OutOfRange> {
        if self.cycle == Cycle::None {
            let (month, _) = Self::months(self.zone.clone()).period_at(at)?;
            let Boundary { at: end, date } = Boundary::NEVER;
            return Ok((Period { start: month.start, end }, date));
        }
        let near = self.zone.date(at).0;
        // Two days of margin: a boundary can lie behind its own time of day, and a date be skipped
        // altogether.
        let mut start = self.boundary(self.cycle.on_or_after(self.cycle.well_before(near)?)?)?;
        loop {
            let next = self.following(start)?;
            if next.at > at {
                return Ok((Period { start: start.at, end: next.at }, next.date));
            }
            start = next;
        }
    }

    /// The next end after an end: the first later nominal date, in this zone and cycle, whose
    /// boundary lies after it.
    ///
    /// `end` may come from another zone or cycle, which is how a change takes effect without a
    /// gap, an overlap or an empty period: the nominal dates simply go on.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn following(&self, end: Boundary) -> Result<Boundary, OutOfRange> {
        match self.cycle {
            _ if end == Boundary::NEVER => return Err(OutOfRange),
            Cycle::None => return Ok(Boundary::NEVER),
            _ => {}
        }
        let mut date = end.date.0;
        loop {
            date = self.cycle.after(date)?;
            let next = self.boundary(date)?;
            if next == Boundary::NEVER {
                return Err(OutOfRange);
            }
            if next.at > end.at {
                return Ok(next);
            }
        }
    }

    /// The same, but for ends up to a nominal date that is passed over.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn following_but(
        &self,
        end: Boundary,
        skipped: Option<LocalDate>,
    ) -> Result<Boundary, OutOfRange> {
        let date = skipped.map_or(end.date, |skipped| skipped.max(end.date));
        self.following(Boundary { date, ..end })
    }

    /// Is a period under a third of the one that follows it?
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn is_short(&self, start: Instant, end: Boundary) -> Result<bool, OutOfRange> {
        if end == Boundary::NEVER {
            return Ok(false);
        }
        Ok(end.at.since(start).saturating_mul(3) < self.following(end)?.at.since(end.at))
    }

    /// The first of the boundaries from `end` on whose nominal date is not before a date; `end`
    /// itself without one. The boundaries after `end` begin behind a date that is passed over.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn first_from(
        &self,
        end: Boundary,
        date: Option<LocalDate>,
        skipped: Option<LocalDate>,
    ) -> Result<Boundary, OutOfRange> {
        let Some(date) = date.filter(|date| *date > end.date) else { return Ok(end) };
        if self.cycle == Cycle::None {
            return Ok(Boundary::NEVER);
        }
        // Years may lie between: the walk begins shortly before the date.
        let near = self.boundary(self.cycle.on_or_after(self.cycle.well_before(date.0)?)?)?;
        let is_later = near.date > end.date && near.at > end.at;
        let mut last = if is_later { near } else { end };
        while last.date < date {
            last = self.following(last)?;
        }
        if skipped.is_some_and(|skipped| last.date <= skipped) {
            return self.following_but(end, skipped);
        }
        Ok(last)
    }

    /// The nominal date whose boundary is nearest to a stored end of unknown date; the earlier
    /// one of two that are equally near.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn nearest(&self, end: Instant) -> Result<LocalDate, OutOfRange> {
        match self.cycle {
            _ if end == Instant::NEVER => return Ok(Boundary::NEVER.date),
            Cycle::None => return Ok(self.zone.date(end)),
            _ => {}
        }
        let start = self.cycle.on_or_after(self.cycle.well_before(self.zone.date(end).0)?)?;
        let mut nearest = self.boundary(start)?;
        loop {
            let next = self.following(nearest)?;
            let distance = |boundary: Boundary| boundary.at.since(end).abs();
            if distance(next) < distance(nearest) || next.at <= end {
                nearest = next;
            } else {
                return Ok(nearest.date);
            }
        }
    }

    /// The end of the local day on which a period ends.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn day_end(&self, end: Boundary) -> Result<Instant, OutOfRange> {
        if end == Boundary::NEVER { Ok(end.at) } else { self.zone.end_of(end.date) }
    }

    /// The ends that follow `end`, as an org stores them: at least [`FOLLOWING_ENDS`], and at
    /// least [`FOLLOWING_SPAN`]'s worth; as many as there are where the last one never comes.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn following_ends(&self, end: Boundary) -> Result<Vec<Instant>, OutOfRange> {
        Ok(self.following_boundaries(end)?.into_iter().map(|boundary| boundary.at).collect())
    }

    /// The same with their nominal dates.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn following_boundaries(&self, end: Boundary) -> Result<Vec<Boundary>, OutOfRange> {
        // Nothing follows what never ends.
        match self.cycle {
            _ if end == Boundary::NEVER => return Ok(Vec::new()),
            Cycle::None => return Ok(vec![Boundary::NEVER]),
            _ => {}
        }
        let until = end.at.plus(FOLLOWING_SPAN)?;
        let mut ends = Vec::with_capacity(FOLLOWING_ENDS);
        let mut last = end;
        while ends.len() < FOLLOWING_ENDS || last.at < until {
            last = self.following(last)?;
            ends.push(last);
        }
        Ok(ends)
    }

    /// The boundary that a nominal date stands for.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn boundary_of(&self, date: LocalDate) -> Result<Boundary, OutOfRange> {
        if date == Boundary::NEVER.date {
            return Ok(Boundary::NEVER);
        }
        Ok(Boundary { at: self.zone.first_at(date, self.time)?, date })
    }

    fn boundary(&self, date: Date) -> Result<Boundary, OutOfRange> {
        self.boundary_of(LocalDate(date))
    }
}
