//! The timeline of one org: which periods are due, which one is open afterwards, what follows.

use jiff::SignedDuration;

use super::instant::{Instant, LocalDate, OutOfRange};
use super::org::restart::Restart;
use super::org::{OrgState, Reason, StoredPeriod, SubscriptionDates};
use super::period::{Anchor, Boundary, Calendar, Period};

/// The shortest period that is closed early: whoever asks twice, or right after a close, would
/// grant a whole included quantity for a moment.
pub const SHORTEST_EARLY: SignedDuration = SignedDuration::from_mins(1);

/// What happens to periods that were missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CatchUp {
    /// Each is closed by itself, oldest first.
    Replay,
    /// The open period closes normally, the missed ones as one, with one included quantity.
    Collapse,
    /// The org is parked when more than one is due.
    Halt,
}

/// What becomes of an open period that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Early {
    /// It stays open.
    No,
    /// It closes now, and the new one ends where it would have.
    KeepEnd,
    /// It closes now, and full periods follow from here on.
    Restart {
        /// The tier from here on; `None`: the one that is set.
        tier: Option<String>,
    },
}

impl Early {
    /// Is a period closed that has not ended?
    pub fn closes(&self) -> bool {
        *self != Self::No
    }

    /// Does the calendar begin again?
    pub fn restarts(&self) -> bool {
        matches!(self, Self::Restart { .. })
    }
}

/// What is asked of a rollover.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What happens to missed periods.
    pub catch_up: CatchUp,
    /// The most periods closed per org in one pass.
    pub max_periods: usize,
    /// The tier that an ended subscription falls back to.
    pub ended_tier: String,
    /// What becomes of an open period that has not ended.
    pub early: Early,
}

/// Where an org stands on its calendar, once everything that is due has been closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The periods to close in this pass, oldest first.
    pub due: Vec<Period>,
    /// The nominal dates that their ends stand for; of an early end the local date.
    pub due_dates: Vec<LocalDate>,
    /// The period that is open afterwards. It may be due as well, when a pass is not enough.
    pub open: OpenPeriod,
    /// Does its end come from the org's calendar? It does not while a change of the calendar waits
    /// for it, or where the application chose it.
    pub is_nominal: bool,
    /// The ends that follow the open period's.
    pub next_ends: Vec<Instant>,
    /// The dates that the org's subscription waits for.
    pub dates: SubscriptionDates,
    /// Where it waits for one: the ends of the local days on which the open period and those that
    /// follow it end.
    pub day_ends: Vec<Instant>,
    /// What was counted by other boundaries, and has to be counted again.
    pub recount: Option<Recount>,
    /// How many missed periods the second of the due ones stands for; 1 unless they collapse.
    pub merged: usize,
    /// The period that closes before its end.
    pub early: Option<Period>,
    /// The restart that ends one of the due periods …
    pub restart: Option<Restart>,
    /// … and the anchor of the calendar that begins there.
    pub anchored: Option<Anchor>,
}

/// From where usage is counted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// The first boundary that differs.
    pub from: Instant,
    /// Does it fall inside a period that a counter spans?
    pub splits_a_counter: bool,
}

