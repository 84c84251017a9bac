//! Whether a reading of the database's clock is believed.
//!
//! What is due, late or expired is judged by the database's clock, and most of it cannot be undone.
//! A clock that is wrong for seconds must therefore close nothing. Three witnesses are asked: the
//! time that has really passed since the clock was last believed (a machine counts it from its
//! start on, whatever its own clock is set to), this machine's clock, and what other machines
//! believed last. Where time has passed by the first, the others need not agree.

use std::fmt;

use jiff::SignedDuration;

use super::Instant;
use super::when::shown_in_utc;

/// Clocks that differ by more than this are not both right.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);
/// A clock that is within the tolerance becomes the measure of later readings no sooner than after
/// this: one that runs fast is not believed a minute more at each step.
const MEASURE_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Whoever has said nothing for so long is not running: those that run say every ten seconds what
/// they believe, or what they expect while they do not believe it.
const SILENCE: SignedDuration = SignedDuration::from_secs(25);
/// A reading that took longer is believed, and is no measure of later ones.
const PRECISE: SignedDuration = SignedDuration::from_secs(2);

/// What the clocks said at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    pub database: Instant,
    /// This machine's clock, when the database had answered.
    pub machine: Instant,
    /// How long this machine has been running then, its sleep included.
    pub awake: SignedDuration,
    /// How long the database took to answer: its clock was read somewhere in between.
    pub took: SignedDuration,
}

impl Reading {
    /// Is its moment known well enough to compare later readings with?
    pub fn is_precise(&self) -> bool {
        self.took <= PRECISE
    }

    /// How far the database's clock is from this machine's; zero where the time that the answer
    /// took explains it.
    fn off_machine(&self) -> SignedDuration {
        apart(self.database.since(self.machine), -self.took, SignedDuration::ZERO)
    }

    /// How far the database's clock is from where it should be, had it been right at `earlier`.
    fn off_measure(&self, earlier: &Self) -> SignedDuration {
        let passed = self.awake.saturating_sub(earlier.awake);
        let moved = self.database.since(earlier.database);
        let shortest = passed.saturating_sub(self.took);
        apart(moved, shortest, passed.saturating_add(earlier.took))
    }

    /// What the database's clock should say, had it been right at `earlier`.
    fn expected(&self, earlier: &Self) -> Instant {
        let passed = self.awake.saturating_sub(earlier.awake);
        earlier.database.plus(passed).unwrap_or(earlier.database)
    }
}

/// How far a value is outside of a range; negative below it.
fn apart(value: SignedDuration, from: SignedDuration, to: SignedDuration) -> SignedDuration {
    if value > to {
        value.saturating_sub(to)
    } else if value < from {
        value.saturating_sub(from)
    } else {
        SignedDuration::ZERO
    }
}

/// Is an instant one that has not come yet, by more than clocks may differ? Written as past, it
/// was written by a clock that ran ahead.
pub fn is_ahead(at: Instant, now: Instant) -> bool {
    at.since(now) > TOLERANCE
}

fn agrees(apart: SignedDuration) -> bool {
    apart.abs() <= TOLERANCE
}

/// What is remembered of readings that were believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// What later readings of this machine are compared with.
    pub measure: Option<Reading>,
    /// The last one that was believed on this machine since it was started.
    pub last: Option<Reading>,
    /// The newest that any other machine believed, or expects by the time that has passed there.
    pub elsewhere: Option<Instant>,
    /// How long this machine had been running when that was first seen …
    pub heard_at: Option<SignedDuration>,
    /// … and whether it has moved while this process looked: then that other machine runs.
    pub is_alive: bool,
}

/// What is to be made of a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is right, and later ones may be compared with it.
    Right,
    /// It lags behind what was believed before, and agrees with this machine's clock. By a clock
    /// that lags nothing is done too early; but it is no measure of later readings yet.
    Lags,
    /// It is not believed.
    Doubted(Doubt),
}

impl Memory {
    /// Judges a reading.
    ///
    /// A jump that the machine's own clock makes too (both may be one and the same clock) is
    /// believed once it has lasted as long as it was wide.
    pub fn judge(&self, reading: &Reading) -> Verdict {
        let by_machine = agrees(reading.off_machine());
        let Some(measure) = self.measure.or(self.last) else {
            return self.judge_first(reading, by_machine);
        };
        let off = reading.off_measure(&measure);
        if agrees(off) {
            return Verdict::Right;
        }
        let last = self.last.unwrap_or(measure);
        let has_lasted = reading.awake.saturating_sub(last.awake) >= off.abs();
        match (by_machine, has_lasted) {
            (true, true) => Verdict::Right,
            (true, false) if off.is_negative() => Verdict::Lags,
            _ => Verdict::Doubted(Doubt {
                database: reading.database,
                machine: reading.machine,
                expected: reading.expected(&measure),
                witness: Witness::Elapsed,
            }),
        }
    }

