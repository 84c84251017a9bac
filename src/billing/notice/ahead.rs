//! Notices some days before an instant: subscriptions, trials and tiers that change.

use jiff::ToSpan;

use super::{Change, Decided, Notice, Part, Seen, is_told};
use crate::billing::{Instant, Zone};

/// Statuses by which payment providers say that a subscription is a trial.
const TRIALS: [&str; 3] = ["trial", "trialing", "trialling"];

/// The numbers of days of which an instant is at most so far ahead, on the org's wall calendar, the
/// nearest first; none once it has come.
pub fn reached(days: &[u8], at: Instant, now: Instant, zone: &Zone) -> Vec<u8> {
    if at <= now {
        return Vec::new();
    }
    let (today, day) = (zone.date(now).0, zone.date(at).0);
    let is_reached = |days: &u8| day.checked_sub(i64::from(*days).days()).is_ok_and(|d| today >= d);
    let mut reached: Vec<u8> = days.iter().copied().filter(is_reached).collect();
    reached.sort_unstable();
    reached.dedup();
    reached
}

/// Tier and subscription of an org, with the boundaries at which they may change.
#[derive(Clone, Debug)]
pub struct Subscribed<'a> {
    pub zone: &'a Zone,
    /// The ends of the open period and of those after it.
    pub ends: &'a [Instant],
    /// The ends of the local days that these are on.
    pub day_ends: &'a [Instant],
    pub status: Option<&'a str>,
    /// The tier that grants now: code and name.
    pub tier: (&'a str, &'a str),
    /// The tier to come.
    pub next_tier: Option<(&'a str, &'a str)>,
    pub next_tier_at: Option<Instant>,
    pub subscription_ends_at: Option<Instant>,
    /// The tier of ended subscriptions.
    pub ended_tier: (&'a str, &'a str),
}

/// The days before its change at which each kind is told of.
#[derive(Clone, Copy, Debug, Default)]
pub struct DaysBefore<'a> {
    pub subscription_ends: &'a [u8],
    pub trial_ends: &'a [u8],
    pub tier_changes: &'a [u8],
}

impl Subscribed<'_> {
    /// The boundary at which something that is set for an instant takes effect: the first one
    /// whose local day has not ended before it.
    fn boundary(&self, set_for: Option<Instant>) -> Option<Instant> {
        let Some(set_for) = set_for else { return self.ends.first().copied() };
        let days = self.ends.iter().zip(self.day_ends);
        days.filter(|(_, day_end)| **day_end > set_for).map(|(end, _)| *end).next()
    }

    /// The changes ahead. Where subscription and tier change at one boundary, the end of the
    /// subscription says both.
    pub fn changes(&self) -> Vec<Notice> {
        let mut changes = Vec::new();
        let ending = self.subscription_ends_at.and_then(|at| self.boundary(Some(at)));
        if let Some(at) = ending {
            let change = self.change(at, self.ended_tier);
            let is_trial = self.status.is_some_and(|status| TRIALS.contains(&status));
            changes.push(if is_trial {
                Notice::TrialEnds(change)
            } else {
                Notice::SubscriptionEnds(change)
            });
        }
        let changing =
            self.next_tier.and_then(|next| Some((next, self.boundary(self.next_tier_at)?)));
        if let Some((next, at)) = changing
            && ending.is_none_or(|ending| at < ending)
            && next.0 != self.tier.0
        {
            changes.push(Notice::TierChanges(self.change(at, next)));
        }
        changes
    }

    /// What is to be told of changes ahead.
    pub fn decide(&self, days: DaysBefore<'_>, now: Instant, seen: &[Seen]) -> Vec<Decided> {
        let changes = self.changes().into_iter().filter_map(|notice| {
            let (days, at) = match &notice {
                Notice::TrialEnds(change) => (days.trial_ends, change.at),
                Notice::SubscriptionEnds(change) => (days.subscription_ends, change.at),
                Notice::TierChanges(change) => (days.tier_changes, change.at),
                _ => return None,
            };
            Some(before(notice, at, days, now, self.zone, seen))
        });
        changes.flatten().collect()
    }

    fn change(&self, at: Instant, next: (&str, &str)) -> Change {
        let text = |text: &str| text.to_owned();
        Change {
            at,
            tier: text(self.tier.0),
            tier_name: text(self.tier.1),
            next_tier: text(next.0),
            next_tier_name: text(next.1),
        }
    }
}

/// The nearest of the days that are reached tells; those before it are covered.
fn before(
    notice: Notice,
    at: Instant,
    days: &[u8],
    now: Instant,
    zone: &Zone,
    seen: &[Seen],
) -> Vec<Decided> {
    let kind = notice.kind();
    let subject = match &notice {
        Notice::TierChanges(change) => format!("{at}/{}", change.next_tier),
        _ => at.to_string(),
    };
    let mut parts = std::iter::once(Part::Tells(notice));
    let decided = reached(days, at, now, zone).into_iter().map(|days| Decided {
        kind,
        key: format!("{subject}/{days}"),
        part: parts.next().unwrap_or(Part::Covered),
        until: at,
    });
    decided.filter(|one| !is_told(seen, kind, &one.key)).collect()
}
