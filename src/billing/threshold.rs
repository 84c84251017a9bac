//! Thresholds: which levels of a limit usage has newly crossed, and what is to be told of them.
//!
//! A level is crossed when something is used and `used * 100 >= limit * level`, exactly: 80 % of
//! 333 is crossed at 267 and not at 266, a limit of nothing by the first use, an unlimited one
//! never. What has been told once in a *generation* of the limit is not told again, however usage
//! moves. A higher limit begins a new generation: levels that usage still exceeds stay told, the
//! others are armed again. A lower limit begins none, but may cross levels by itself.

use super::quantity::Quantity;
use super::quota::Included;

/// What thresholds are percentages of.
pub type Limit = Included;

/// The level at which the limit itself is reached.
const LIMIT: u8 = 100;

/// What an earlier pass judged a counter by, and what it told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How often the limit has risen since the first alert of the period, counted from 1.
    pub generation: i32,
    /// The limit at that time.
    pub limit: Limit,
    pub used: Quantity,
    /// The levels of this generation that have been told, or were covered by a higher one.
    pub told: Vec<u8>,
    /// Levels that were crossed while there was nobody to tell.
    pub waiting: Vec<u8>,
}

/// A counter as it stands now.
#[derive(Clone, Copy, Debug)]
pub struct CounterUsage<'a> {
    /// The levels to watch, in any order.
    pub thresholds: &'a [u8],
    pub used: Quantity,
    pub limit: Limit,
    /// The limit when the counter was looked at before, as far as it is known without
    /// [`Judged`]: counters that crossed nothing yet have none.
    pub limit_before: Limit,
}

/// What is to be recorded and told about a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The generation of the limit.
    pub generation: i32,
    /// Levels that were told in the generation before and are still exceeded.
    pub kept: Vec<u8>,
    /// Levels that are crossed and not worth a word beside a higher one.
    pub covered: Vec<u8>,
    /// The level to tell of.
    pub tell: Option<Tell>,
}

/// The one level that a pass tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The percentage.
    pub level: u8,
    /// Was it crossed because the limit fell? At the limit before, this usage had not crossed it.
    pub limit_change: bool,
    /// Has it been waiting for somebody to tell?
    pub has_waited: bool,
}

impl Verdict {
    /// Is there anything to record beside usage and limit?
    pub fn is_news(&self) -> bool {
        self.tell.is_some() || !self.covered.is_empty() || !self.kept.is_empty()
    }

    /// Is this the limit itself, which usage has reached and exceeded at once? Programs hear of it
    /// although a higher level covers it.
    pub fn passes(&self, level: u8) -> bool {
        let exceeds = self.tell.is_some_and(|tell| tell.level > LIMIT);
        level == LIMIT && exceeds && self.covered.contains(&level)
    }
}

/// Has usage crossed a level of a limit? Exactly: nothing is rounded.
pub fn is_crossed(level: u8, used: Quantity, limit: Limit) -> bool {
    match limit {
        Limit::Unlimited => false,
        // A share above all of nothing is none.
        Limit::Quantity(limit) if limit.is_zero() && level > 100 => false,
        // Quantities are below 10^28 millionths; a hundred times that is far from the end.
        Limit::Quantity(limit) => {
            used.is_positive() && used.millionths() * 100 >= limit.millionths() * i128::from(level)
        }
    }
}

/// The usage at which a level of a limit is crossed; `None`: never.
pub fn usage_at(level: u8, limit: Limit) -> Option<Quantity> {
    let Limit::Quantity(limit) = limit else { return None };
    let hundredths = limit.millionths() * i128::from(level);
    Quantity::from_millionths(hundredths.div_euclid(100) + i128::from(hundredths % 100 > 0)).ok()
}