impl Timeline {
    /// The timeline of an org at `now`.
    ///
    /// # Errors
    /// The [`Reason`] why the org cannot be processed.
    pub fn of(
        org: &OrgState,
        calendar: &Calendar,
        policy: &Policy,
        now: Instant,
    ) -> Result<Self, Reason> {
        let first = first_open(org, calendar, now)?;
        let asked = asked_restart(org);
        let restarted = asked.map(|restart| Restarted::at(calendar, restart.at));
        let skipped = org.skipped_end_date;
        let mut walk = Walk { calendar, restarted, skipped, open: first, merged: 1 };
        let mut closing = walk.close_due(policy, now)?;
        let mut restart = asked.filter(|restart| restart.at <= now).cloned();
        let early = match &policy.early {
            Early::No => false,
            Early::KeepEnd => walk.close_early(&mut closing, now),
            // One that an application asked for comes first; this one needs another pass.
            Early::Restart { .. } if restart.is_some() => false,
            Early::Restart { tier } => {
                let begun = restart_now(org, tier.as_deref(), closing.is_empty(), now);
                let closes = walk.restart(&mut closing, now)?;
                restart = closes.then_some(begun);
                closes
            }
        };
        let open = walk.open;
        let following = walk.following()?;
        let dates = org.subscription.dates(&calendar.zone);
        let ends = [open.end].into_iter().chain(following.iter().copied());
        let day_ends = if dates.is_empty() {
            Vec::new()
        } else {
            ends.map(|end| calendar.day_end(end)).collect::<Result<_, _>>()?
        };
        let due: Vec<Period> = closing.iter().map(|close| close.period).collect();
        let mut timeline = Self {
            early: due.last().copied().filter(|_| early),
            due,
            due_dates: closing.iter().map(|close| close.end.date).collect(),
            open,
            is_nominal: walk.is_nominal()?,
            next_ends: following.iter().map(|boundary| boundary.at).collect(),
            dates,
            day_ends,
            recount: None,
            merged: walk.merged,
            anchored: walk.restarted.filter(|_| restart.is_some()).map(|begun| begun.anchor),
            restart,
        };
        let recount = |from, splits_a_counter| Some(Recount { from, splits_a_counter });
        timeline.recount = if early && timeline.due.len() == 1 {
            recount(open.period.start, true)
        } else if policy.catch_up == CatchUp::Collapse && timeline.due.len() > 1 {
            recount(timeline.due[0].end, false)
        } else if timeline.agrees_with(first.period, &org.next_period_ends) {
            None
        } else {
            let stored = org.period.map(StoredPeriod::stored_end);
            recount(first.period.end, stored.is_some_and(|end| end > first.period.end))
        };
        Ok(timeline)
    }

    /// The periods that this timeline knows, oldest first: the due ones, the open one, and those
    /// that follow it as far as the ends reach.
    pub fn windows(&self) -> Vec<Period> {
        let mut windows: Vec<Period> = self.due.iter().copied().chain([self.open.period]).collect();
        let mut start = self.open.period.end;
        for &end in &self.next_ends {
            windows.push(Period { start, end });
            start = end;
        }
        windows
    }

    /// Where it begins.
    pub fn start(&self) -> Instant {
        self.due.first().unwrap_or(&self.open.period).start
    }

    /// Was a counter kept by other bounds than these? Somebody moved the org's period since, and
    /// what the counter holds belongs to more than one period now.
    pub fn disagrees_with(&self, counter: Period) -> bool {
        let first = *self.due.first().unwrap_or(&self.open.period);
        if counter == first || counter.end <= first.start {
            return false;
        }
        if let Some(recount) = self.recount {
            let is_split = recount.splits_a_counter && counter.end > recount.from;
            if counter.start >= recount.from || is_split && counter.start >= first.start {
                // It is counted again anyhow.
                return false;
            }
        }
        let windows = self.windows();
        let reach = windows.last().map_or(first.end, |last| last.end);
        counter.start < reach && !windows.contains(&counter)
    }

    /// Has all usage counted again, from the first period that is not closed yet.
    pub fn recount_all(&mut self) {
        self.recount = Some(Recount { from: self.start(), splits_a_counter: false });
    }

    /// Has the open period begun too recently to be closed early?
    pub fn is_too_young(&self, now: Instant) -> bool {
        is_too_young(self.open.period, now)
    }

    /// Is more due when this pass is done?
    pub fn is_still_due(&self, now: Instant) -> bool {
        self.open.period.end <= now
    }

    /// Do the stored following ends, as far as both reach, agree with the computed ones? Where
    /// they do not, usage was counted by other boundaries than those that hold now.
    fn agrees_with(&self, first: Period, stored: &[Instant]) -> bool {
        let computed =
            self.windows().into_iter().map(|window| window.end).filter(|end| *end > first.end);
        stored.iter().zip(computed).all(|(stored, computed)| *stored == computed)
    }
}

