//! What is looked for, and where the configuration says it.

use std::collections::{BTreeMap, BTreeSet};

use crate::billing::notice::Kind;
use crate::billing::notice::ahead::DaysBefore;
use crate::billing::recipients::{LIMIT_REACHED, Matter, Terms};
use crate::config::Config;

/// The kinds of notices that are sent, when and to whom.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// To whom each kind goes, whether it is sent or not.
    terms: BTreeMap<Kind, Terms>,
    /// The kinds that are sent.
    on: BTreeSet<Kind>,
    pub(super) pack_days: Vec<u8>,
    subscription_days: Vec<u8>,
    trial_days: Vec<u8>,
    tier_days: Vec<u8>,
    pub(super) every_days: u8,
    /// Thresholds of users' own limits.
    pub(super) user_thresholds: Vec<u8>,
    /// The tier of ended subscriptions.
    pub(super) ended_tier: String,
    /// Those who run periodd.
    pub(super) operators: Vec<String>,
}

impl Settings {
    /// What the configuration says.
    pub fn of(config: &Config) -> Self {
        let notices = &config.notices;
        let all = notices.terms();
        let on = all.iter().filter(|(_, is_on)| *is_on).map(|(terms, _)| terms.kind).collect();
        let terms = all.into_iter().map(|(terms, _)| (terms.kind, terms));
        let operators = config.mail.operators.iter().map(|operator| operator.address.clone());
        Self {
            terms: terms.collect(),
            on,
            pack_days: notices.pack_expires.days.0.clone(),
            subscription_days: notices.subscription_ends.days.0.clone(),
            trial_days: notices.trial_ends.days.0.clone(),
            tier_days: notices.tier_changes.days.0.clone(),
            every_days: notices.limit_reached_again.every_days,
            user_thresholds: notices.user_limit.thresholds.0.clone(),
            ended_tier: config.rollover.ended_tier.clone(),
            operators: operators.collect(),
        }
    }

    /// Is a kind sent?
    pub(super) fn is_on(&self, kind: Kind) -> bool {
        self.on.contains(&kind)
    }

    pub(super) fn is_anything_on(&self) -> bool {
        !self.on.is_empty()
    }

    /// Whom a kind goes to; `None`: it is not sent.
    pub(super) fn terms(&self, kind: Kind) -> Option<&Terms> {
        self.terms.get(&kind).filter(|terms| self.is_on(terms.kind))
    }

    /// Those who run periodd.
    pub fn operators(&self) -> &[String] {
        &self.operators
    }

    /// What an email of the outbox is about: a threshold, or a notice, which may be of a kind that
    /// is no longer sent. A threshold above 100 % goes by what is said of reminders.
    pub fn matter(&self, kind: Kind, threshold: Option<i16>) -> Matter<'_> {
        let level = threshold.map(|level| u8::try_from(level).unwrap_or(u8::MAX));
        let (kind, level) = match level {
            Some(level) if level > LIMIT_REACHED => (Kind::LimitReachedAgain, None),
            level => (kind, level),
        };
        match (self.terms.get(&kind), level) {
            (Some(terms), None) => Matter::Notice(terms),
            (_, level) => Matter::Threshold(level.unwrap_or(u8::MAX)),
        }
    }

    /// The days before, of the kinds that are sent.
    pub(super) fn days_before(&self) -> DaysBefore<'_> {
        DaysBefore {
            subscription_ends: self.days(Kind::SubscriptionEnds, &self.subscription_days),
            trial_ends: self.days(Kind::TrialEnds, &self.trial_days),
            tier_changes: self.days(Kind::TierChanges, &self.tier_days),
        }
    }

    /// The days before of a kind; none, where it is not sent.
    fn days<'a>(&self, kind: Kind, days: &'a [u8]) -> &'a [u8] {
        if self.is_on(kind) { days } else { &[] }
    }

    /// The most days before a change of tier or subscription; `None`: nobody is told of any.
    pub(super) fn most_days(&self) -> Option<u8> {
        let DaysBefore { subscription_ends, trial_ends, tier_changes } = self.days_before();
        [subscription_ends, trial_ends, tier_changes].into_iter().flatten().max().copied()
    }
}
