//! From a candidate to what is recorded about it.

use std::collections::HashMap;

use uuid::Uuid;

use super::notices::Settings;
use super::request::Watched;
use crate::billing::Quantity;
use crate::billing::notice::Kind;
use crate::billing::quantity::Overflow;
use crate::billing::quota::Included;
use crate::billing::recipients::{Person, recipients};
use crate::billing::threshold::{self, CounterUsage, Limit, Tell};
use crate::store::alerts::{AlertRow, AlertState, Candidate, Facts, Judgement, NewEmail};

/// A judgement that is still without recipients.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) judgement: Judgement,
    pub(super) tell: Option<Tell>,
    /// It tells of nothing but what has been waiting, and nothing else has changed.
    is_waiting: bool,
}

/// Judges a candidate. `None` when there is nothing to record, or when its quantities leave their
/// range: then the rollover parks the org, and says why.
pub(super) fn decide(candidate: Candidate, watched: &Watched) -> Option<Decided> {
    let limit = limit(&candidate, candidate.included, Quantity::ZERO).ok()?;
    let before = candidate.included_before.unwrap_or(candidate.included);
    let limit_before = self::limit(&candidate, before, candidate.lost).ok()?;
    let own = candidate.thresholds.as_ref().map(|own| watched.own_thresholds(own));
    let thresholds = own.as_deref().unwrap_or_else(|| watched.thresholds(&candidate.feature));
    let usage = CounterUsage { thresholds, used: candidate.used, limit, limit_before };
    let then = candidate.then.as_ref();
    let verdict = threshold::judge(&usage, then.map(|then| &then.judged));
    let is_same =
        then.is_none_or(|then| (then.judged.used, then.judged.limit) == (candidate.used, limit));
    if !verdict.is_news() && is_same {
        return None;
    }
    let quiet = |level: &u8| AlertRow {
        threshold: *level,
        state: AlertState::Covered,
        limit_change: false,
        is_event: verdict.passes(*level),
    };
    let ends_wait = then.is_some_and(|then| {
        !then.judged.waiting.is_empty() && verdict.generation > then.judged.generation
    });
    let judgement = Judgement {
        org: candidate.org,
        feature: candidate.feature,
        period: candidate.period,
        expected_seq: then.map_or(0, |then| then.seq),
        generation: verdict.generation,
        limit: limit.column(),
        facts: Facts {
            basis: candidate.basis,
            used: candidate.used,
            included: candidate.included.column(),
            drawn: candidate.drawn,
            purchased: candidate.usable,
        },
        alerts: verdict.kept.iter().chain(&verdict.covered).map(quiet).collect(),
        emails: Vec::new(),
        ends_wait,
    };
    let has_waited = verdict.tell.is_some_and(|tell| tell.has_waited);
    let is_waiting = has_waited && judgement.alerts.is_empty() && is_same;
    Some(Decided { judgement, tell: verdict.tell, is_waiting })
}

/// What thresholds are percentages of, with `besides` that packs held.
fn limit(candidate: &Candidate, included: Included, besides: Quantity) -> Result<Limit, Overflow> {
    match included {
        Included::Quantity(included) if candidate.basis == "allowance" => {
            let packs = candidate.drawn.plus(candidate.usable)?.plus(besides)?;
            Ok(Limit::Quantity(included.plus(packs)?))
        }
        other => Ok(other),
    }
}

impl Decided {
    /// The judgement with its emails: one for everybody who is to be told. `None` for what has
    /// been waiting and goes on waiting.
    pub(super) fn addressed(
        &self,
        people: &HashMap<Uuid, Vec<Person>>,
        mails: bool,
        notices: &Settings,
    ) -> Option<Judgement> {
        let mut judgement = self.judgement.clone();
        let Some(Tell { level, limit_change, .. }) = self.tell else { return Some(judgement) };
        let people = people.get(&judgement.org).map(Vec::as_slice).unwrap_or_default();
        let matter = notices.matter(Kind::Threshold, Some(i16::from(level)));
        let recipients = recipients(people, matter);
        let state = match (mails, recipients.is_empty()) {
            (false, _) => AlertState::Recorded,
            (true, true) => AlertState::Waiting,
            (true, false) => AlertState::Notified,
        };
        if self.is_waiting && state == AlertState::Waiting {
            return None;
        }
        judgement.alerts.push(AlertRow { threshold: level, state, limit_change, is_event: true });
        if mails {
            let email = |recipient| NewEmail { id: Uuid::new_v4(), threshold: level, recipient };
            judgement.emails = recipients.into_iter().map(email).collect();
        }
        Some(judgement)
    }
}