fn is_too_young(period: Period, now: Instant) -> bool {
    let soon_after = |at: Instant, later: Instant| {
        at.plus(SHORTEST_EARLY).is_ok_and(|until| at < later && later < until)
    };
    // Somebody else may have opened it since the pass began.
    now < period.end && (soon_after(period.start, now) || soon_after(now, period.start))
}

/// An open period with the nominal date that its end stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPeriod {
    pub period: Period,
    /// Its end as a boundary.
    pub end: Boundary,
}

impl OpenPeriod {
    fn new(start: Instant, end: Boundary) -> Self {
        Self { period: Period { start, end: end.at }, end }
    }
}

/// The period from which an org goes on: the stored one; without one, the period that begins
/// where the last closed one ended; without that, the period that contains `now`.
fn first_open(org: &OrgState, calendar: &Calendar, now: Instant) -> Result<OpenPeriod, Reason> {
    match (org.period, org.last_closed_end) {
        (Some(stored), _) if stored.period.end <= stored.period.start => {
            Err(Reason::Inverted(stored.period))
        }
        (Some(stored), Some(closed)) if closed != stored.period.start => {
            Err(Reason::DoesNotTouch { closed, start: stored.period.start })
        }
        (Some(stored), _) => {
            let at = stored.period.end;
            let end = match (asked_restart(org), stored.end_date) {
                (Some(&Restart { at: restart, .. }), _) if restart <= at => {
                    Boundary { at: restart, date: calendar.zone.date(restart) }
                }
                (_, Some(date)) => Boundary { at, date },
                (_, None) => Boundary { at, date: calendar.nearest(at)? },
            };
            Ok(OpenPeriod::new(stored.period.start, end))
        }
        (None, Some(closed)) => {
            let (period, date) = calendar.period_at(closed)?;
            Ok(OpenPeriod::new(closed, Boundary { at: period.end, date }))
        }
        (None, None) => {
            let (period, date) = calendar.period_at(now)?;
            Ok(OpenPeriod::new(period.start, Boundary { at: period.end, date }))
        }
    }
}

/// The restart that an application asked for, unless the open period has begun since.
fn asked_restart(org: &OrgState) -> Option<&Restart> {
    let start = org.period?.period.start;
    org.restart.as_ref().filter(|restart| restart.at > start)
}

/// A restart that a person asks for now. With another tier than the org's, what it ends was on that
/// until now. Else the tier may have been set just before: the period was on the one that it began
/// with, unless a boundary comes first.
fn restart_now(org: &OrgState, tier: Option<&str>, is_first: bool, now: Instant) -> Restart {
    let held = &org.subscription.tier;
    let from = match &org.period_tier {
        Some(began) if is_first && tier.is_none_or(|tier| tier == held) => began,
        _ => held,
    };
    let (from, on) = (from.clone(), held.clone());
    Restart { at: now, from, on, tier: tier.map(str::to_owned), is_stored: false }
}

/// The calendar that begins at an instant.
struct Restarted {
    at: Instant,
    calendar: Calendar,
    anchor: Anchor,
}

impl Restarted {
    fn at(calendar: &Calendar, at: Instant) -> Self {
        let (calendar, anchor) = calendar.anchored_at(at);
        Self { at, calendar, anchor }
    }
}

/// A walk over the boundaries, from one open period to the next.
struct Walk<'a> {
    calendar: &'a Calendar,
    /// What holds after it.
    restarted: Option<Restarted>,
    /// A nominal date that no end stands for.
    skipped: Option<LocalDate>,
    open: OpenPeriod,
    merged: usize,
}

