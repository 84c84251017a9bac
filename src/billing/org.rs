//! An org as its row has it, what it subscribes to, and why it cannot be processed.

pub mod pause;
pub mod restart;

use uuid::Uuid;

use self::pause::Pause;
use self::restart::Restart;
use super::instant::time_of_day::TimeOfDay;
use super::instant::{Instant, LocalDate, OutOfRange};
use super::parking::ParkedCode;
use super::period::{Boundary, Calendar, Cycle, InvalidCycle, Period, Zone};
use super::quantity::{Overflow, Quantity};
use super::when::shown_in_utc;

/// The row of an org, as far as a rollover reads it.
#[derive(Clone, Debug)]
pub struct OrgState {
    pub id: Uuid,
    pub slug: String,
    /// Moves with every change that a plan must not overlook (packs granted, refunded, …).
    pub revision: i64,
    /// The zone's name, as stored; it may be wrong.
    pub time_zone: String,
    /// The cycle's name, as stored.
    pub cycle: String,
    /// Day of the month or ISO weekday, as stored.
    pub anchor_day: i16,
    /// Month of a quarterly, semiannual or yearly cycle, as stored.
    pub anchor_month: i16,
    /// The local time of day at which periods end.
    pub anchor_time: TimeOfDay,
    /// The open period; `None` when either end is missing.
    pub period: Option<StoredPeriod>,
    /// The stored following ends; empty when unknown.
    pub next_period_ends: Vec<Instant>,
    /// The zone that the stored end came from.
    pub ends_time_zone: Option<String>,
    /// The time of day that the stored end came from.
    pub ends_anchor_time: TimeOfDay,
    /// The tz database release that the stored end came from.
    pub ends_tzdb: Option<String>,
    /// The end of the last closed period.
    pub last_closed_end: Option<Instant>,
    pub subscription: Subscription,
    /// The tier that the open period began with; `None` where nobody wrote it down.
    pub period_tier: Option<String>,
    /// A restart that an application asked for, and that waits for a rollover.
    pub restart: Option<Restart>,
    /// The nominal date that the end after the open period's passes over.
    pub skipped_end_date: Option<LocalDate>,
    /// Its last pause, past or present.
    pub pause: Option<Pause>,
    pub overage_minutes: Quantity,
    /// What periodd wrote to `overage_minutes` last, without what others had added.
    pub overage_minutes_written: Option<Quantity>,
    /// Minutes granted in packs since then.
    pub overage_minutes_granted: Quantity,
}

/// An open period as stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredPeriod {
    /// The stored ends; possibly inverted.
    pub period: Period,
    /// The nominal date of the end; unknown for rows that others inserted.
    pub end_date: Option<LocalDate>,
    /// The end as stored, where newer zone rules have moved it: see [`StoredPeriod::under`].
    pub moved_from: Option<Instant>,
}

impl StoredPeriod {
    /// This period under newer zone rules: its end moves with the local time that it stands for,
    /// if both lie in the future. What has ended never moves.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn under(self, zone: &Zone, time: TimeOfDay, now: Instant) -> Result<Self, OutOfRange> {
        let Some(date) = self.end_date else { return Ok(self) };
        let Period { start, end: stored } = self.period;
        if stored == Instant::NEVER {
            return Ok(self);
        }
        let end = zone.first_at(date, time)?;
        if end == stored || end <= now || stored <= now || end <= start {
            return Ok(self);
        }
        Ok(Self { period: Period { start, end }, moved_from: Some(stored), ..self })
    }

    /// This period in a calendar that has ends again: one that would never end does so at the first
    /// boundary after `now`.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn ended_by(self, calendar: &Calendar, now: Instant) -> Result<Self, OutOfRange> {
        let Period { start, end } = self.period;
        if end != Instant::NEVER || calendar.cycle == Cycle::None {
            return Ok(self);
        }
        let (containing, date) = calendar.period_at(now.max(start))?;
        let period = Period { start, end: containing.end };
        Ok(Self { period, end_date: Some(date), moved_from: Some(end) })
    }

    /// The end as stored.
    pub fn stored_end(self) -> Instant {
        self.moved_from.unwrap_or(self.period.end)
    }
}

/// Tier and subscription of an org.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Subscription {
    /// The tier that grants now.
    pub tier: String,
    /// The tier to come.
    pub next_tier: Option<String>,
    /// From when; `None` is the next boundary.
    pub next_tier_at: Option<Instant>,
    /// Status from the payment provider; reported, never interpreted.
    pub status: Option<String>,
    /// When the subscription ends.
    pub ends_at: Option<Instant>,
}

/// The local dates that the instants of a subscription mean, in the zone of its org: what is set
/// takes effect at the first boundary whose nominal date is not before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionDates {
    /// From when the tier to come may apply.
    pub next_tier: Option<LocalDate>,
    /// When the subscription ends.
    pub end: Option<LocalDate>,
}

impl SubscriptionDates {
    /// Does nothing wait for a date?
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A change of the tier that a boundary brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierChange {
    pub at: Instant,
    pub before: String,
    pub after: String,
}

impl Subscription {
    /// The dates that its instants mean in a zone.
    pub fn dates(&self, zone: &Zone) -> SubscriptionDates {
        let date = |at: Option<Instant>| at.map(|at| zone.date(at));
        SubscriptionDates { next_tier: date(self.next_tier_at), end: date(self.ends_at) }
    }

