//! What was measured, kept from one call to the next: a full run takes longer than some machines
//! stay quiet, so that a workload may be measured by itself, and a run at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Size;
use super::report::commit;

/// The measured values of one workload, by name, in the order of the runs.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Results {
    /// Of which commit; what was measured of another is no match for this one.
    commit: String,
    orgs: u64,
    values: BTreeMap<String, Vec<f64>>,
}

fn file(workload: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{workload}.json"))
}

impl Results {
    fn none(size: Size) -> Self {
        Self { commit: commit(), orgs: size.orgs, values: BTreeMap::new() }
    }

    /// What earlier calls measured of this commit with as many orgs.
    pub(crate) fn kept(workload: &str, size: Size) -> Self {
        let none = Self::none(size);
        let text = std::fs::read_to_string(file(workload)).unwrap_or_default();
        let kept: Option<Self> = serde_json::from_str(&text).ok();
        let same = |kept: &Self| kept.commit == none.commit && kept.orgs == none.orgs;
        kept.filter(same).unwrap_or(none)
    }

    /// Forgets what earlier calls measured.
    pub(crate) fn forget(workload: &str) {
        // There may be nothing to forget.
        let _ = std::fs::remove_file(file(workload));
    }

    pub(crate) fn orgs(&self) -> u64 {
        self.orgs
    }

    pub(crate) fn add(&mut self, name: &str, value: f64) {
        eprintln!("  {name}: {value:.1}");
        self.values.entry(name.to_owned()).or_default().push(value);
    }

    /// Keeps what was measured so far.
    pub(crate) fn keep(&self, workload: &str) {
        let text = serde_json::to_string(self).expect("numbers");
        std::fs::write(file(workload), text).expect("a file below the target directory");
    }

    pub(crate) fn of(&self, name: &str) -> &[f64] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn median(&self, name: &str) -> f64 {
        median(self.of(name))
    }

    /// The median of what ours were to the baselines of the same run.
    pub(crate) fn ratio(&self, ours: &str, base: &str) -> f64 {
        let pairs = self.of(ours).iter().zip(self.of(base));
        median(&pairs.map(|(ours, base)| ours / base).collect::<Vec<f64>>())
    }

    pub(crate) fn largest(&self, name: &str) -> f64 {
        self.of(name).iter().copied().fold(f64::NAN, f64::max)
    }
}

/// Medians of measured values; not a number where there are none.
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
