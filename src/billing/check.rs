//! The checker of finished plans. It lives apart from the planner, knows only the rules that a
//! plan must keep, and is asked before every apply.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use super::period::Period;
use super::quantity::Quantity;
use super::quota::EntryKind;
use super::quota::level::Carried;
use super::rollover::{ClosedUsage, Plan};

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A period is empty or inverted.
    EmptyPeriod(Period),
    /// Two consecutive periods do not touch.
    DoNotTouch(Period, Period),
    /// The plan does not start with the period that it expects to be open.
    WrongStart(Period),
    /// A following end does not lie after the one before.
    EndsNotRising,
    /// drawn + uncovered is not what lies above included.
    Unbalanced(Period, Box<ClosedUsage>),
    /// Something is uncovered although a pack could have paid.
    UncoveredBesidePack(Period, Box<ClosedUsage>),
    /// The same feature twice in one period.
    Repeated(Period, Box<ClosedUsage>),
    /// A level is not carried over as it was at the close.
    NotCarried(Period, Box<ClosedUsage>),
    /// A pack's entries do not add up to what it holds, or it would hold less than nothing.
    PackDoesNotAddUp(Uuid),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPeriod(period) => write!(f, "the period {period} is empty"),
            Self::DoNotTouch(a, b) => write!(f, "the periods {a} and {b} are not contiguous"),
            Self::WrongStart(period) => {
                write!(f, "the first period {period} is not the one that is open")
            }
            Self::EndsNotRising => {
                f.write_str("the following period ends are not in ascending order")
            }
            Self::Unbalanced(period, usage) => write!(
                f,
                "{} in {period}: {} drawn + {} uncovered differs from the excess of {} used over \
                 the included quantity",
                usage.feature, usage.drawn, usage.uncovered, usage.used
            ),
            Self::UncoveredBesidePack(period, usage) => write!(
                f,
                "{} in {period}: {} uncovered although packs still have {}",
                usage.feature, usage.uncovered, usage.left_in_packs
            ),
            Self::Repeated(period, usage) => write!(f, "{} twice in {period}", usage.feature),
            Self::NotCarried(period, usage) => write!(
                f,
                "the level of {} at the end of {period}, {}, is not carried over",
                usage.feature, usage.used
            ),
            Self::PackDoesNotAddUp(pack) => write!(f, "the entries of pack {pack} do not add up"),
        }
    }
}

/// Lists the rules that a plan breaks; empty for a good plan.
pub fn check(plan: &Plan) -> Vec<Fault> {
    let mut faults = tiling(plan);
    for close in &plan.closes {
        for (index, usage) in close.features.iter().enumerate() {
            let repeats = close.features[..index].iter().any(|u| u.feature == usage.feature);
            faults.extend(usage_fault(close.period, usage, repeats));
        }
    }
    faults.extend(levels(plan));
    faults.extend(packs(plan));
    faults
}

/// Each level is carried over as it closed, into the period that follows.
fn levels(plan: &Plan) -> Vec<Fault> {
    let following = plan.closes.iter().skip(1).map(|close| close.period).chain([plan.open]);
    let mut faults = Vec::new();
    for (close, next) in plan.closes.iter().zip(following) {
        for usage in close.features.iter().filter(|usage| usage.is_level) {
            let is_it = |carried: &&Carried| {
                carried.feature == usage.feature && carried.period_start == next.start
            };
            let carried = plan.carried.iter().find(is_it).map(|carried| carried.level);
            if carried.unwrap_or_default() != usage.used {
                faults.push(Fault::NotCarried(close.period, Box::new(usage.clone())));
            }
        }
    }
    faults
}

fn tiling(plan: &Plan) -> Vec<Fault> {
    let periods: Vec<Period> =
        plan.closes.iter().map(|close| close.period).chain([plan.open]).collect();
    let mut faults: Vec<Fault> =
        periods.iter().filter(|p| p.end <= p.start).map(|p| Fault::EmptyPeriod(*p)).collect();
    let apart = periods.windows(2).filter(|pair| pair[0].end != pair[1].start);
    faults.extend(apart.map(|pair| Fault::DoNotTouch(pair[0], pair[1])));
    let follows = plan.closes.iter().filter_map(|close| Some((close.follows?, close.period)));
    let astray = follows.filter(|(follows, period)| *follows != period.start);
    faults.extend(astray.map(|(_, period)| Fault::WrongStart(period)));
    // A close normally ends at the stored end; only an early one ends before it.
    if let (Some(first), Some(end)) = (plan.closes.first(), plan.expected.period_end)
        && first.period.end > end
    {
        faults.push(Fault::WrongStart(first.period));
    }
    let ends: Vec<_> = [plan.open.end].into_iter().chain(plan.next_ends.iter().copied()).collect();
    if ends.windows(2).any(|pair| pair[1] <= pair[0]) {
        faults.push(Fault::EndsNotRising);
    }
    faults
}

fn usage_fault(period: Period, usage: &ClosedUsage, repeats: bool) -> Option<Fault> {
    let balanced = usage.included.overage(usage.used).ok()
        == usage.drawn.plus(usage.uncovered).ok()
        && !usage.drawn.is_negative()
        && !usage.uncovered.is_negative();
    if repeats {
        Some(Fault::Repeated(period, Box::new(usage.clone())))
    } else if !balanced {
        Some(Fault::Unbalanced(period, Box::new(usage.clone())))
    } else if usage.uncovered.is_positive() && usage.left_in_packs.is_positive() {
        Some(Fault::UncoveredBesidePack(period, Box::new(usage.clone())))
    } else {
        None
    }
}

/// Replays the entries of every pack from what it held before.
fn packs(plan: &Plan) -> Vec<Fault> {
    let mut holds: HashMap<Uuid, Quantity> = plan.packs_before.iter().copied().collect();
    let mut faults = Vec::new();
    for entry in &plan.entries {
        let after = holds.get(&entry.pack).and_then(|held| held.minus(entry.quantity).ok());
        let adds_up = after == Some(entry.remaining) && !entry.remaining.is_negative();
        let keeps_an_expired_rest = entry.kind == EntryKind::Expired && !entry.remaining.is_zero();
        if !adds_up || keeps_an_expired_rest {
            faults.push(Fault::PackDoesNotAddUp(entry.pack));
        }
        holds.insert(entry.pack, entry.remaining);
    }
    faults
}