    /// What applies from the boundary of a nominal date on: an ended subscription, else a tier to
    /// come. A tier to come that is due at the same boundary goes with the subscription; a later
    /// one was sold for then.
    pub(super) fn at_boundary(
        &mut self,
        date: LocalDate,
        dates: SubscriptionDates,
        ended_tier: &str,
    ) {
        let is_next_due = self.next_tier_at.is_none() || dates.next_tier <= Some(date);
        if self.ends_at.is_some() && dates.end <= Some(date) {
            ended_tier.clone_into(&mut self.tier);
            self.status = Some("canceled".to_owned());
            self.ends_at = None;
            if is_next_due {
                self.next_tier = None;
                self.next_tier_at = None;
            }
        } else if is_next_due && let Some(next) = self.next_tier.take() {
            self.tier = next;
            self.next_tier_at = None;
        }
    }

    /// What applies from a restart on, which stands for `date`: the tier that was named with it,
    /// for a subscription that goes on; else that of `row`, with what a boundary of this date
    /// brings. One that was set before the restart gives way to what a boundary has changed since;
    /// one that was written after it stays.
    pub(super) fn at_restart(
        &mut self,
        restart: &Restart,
        row: &Self,
        date: LocalDate,
        dates: SubscriptionDates,
        ended_tier: &str,
    ) {
        let Some(tier) = &restart.tier else {
            let is_unchanged = *row == (Self { tier: row.tier.clone(), ..self.clone() });
            if is_unchanged || row.tier != restart.on {
                self.tier.clone_from(&row.tier);
            }
            return self.at_boundary(date, dates, ended_tier);
        };
        self.tier.clone_from(tier);
        if restart.is_stored {
            // What was due by then is gone from the row: the rest was written since.
            return;
        }
        let is_due = self.next_tier_at.is_none() || dates.next_tier <= Some(date);
        if is_due {
            self.next_tier = None;
            self.next_tier_at = None;
        }
        if self.ends_at.is_some() && dates.end <= Some(date) {
            self.ends_at = None;
        }
    }

    /// The changes of the tier that are to come, in their order: from the boundary that ends the
    /// open period on, but for one that is passed over.
    ///
    /// # Errors
    /// [`OutOfRange`] at the very ends of the calendar.
    pub fn changes_ahead(
        &self,
        calendar: &Calendar,
        end: Boundary,
        skipped: Option<LocalDate>,
        ended_tier: &str,
    ) -> Result<Vec<TierChange>, OutOfRange> {
        let dates = self.dates(&calendar.zone);
        let mut boundaries = Vec::new();
        if self.next_tier.is_some() {
            boundaries.push(calendar.first_from(end, dates.next_tier, skipped)?);
        }
        if self.ends_at.is_some() {
            boundaries.push(calendar.first_from(end, dates.end, skipped)?);
        }
        boundaries.sort_by_key(|boundary| boundary.at);
        boundaries.dedup_by_key(|boundary| boundary.at);
        let mut subscription = self.clone();
        let mut changes = Vec::new();
        for boundary in boundaries {
            let before = subscription.clone();
            subscription.at_boundary(boundary.date, dates, ended_tier);
            if subscription != before {
                let (before, after) = (before.tier, subscription.tier.clone());
                changes.push(TierChange { at: boundary.at, before, after });
            }
        }
        Ok(changes)
    }
}

/// A change of tier or subscription.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct SubscriptionChange {
    /// As it stood; the change applies only while it still does.
    pub before: Subscription,
    /// As it stands afterwards.
    pub after: Subscription,
}

/// Why an org cannot be processed; the sentence that it is parked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The zone is unknown.
    #[error("{0}")]
    Zone(String),
    /// The cycle or an anchor is unknown.
    #[error("{0}")]
    Cycle(#[from] InvalidCycle),
    /// The stored period does not end after it starts.
    #[error("the period {0} does not end after it starts")]
    Inverted(Period),
    /// There would be a gap or an overlap.
    #[error(
        "the open period starts at {}, but the last closed one ended at {}",
        shown_in_utc(*.start),
        shown_in_utc(*.closed)
    )]
    DoesNotTouch {
        /// End of the last closed period.
        closed: Instant,
        /// Start of the open one.
        start: Instant,
    },
    /// More than one period is due, and `catch_up = "halt"`.
    #[error(
        "more than one period is due (the first since {}) and catch_up is \"halt\"",
        shown_in_utc(*.since)
    )]
    Halted {
        /// When the oldest period ended.
        since: Instant,
    },
    /// A quantity does not fit.
    #[error("{0}")]
    Overflow(#[from] Overflow),
    /// A date does not fit.
    #[error("{0}")]
    OutOfRange(#[from] OutOfRange),
    /// A pack holds less than nothing.
    #[error("pack {0} has a negative quantity")]
    NegativePack(Uuid),
    /// The database's own words about a row that it refused or could not read.
    #[error("{0}")]
    Unprocessable(String),
}

impl Reason {
    /// The kind of reason, as a code.
    pub fn code(&self) -> ParkedCode {
        match self {
            Self::Zone(_) => ParkedCode::UnknownZone,
            Self::Cycle(_) => ParkedCode::InvalidCycle,
            Self::Inverted(_) => ParkedCode::InvertedPeriod,
            Self::DoesNotTouch { .. } => ParkedCode::Gap,
            Self::Halted { .. } => ParkedCode::Halted,
            Self::Overflow(_) | Self::OutOfRange(_) => ParkedCode::OutOfRange,
            Self::NegativePack(_) => ParkedCode::NegativePack,
            Self::Unprocessable(_) => ParkedCode::Unprocessable,
        }
    }
}