impl Walk<'_> {
    fn close_due(&mut self, policy: &Policy, now: Instant) -> Result<Vec<OpenPeriod>, Reason> {
        let limit = match policy.catch_up {
            CatchUp::Replay => policy.max_periods,
            CatchUp::Collapse => usize::MAX,
            CatchUp::Halt => 2,
        };
        let mut due = Vec::new();
        // What an application restarted is done whole: its ends reach no further than 35 days.
        let comes = |start: Instant, begun: &Option<Restarted>| {
            begun.as_ref().is_some_and(|begun| start < begun.at && begun.at <= now)
        };
        while self.open.period.end <= now
            && (due.len() < limit || comes(self.open.period.start, &self.restarted))
        {
            due.push(self.open);
            let next = self.next(self.open.end)?;
            self.open = OpenPeriod::new(self.open.period.end, next);
        }
        match policy.catch_up {
            CatchUp::Halt if due.len() > 1 => Err(Reason::Halted { since: due[0].end.at }),
            // What a restart ends and what follows it are never one.
            CatchUp::Collapse if due.len() > 2 && !self.restarts_inside(&due) => {
                self.merged = due.len() - 1;
                let last = due[due.len() - 1].end;
                Ok(vec![due[0], OpenPeriod::new(due[1].period.start, last)])
            }
            _ => Ok(due),
        }
    }

    /// Would the restart fall inside the period that the due ones but the first collapse to?
    fn restarts_inside(&self, due: &[OpenPeriod]) -> bool {
        let mut inner = due[1..due.len() - 1].iter();
        let at = self.restarted.as_ref().map(|begun| begun.at);
        inner.any(|close| Some(close.end.at) == at)
    }

    /// The end after an end: no later than the restart, and by the new calendar from there on.
    fn next(&self, end: Boundary) -> Result<Boundary, OutOfRange> {
        let following = || self.calendar.following_but(end, self.skipped);
        match &self.restarted {
            None => following(),
            Some(begun) if end.at >= begun.at => begun.calendar.following(end),
            Some(begun) => {
                let next = following()?;
                let date = self.calendar.zone.date(begun.at);
                Ok(if next.at < begun.at { next } else { Boundary { at: begun.at, date } })
            }
        }
    }

    /// The ends that follow the open period's.
    fn following(&self) -> Result<Vec<Boundary>, OutOfRange> {
        let Some(begun) = &self.restarted else {
            let OpenPeriod { end, .. } = self.open;
            let date = self.skipped.map_or(end.date, |skipped| skipped.max(end.date));
            return self.calendar.following_boundaries(Boundary { date, ..end });
        };
        let (mut ends, mut last) = (Vec::new(), self.open.end);
        while last.at < begun.at {
            last = self.next(last)?;
            ends.push(last);
        }
        ends.extend(begun.calendar.following_boundaries(last)?);
        Ok(ends)
    }

    /// Does the open period's end come from the calendar?
    fn is_nominal(&self) -> Result<bool, OutOfRange> {
        let calendar = match &self.restarted {
            Some(begun) if self.open.end.at > begun.at => &begun.calendar,
            _ => self.calendar,
        };
        Ok(calendar.boundary_of(self.open.end.date)? == self.open.end)
    }

    /// Closes the open period at `now`, and opens a full one.
    fn restart(&mut self, due: &mut Vec<OpenPeriod>, now: Instant) -> Result<bool, OutOfRange> {
        let is_closed = self.close_early(due, now);
        if is_closed {
            self.restarted = Some(Restarted::at(self.calendar, now));
            let end = self.next(Boundary { at: now, date: self.calendar.zone.date(now) })?;
            self.open = OpenPeriod::new(now, end);
        }
        Ok(is_closed)
    }

    /// Closes the open period at `now`; the new one ends where the closed one would have.
    fn close_early(&mut self, due: &mut Vec<OpenPeriod>, now: Instant) -> bool {
        let Period { start, end } = self.open.period;
        let inside = start < now && now < end && !is_too_young(self.open.period, now);
        if inside {
            let end = Boundary { at: now, date: self.calendar.zone.date(now) };
            due.push(OpenPeriod::new(start, end));
            self.open.period.start = now;
        }
        inside
    }
}
