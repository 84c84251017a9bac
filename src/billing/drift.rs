//! Drift: which differences an audit mends, and when it must not believe what it read.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::BuildHasher;

use uuid::Uuid;

use super::instant::Instant;
use super::quantity::Quantity;
use super::quota::Feature;

/// Orgs that an audit may always change, however few there are in all.
const ALWAYS_ALLOWED: u64 = 10;

/// A counter that is not the sum of its counted metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterDrift {
    pub org: Uuid,
    /// The user, for a user's counter.
    pub user: Option<Uuid>,
    pub feature: Feature,
    /// The period, by its start.
    pub period_start: Instant,
    /// Its end; `None` for a counter of no period of the org's.
    pub period_end: Option<Instant>,
    /// What the counter held; `None` where there was none.
    pub before: Option<Quantity>,
    /// The sum of its counted metrics.
    pub after: Quantity,
}

impl CounterDrift {
    /// What is wrong, in a sentence.
    pub fn reason(&self) -> &'static str {
        match (self.period_end, self.before) {
            (None, _) => "the org has no period with this start",
            (_, None) => "the counter was missing",
            _ => "the counter differed from the sum of its counted metrics",
        }
    }

    /// Where it stands.
    pub fn place(&self) -> &'static str {
        if self.user.is_some() { "feature_usage.usage_count" } else { "usage_counters.used" }
    }
}

/// How many metrics a period holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldMetrics {
    pub org: Uuid,
    pub start: Instant,
    pub end: Instant,
    pub metrics: i64,
}

/// A period that holds fewer metrics than when it was audited last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Loss {
    /// The org.
    pub org: Uuid,
    /// The period, by its start.
    pub period_start: Instant,
    /// Metrics it held then.
    pub then: i64,
    /// Metrics it holds now.
    pub now: i64,
}

/// What a sweep saw, as far as it matters for whether it can be believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub orgs_with_counters: u64,
    /// Orgs that mending would change.
    pub orgs_to_change: u64,
    /// Counters hold usage, and there is not one metric in the whole database.
    pub all_metrics_gone: bool,
    /// Orgs that were looked at.
    pub orgs: u64,
    /// Periods that hold fewer metrics than at the last audit.
    pub losses: Vec<Loss>,
}

impl Seen {
    /// The orgs that lost metrics.
    pub(crate) fn orgs_with_losses(&self) -> BTreeSet<Uuid> {
        self.losses.iter().map(|loss| loss.org).collect()
    }
}

/// Why an audit mends nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is not one metric.
    NoMetrics,
    /// Metrics have gone, of everybody or of many orgs.
    FewerMetrics {
        /// How many periods hold fewer.
        periods: usize,
        /// Of how many orgs.
        orgs: usize,
        /// The first of them.
        first: Loss,
    },
    /// Too many orgs at once.
    TooMany {
        /// Orgs that would change.
        changes: u64,
        /// Orgs with counters.
        orgs: u64,
        /// The share that may change.
        max_fix_ratio: f64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMetrics => f.write_str(
                "usage_metrics is empty but counters are not: the metrics were probably lost",
            ),
            Self::FewerMetrics { periods, orgs, first: Loss { org, period_start, then, now } } => {
                write!(
                    f,
                    "metrics are missing: {periods} period(s) of {orgs} org(s) have fewer metrics \
                     than at the last audit, such as the period of org {org} from {period_start} \
                     ({now} of {then})"
                )
            }
            Self::TooMany { changes, orgs, max_fix_ratio } => write!(
                f,
                "{changes} of {orgs} orgs with counters would change, more than [sync] \
                 max_fix_ratio = {max_fix_ratio} allows: the metrics are more likely wrong than \
                 the counters"
            ),
        }
    }
}

/// The orgs of which some period does not hold as many metrics as it did `then`: it lost some, or
/// its bounds have moved, and [`losses`] tells which.
pub(crate) fn suspects(then: &[HeldMetrics], now: &[HeldMetrics]) -> BTreeSet<Uuid> {
    let held: HashMap<(Uuid, Instant, Instant), i64> =
        now.iter().map(|h| ((h.org, h.start, h.end), h.metrics)).collect();
    let lacks = |period: &&HeldMetrics| {
        let now = held.get(&(period.org, period.start, period.end));
        now.is_none_or(|now| *now < period.metrics)
    };
    then.iter().filter(lacks).map(|period| period.org).collect()
}

/// Which periods hold fewer metrics than they did `then`. Where an org's bounds have moved since, a
/// period is the sum of what lies between its two; one whose bounds are gone cannot be compared.
pub(crate) fn losses<S: BuildHasher>(
    then: &[HeldMetrics],
    now: &[HeldMetrics],
    bounds: &HashMap<Uuid, Vec<Instant>, S>,
) -> Vec<Loss> {
    let mut by_org: HashMap<Uuid, Vec<&HeldMetrics>> = HashMap::new();
    for held in now {
        by_org.entry(held.org).or_default().push(held);
    }
    let loss = |period: &HeldMetrics| {
        let bounds = bounds.get(&period.org)?;
        if !bounds.contains(&period.start) || !bounds.contains(&period.end) {
            return None;
        }
        let held = by_org.get(&period.org).map_or(&[][..], Vec::as_slice);
        let inside = held.iter().filter(|h| h.start >= period.start && h.end <= period.end);
        let now = inside.map(|held| held.metrics).sum();
        let (org, period_start, then) = (period.org, period.start, period.metrics);
        (now < then).then_some(Loss { org, period_start, then, now })
    };
    then.iter().filter_map(loss).collect()
}