/// Judges a counter. `before` is what an earlier pass told in this period; `None` before the
/// first alert.
///
/// Of several levels that are newly crossed, or wait for somebody to tell, the highest is told of
/// and the others are covered; none is told of below one that has been told.
pub fn judge(usage: &CounterUsage<'_>, before: Option<&Judged>) -> Verdict {
    let CounterUsage { thresholds, used, limit, limit_before } = *usage;
    let limit_before = before.map_or(limit_before, |before| before.limit);
    let is_raised = before.is_some_and(|before| is_higher(limit, before.limit));
    let (generation, told) = match before {
        None => (1, Vec::new()),
        Some(before) if is_raised => {
            let still = |level: &u8| is_crossed(*level, before.used, limit);
            (before.generation + 1, before.told.iter().copied().filter(still).collect())
        }
        Some(before) => (before.generation, before.told.clone()),
    };
    let is_waiting =
        |level: u8| !is_raised && before.is_some_and(|before| before.waiting.contains(&level));
    let mut fresh: Vec<u8> = thresholds.to_vec();
    fresh.sort_unstable();
    fresh.dedup();
    fresh.retain(|level| {
        !told.contains(level) && (is_waiting(*level) || is_crossed(*level, used, limit))
    });
    let highest = fresh.pop_if(|level| told.iter().all(|told| told < level));
    let tell = highest.map(|level| Tell {
        level,
        limit_change: is_higher(limit_before, limit) && !is_crossed(level, used, limit_before),
        has_waited: is_waiting(level),
    });
    let kept = if is_raised { told } else { Vec::new() };
    Verdict { generation, kept, covered: fresh, tell }
}