    /// Nothing was believed on this machine since it was started.
    ///
    /// Its clock and the database's may be one and the same, and wrong. Where another machine's
    /// last word is far behind, either that one is right, or nobody has been running since: it is
    /// listened for a while to whether it speaks.
    fn judge_first(&self, reading: &Reading, by_machine: bool) -> Verdict {
        let is_recent = |elsewhere| agrees(reading.database.since(elsewhere));
        if self.elsewhere.is_some_and(is_recent) {
            return Verdict::Right;
        }
        let doubted = |expected, witness| {
            let (database, machine) = (reading.database, reading.machine);
            Verdict::Doubted(Doubt { database, machine, expected, witness })
        };
        if !by_machine {
            // Whichever is behind does nothing too early.
            return doubted(reading.database.min(reading.machine), Witness::Machine);
        }
        let Some(behind) = self.elsewhere.filter(|word| *word < reading.database) else {
            return Verdict::Right;
        };
        let listened = self.heard_at.map(|since| reading.awake.saturating_sub(since));
        match (listened, self.is_alive) {
            (Some(listened), _) if listened >= SILENCE => Verdict::Right,
            (_, true) => doubted(behind, Witness::Elsewhere),
            (_, false) => doubted(reading.database, Witness::Unheard),
        }
    }

    /// Remembers a reading that was believed.
    pub fn believe(&mut self, reading: Reading) {
        self.last = Some(reading);
        let is_old = self.measure.is_none_or(|measure| {
            reading.awake.saturating_sub(measure.awake) >= MEASURE_KEPT
                || !agrees(reading.off_measure(&measure))
        });
        if is_old && (reading.is_precise() || self.measure.is_none()) {
            self.measure = Some(reading);
        }
    }

    /// Takes in what is stored, after this machine had been running for `awake`: `own` is what any
    /// process of it believed last. Where that is gone, somebody has said that the database's clock
    /// is right, and nothing from before counts any more.
    pub fn recall(
        &mut self,
        own: Option<Reading>,
        elsewhere: Option<Instant>,
        awake: SignedDuration,
    ) {
        if self.heard_at.is_none() || elsewhere != self.elsewhere {
            self.is_alive = self.heard_at.is_some() && elsewhere > self.elsewhere;
            self.heard_at = Some(awake);
        }
        self.elsewhere = elsewhere;
        match (own, self.last) {
            (Some(own), Some(last)) if own.awake <= last.awake => {}
            (Some(own), _) => (self.measure, self.last) = (Some(own), Some(own)),
            (None, _) => (self.measure, self.last) = (None, None),
        }
    }
}

/// Which witness speaks against the database's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Witness {
    /// The time that has passed since it was last believed.
    Elapsed,
    /// This machine's clock; nothing has been believed on this machine yet.
    Machine,
    /// Another machine that is running, and has measured the time since it last believed the clock.
    Elsewhere,
    /// Nobody yet: another machine's last word is far behind, and it is being listened for.
    Unheard,
}

/// Why the database's clock is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubt {
    pub database: Instant,
    /// What this machine's clock says.
    pub machine: Instant,
    /// What it should say: no later than it really is, as far as anybody knows.
    pub expected: Instant,
    pub witness: Witness,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, machine, expected, witness } = self;
        let [database, machine, expected] =
            [database, machine, expected].map(|at| shown_in_utc(*at));
        write!(f, "the database's clock says {database}, ")?;
        match witness {
            Witness::Elapsed => write!(
                f,
                "and by the time that has passed since it was last right it is {expected} \
                 (this machine's clock says {machine})"
            ),
            Witness::Machine => write!(f, "this machine's clock says {machine}"),
            Witness::Elsewhere => write!(
                f,
                "and by the time that has passed on another machine since it was last right it is \
                 {expected} (this machine's clock says {machine})"
            ),
            Witness::Unheard => write!(
                f,
                "far ahead of what another machine last trusted; whether that one is running is \
                 known in {} s",
                SILENCE.as_secs()
            ),
        }
    }
}

/// What the database's clock says, and whether that is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// It is believed.
    Believed(Instant),
    /// It is not: nothing that cannot be undone may be done by it.
    Doubted(Doubt),
}

impl Judged {
    /// What the database's clock says.
    pub const fn database(&self) -> Instant {
        match self {
            Self::Believed(now) => *now,
            Self::Doubted(doubt) => doubt.database,
        }
    }

    /// What time it is, as far as anybody knows.
    pub const fn expected(&self) -> Instant {
        match self {
            Self::Believed(now) => *now,
            Self::Doubted(doubt) => doubt.expected,
        }
    }

    /// Why it is not believed.
    pub const fn doubt(&self) -> Option<&Doubt> {
        match self {
            Self::Believed(_) => None,
            Self::Doubted(doubt) => Some(doubt),
        }
    }
}