/// Can a sweep be believed? Orgs that lost metrics are not, and have to be left out.
///
/// # Errors
/// The [`Refusal`], when the metrics are more likely wrong than the counters.
pub(crate) fn judge(seen: &Seen, max_fix_ratio: f64) -> Result<(), Refusal> {
    if seen.all_metrics_gone {
        return Err(Refusal::NoMetrics);
    }
    let losing = seen.orgs_with_losses().len();
    if let Some(first) = seen.losses.first().copied() {
        let losing_orgs = losing as u64;
        // Who lost some is left out; where that is everybody, or many, no one is believed.
        if losing_orgs >= seen.orgs || are_many(losing_orgs, seen.orgs_with_counters, max_fix_ratio)
        {
            let periods = seen.losses.len();
            return Err(Refusal::FewerMetrics { periods, orgs: losing, first });
        }
    }
    let (changes, orgs) = (seen.orgs_to_change, seen.orgs_with_counters);
    if are_many(changes, orgs, max_fix_ratio) {
        return Err(Refusal::TooMany { changes, orgs, max_fix_ratio });
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a share of orgs, not a quantity")]
fn are_many(some: u64, all: u64, ratio: f64) -> bool {
    some > ALWAYS_ALLOWED && some as f64 > ratio * all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(orgs_to_change: u64, orgs_with_counters: u64) -> Seen {
        Seen { orgs_with_counters, orgs_to_change, ..Seen::default() }
    }

    #[test]
    fn few_orgs_may_always_change_and_many_only_up_to_the_ratio() {
        assert_eq!(judge(&seen(10, 10), 0.2), Ok(()));
        assert_eq!(judge(&seen(11, 55), 0.2), Ok(()));
        assert!(matches!(judge(&seen(11, 54), 0.2), Err(Refusal::TooMany { .. })));
        assert_eq!(judge(&seen(11, 11), 1.0), Ok(()));
        assert!(judge(&seen(11, 1_000_000), 0.0).is_err());
    }

    #[test]
    fn lost_metrics_are_never_zero_usage() {
        let gone = Seen { all_metrics_gone: true, ..seen(1, 1) };
        assert_eq!(judge(&gone, 1.0), Err(Refusal::NoMetrics));
        let loss = Loss { org: Uuid::nil(), period_start: Instant::MIN, then: 2, now: 1 };
        let fewer = Seen { losses: vec![loss], orgs: 1, ..seen(0, 1) };
        assert!(matches!(judge(&fewer, 1.0), Err(Refusal::FewerMetrics { periods: 1, .. })));
        // One of many is left out; of many, nobody is believed.
        let one = Seen { losses: vec![loss], orgs: 2, ..seen(0, 2) };
        assert_eq!(judge(&one, 0.2), Ok(()));
        let of = |org| Loss { org: Uuid::from_u128(org), ..loss };
        let many = Seen { losses: (0..11).map(of).collect(), orgs: 54, ..seen(0, 54) };
        let refusal = judge(&many, 0.2);
        assert!(matches!(refusal, Err(Refusal::FewerMetrics { orgs: 11, .. })), "{refusal:?}");
        assert_eq!(judge(&Seen { orgs: 55, orgs_with_counters: 55, ..many }, 0.2), Ok(()));
    }

    #[test]
    fn a_period_that_was_split_is_compared_as_a_whole() {
        let org = Uuid::from_u128(1);
        let [a, b, c, d] = ["2026-05-01", "2026-05-10", "2026-06-01", "2026-07-01"]
            .map(|date| format!("{date}T00:00:00Z").parse::<Instant>().unwrap());
        let held = |start, end, metrics| HeldMetrics { org, start, end, metrics };
        let bounds = HashMap::from([(org, vec![a, b, c, d])]);
        let then = [held(a, c, 10)];
        assert!(losses(&then, &[held(a, b, 4), held(b, c, 6)], &bounds).is_empty());
        let loss = Loss { org, period_start: a, then: 10, now: 9 };
        assert_eq!(losses(&then, &[held(a, b, 4), held(b, c, 5), held(c, d, 9)], &bounds), [loss]);
        assert_eq!(losses(&then, &[], &bounds).len(), 1);
        let moved = HashMap::from([(org, vec![a, b, d])]);
        assert!(losses(&then, &[], &moved).is_empty(), "the bound is gone");
        assert!(suspects(&then, &[held(a, c, 10), held(c, d, 1)]).is_empty());
        for now in [vec![held(a, c, 9)], vec![held(a, b, 4), held(b, c, 6)], vec![]] {
            assert_eq!(suspects(&then, &now), BTreeSet::from([org]), "{now:?}");
        }
    }
}
