//! What was measured: values by name, and the figures that they come to.

use std::collections::BTreeMap;
use std::time::Duration;

/// By how much a goal may be missed before a run of the benchmarks fails: they share machines.
const LEEWAY: f64 = 0.1;

/// What a figure should come to.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Goal {
    /// Ours against the baseline.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Ours alone.
    AtMost(f64),
    /// The figure is there to be read.
    Known,
}

/// How a figure stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// By less than a tenth.
    Nearly,
    Missed,
}

/// One line of the table.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Figure {
    workload: String,
    unit: String,
    ours: Vec<f64>,
    baseline: Option<Baseline>,
    goal: Goal,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Baseline {
    name: String,
    values: Vec<f64>,
}

impl Figure {
    pub(crate) fn verdict(&self) -> Verdict {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        // By which share it is missed; below zero: met. What could not be measured is missed.
        let missed_by = match self.goal {
            Goal::RatioAtLeast(goal) => 1.0 - ratio / goal,
            Goal::RatioAtMost(goal) => ratio / goal - 1.0,
            Goal::AtMost(goal) => median(&self.ours) / goal - 1.0,
            Goal::Known => 0.0,
        };
        match missed_by {
            share if share <= 0.0 => Verdict::Met,
            share if share <= LEEWAY => Verdict::Nearly,
            _ => Verdict::Missed,
        }
    }

    /// The median of what ours were to the baselines of the same run.
    fn ratio(&self) -> Option<f64> {
        let base = self.baseline.as_ref()?;
        let pairs = self.ours.iter().zip(&base.values);
        Some(median(&pairs.map(|(ours, base)| ours / base).collect::<Vec<f64>>()))
    }

    /// Workload, ours, the baseline, their ratio, the goal, and of how many runs. At full size it
    /// is said how the figure stands to its goal.
    pub(crate) fn cells(&self, is_full: bool) -> [String; 6] {
        let unit = &self.unit;
        let of = |values: &[f64]| format!("{} {unit}", plain(median(values)));
        let base = self.baseline.as_ref();
        let base = base.map_or_else(String::new, |b| format!("{}, {}", b.name, of(&b.values)));
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let goal = match self.goal {
            Goal::RatioAtLeast(goal) => format!("≥ {goal}"),
            Goal::RatioAtMost(goal) => format!("≤ {goal}"),
            Goal::AtMost(goal) => format!("≤ {goal} {unit}"),
            Goal::Known => String::new(),
        };
        let goal = match self.verdict() {
            _ if !is_full => goal,
            Verdict::Met => goal,
            Verdict::Nearly => format!("{goal}, nearly"),
            Verdict::Missed => format!("{goal}, **missed**"),
        };
        let runs = self.ours.len().to_string();
        [self.workload.clone(), of(&self.ours), base, ratio, goal, runs]
    }

    pub(crate) fn workload(&self) -> &str {
        &self.workload
    }

    pub(crate) fn value(&self) -> f64 {
        median(&self.ours)
    }
}

/// Measured values by name, in the order of the runs.
#[derive(Default)]
pub(crate) struct Series(BTreeMap<String, Vec<f64>>);

impl Series {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        eprintln!("  {name}: {}", plain(value));
        self.0.entry(name.to_owned()).or_default().push(value);
    }

    /// What was measured last under a name; not a number where nothing was.
    pub(crate) fn last(&self, name: &str) -> f64 {
        self.0.get(name).and_then(|values| values.last()).copied().unwrap_or(f64::NAN)
    }

    /// A figure of one series.
    pub(crate) fn figure(&self, workload: &str, unit: &str, ours: &str, goal: Goal) -> Figure {
        Figure {
            workload: workload.to_owned(),
            unit: unit.to_owned(),
            ours: self.of(ours),
            baseline: None,
            goal,
        }
    }

    /// A figure of one series against another one, which is called by what it is.
    pub(crate) fn against(
        &self,
        (name, base): (&str, &str),
        workload: &str,
        unit: &str,
        ours: &str,
        goal: Goal,
    ) -> Figure {
        let baseline = Some(Baseline { name: name.to_owned(), values: self.of(base) });
        Figure { baseline, ..self.figure(workload, unit, ours, goal) }
    }

    fn of(&self, name: &str) -> Vec<f64> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

/// The middle of measured values; not a number where there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The 99th percentile, in milliseconds.
pub(crate) fn p99(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort_unstable();
    let at = latencies.len() * 99 / 100;
    latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

/// So many a second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(crate) fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

pub(crate) fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1e3
}

/// As many digits as say something.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
