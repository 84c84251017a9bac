//! How much is measured.

/// Everything is sized for `make bench`; `PERIODD_BENCH_SCALE` makes all of it smaller at once.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Size {
    /// Runs of each workload (`PERIODD_BENCH_RUNS`).
    pub(crate) runs: usize,
    /// How long what has a duration is measured (`PERIODD_BENCH_SECONDS`).
    pub(crate) seconds: u64,
    scale: f64,
}

/// Below this a workload would measure nothing but its start.
const FEWEST: u64 = 200;
/// What the page calls medians.
const ENOUGH_RUNS: usize = 5;

impl Size {
    /// What the environment asks for.
    pub(crate) fn asked() -> Self {
        Self {
            runs: setting("PERIODD_BENCH_RUNS", ENOUGH_RUNS).max(1),
            seconds: setting("PERIODD_BENCH_SECONDS", 10).max(1),
            scale: setting("PERIODD_BENCH_SCALE", 1.0_f64).clamp(0.0, 1.0),
        }
    }

    /// As many as at full size, or the share of them that was asked for.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
    pub(crate) fn of(self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(FEWEST.min(full))
    }

    /// How often something is repeated within a run: as at full size, or in a smaller one.
    pub(crate) fn times(self, full: u64, small: u64) -> u64 {
        if self.scale < 1.0 { small } else { full }
    }

    /// Goals are for the full size; a small run shows that every workload works.
    pub(crate) fn is_full(self) -> bool {
        self.scale >= 1.0 && self.runs >= ENOUGH_RUNS
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { runs, seconds, scale } = self;
        write!(to, "{:.2} % of the full one, medians of {runs}, {seconds} s each", 100.0 * scale)
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is not a number"))
}