fn is_higher(one: Limit, other: Limit) -> bool {
    match (one, other) {
        (_, Limit::Unlimited) => false,
        (Limit::Unlimited, Limit::Quantity(_)) => true,
        (Limit::Quantity(one), Limit::Quantity(other)) => one > other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_at_a_level_is_the_first_that_crosses_it() {
        for (limit, level, first) in [("333", 80, "266.4"), ("0.000001", 80, "0.000001")] {
            let (limit, first): (Quantity, Quantity) =
                (limit.parse().unwrap(), first.parse().unwrap());
            assert_eq!(usage_at(level, Limit::Quantity(limit)), Some(first));
            let before = Quantity::from_millionths(first.millionths() - 1).unwrap();
            assert!(is_crossed(level, first, Limit::Quantity(limit)));
            assert!(!is_crossed(level, before, Limit::Quantity(limit)));
        }
        assert_eq!(usage_at(80, Limit::Unlimited), None);
    }

    const USUAL: [u8; 3] = [80, 90, 100];

    fn limit(units: i64) -> Limit {
        Limit::Quantity(Quantity::units(units))
    }

    /// A counter under watch: each step is one pass.
    #[derive(Default)]
    struct Watched(Option<Judged>);

    impl Watched {
        /// A pass that finds this usage and limit; what it tells, with `!` for a limit change.
        fn pass(&mut self, used: i64, limit: Limit) -> Option<String> {
            self.pass_after(used, limit, limit)
        }

        fn pass_after(&mut self, used: i64, limit: Limit, limit_before: Limit) -> Option<String> {
            let used = Quantity::units(used);
            let usage = CounterUsage { thresholds: &USUAL, used, limit, limit_before };
            let verdict = judge(&usage, self.0.as_ref());
            if self.0.is_none() && !verdict.is_news() {
                return None;
            }
            let mut told = match &self.0 {
                Some(before) if before.generation == verdict.generation => before.told.clone(),
                _ => verdict.kept.clone(),
            };
            told.extend(&verdict.covered);
            told.extend(verdict.tell.map(|tell| tell.level));
            let generation = verdict.generation;
            self.0 = Some(Judged { generation, limit, used, told, waiting: vec![] });
            verdict
                .tell
                .map(|tell| format!("{}{}", tell.level, if tell.limit_change { "!" } else { "" }))
        }
    }

    fn told(passes: &[(i64, Limit)]) -> Vec<String> {
        let mut watched = Watched::default();
        passes.iter().filter_map(|(used, limit)| watched.pass(*used, *limit)).collect()
    }

    #[test]
    fn each_level_is_told_once_and_the_highest_covers_the_others() {
        let of = |used: &[i64], units| {
            told(&used.iter().map(|used| (*used, limit(units))).collect::<Vec<_>>())
        };
        assert_eq!(of(&[0, 570, 570, 600, 700], 600), ["90", "100"]);
        assert_eq!(of(&[0, 720], 600), ["100"]);
        assert_eq!(of(&[599, 600], 600), ["90", "100"]);
        assert_eq!(of(&[266], 333), [""; 0]);
        assert_eq!(of(&[266, 267], 333), ["80"]);
        assert_eq!(of(&[0, 1, 2], 1), ["100"]);
        assert_eq!(of(&[0, 0], 0), [""; 0]);
        assert_eq!(of(&[0, 1, 2], 0), ["100"]);
        assert_eq!(of(&[570, 470, 485, 600], 600), ["90", "100"]);
        assert_eq!(told(&[(1_000_000, Limit::Unlimited)]), [""; 0]);
        assert!(!is_crossed(120, Quantity::units(719), limit(600)));
        assert!(is_crossed(120, Quantity::units(720), limit(600)));
        assert!(!is_crossed(120, Quantity::units(5), limit(0)), "of nothing there is only 100 %");
    }

    #[test]
    fn a_higher_limit_arms_again_what_usage_no_longer_exceeds() {
        assert_eq!(
            told(&[(570, limit(600)), (570, limit(1200)), (960, limit(1200))]),
            ["90", "80"]
        );
        // Noticed only once usage had moved on.
        assert_eq!(told(&[(570, limit(600)), (960, limit(1200))]), ["90", "80"]);
        // 80 % of 650 is still exceeded and stays told, 90 % is not.
        assert_eq!(told(&[(570, limit(600)), (570, limit(650)), (585, limit(650))]), ["90", "90"]);
        assert_eq!(told(&[(570, limit(600)), (570, Limit::Unlimited)]), ["90"]);
        let flapping = [(570, limit(600)), (570, Limit::Unlimited), (570, limit(600))];
        assert_eq!(told(&flapping), ["90", "90!"]);
    }

    #[test]
    fn a_lower_limit_crosses_by_itself_and_says_so() {
        let mut watched = Watched::default();
        assert_eq!(watched.pass(570, limit(1200)), None);
        let lowered = watched.pass_after(570, limit(600), limit(1200));
        assert_eq!(lowered.as_deref(), Some("90!"));
        assert_eq!(watched.pass(570, limit(600)), None);
        // Usage alone would have crossed it, too.
        let mut watched = Watched::default();
        let both = watched.pass_after(570, limit(600), limit(620));
        assert_eq!(both.as_deref(), Some("90"));
    }

    #[test]
    fn a_level_below_one_that_was_told_is_covered() {
        let before = Judged {
            generation: 1,
            limit: limit(100),
            used: Quantity::units(95),
            told: vec![90],
            waiting: vec![],
        };
        let usage = CounterUsage {
            thresholds: &[50, 90, 100],
            used: Quantity::units(96),
            limit: limit(100),
            limit_before: limit(100),
        };
        let verdict = judge(&usage, Some(&before));
        assert_eq!((verdict.covered, verdict.tell), (vec![50], None));
    }

    #[test]
    fn the_highest_of_those_that_wait_is_told_when_there_is_somebody() {
        let mut before = Judged {
            generation: 1,
            limit: limit(100),
            used: Quantity::units(95),
            told: vec![80],
            waiting: vec![90],
        };
        let usage = CounterUsage {
            thresholds: &USUAL,
            used: Quantity::units(85),
            limit: limit(100),
            limit_before: limit(100),
        };
        let tell = judge(&usage, Some(&before)).tell.unwrap();
        assert_eq!((tell.level, tell.has_waited), (90, true));
        let verdict = judge(&CounterUsage { used: Quantity::units(100), ..usage }, Some(&before));
        assert_eq!((verdict.covered, verdict.tell.unwrap().level), (vec![90], 100));
        // A higher limit may have made it pointless.
        let raised = CounterUsage { limit: limit(200), ..usage };
        assert_eq!(judge(&raised, Some(&before)).tell, None);
        before.used = Quantity::units(195);
        assert_eq!(judge(&raised, Some(&before)).kept, [80]);
    }

    #[test]
    fn the_largest_quantities_are_judged_exactly() {
        let largest: Quantity = "9999999999999999999999.999999".parse().unwrap();
        let less: Quantity = "9999999999999999999999.999998".parse().unwrap();
        assert!(is_crossed(100, largest, Limit::Quantity(largest)));
        assert!(!is_crossed(100, less, Limit::Quantity(largest)));
    }
}
