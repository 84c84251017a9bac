//! What a rollover's cost depends on: closed months behind the orgs, how many orgs there are, and
//! how many features each of them uses.

use super::{OVER_TWO, Seed, roll};
use crate::support::{Bench, Goal, Outcome, Series};

/// How much more the larger may cost than the smaller, for each row.
const FLAT: Goal = Goal::RatioAtMost(1.2);
const MEMORY: Goal = Goal::AtMost(64.0);

/// A seed, and what the page calls it.
struct Case {
    name: String,
    seed: Seed,
}

/// 100,000 orgs × 5 features with nothing, a year and three years behind them.
pub(crate) async fn history(bench: &Bench) -> Outcome {
    let orgs = bench.size.of(100_000);
    let case = |months| {
        let name = format!("{orgs} orgs × 5 features, {months} closed periods each");
        Case { name, seed: Seed { orgs, features: 5, months } }
    };
    let cases = [0, 12, 36].map(case);
    let series = measure(bench, &cases, |_| 1).await;
    let none = (cases[0].name.as_str(), cases[0].name.as_str());
    let figures = cases[1..].iter();
    let figure = |case: &Case| series.against(none, &case.name, "s", &case.name, FLAT);
    Outcome::Measured(figures.map(figure).collect())
}

/// 10,000, 100,000 and 1,000,000 orgs.
pub(crate) async fn orgs(bench: &Bench) -> Outcome {
    let case = |full| {
        let orgs = bench.size.of(full);
        Case { name: format!("{orgs} due orgs"), seed: Seed { orgs, features: 1, months: 0 } }
    };
    let cases = [10_000, 100_000, 1_000_000].map(case);
    let series = measure(bench, &cases, |seed| seed.orgs).await;
    Outcome::Measured(against_the_smaller(&series, &cases, "µs/org"))
}

/// 1, 5 and 20 features.
pub(crate) async fn features(bench: &Bench) -> Outcome {
    let orgs = bench.size.of(100_000);
    let case = |features| {
        let name = format!("{orgs} due orgs × {features} features");
        Case { name, seed: Seed { orgs, features, months: 0 } }
    };
    let cases = [1, 5, 20].map(case);
    // An org's own row, its period, and the usage of each feature.
    let series = measure(bench, &cases, |seed| seed.orgs * (2 + seed.features)).await;
    Outcome::Measured(against_the_smaller(&series, &cases, "µs/row"))
}

fn against_the_smaller(series: &Series, cases: &[Case], unit: &str) -> Vec<crate::support::Figure> {
    let figures = cases.windows(2).flat_map(|pair| {
        let [small, large] = pair else { return Vec::new() };
        let base = (small.name.as_str(), small.name.as_str());
        let memory = format!("memory with {}", large.name);
        let peak = peak(large);
        vec![
            series.against(base, &large.name, unit, &large.name, FLAT),
            series.figure(&memory, "MiB", &peak, MEMORY),
        ]
    });
    figures.collect()
}

fn peak(case: &Case) -> String {
    format!("memory of {}", case.name)
}

/// Rolls each case over in turn: microseconds for each of so many things, or seconds for one.
async fn measure(bench: &Bench, cases: &[Case], things: fn(&Seed) -> u64) -> Series {
    let Bench { server, size } = bench;
    let seeds: Vec<String> = (0..cases.len()).map(|case| format!("bench_case_{case}")).collect();
    for (case, seed) in cases.iter().zip(&seeds) {
        case.seed.make(server, seed).await;
    }
    let mut series = Series::default();
    for _ in 0..size.runs {
        for (case, seed) in cases.iter().zip(&seeds) {
            server.copy(seed, "bench_grown").await;
            let ran = roll(server, "bench_grown", &OVER_TWO, case.seed.orgs).await;
            server.discard("bench_grown").await;
            let value = match things(&case.seed) {
                1 => ran.elapsed.as_secs_f64(),
                things => 1e6 / crate::support::rate(things, ran.elapsed),
            };
            series.add(&case.name, value);
            series.add(&peak(case), ran.peak_mib);
        }
    }
    for seed in &seeds {
        server.discard(seed).await;
    }
    series
}
