//! The figures of the benchmarks: what they come to, and when a goal is missed.

#[allow(dead_code, unreachable_pub, reason = "the benchmarks use all of it")]
#[path = "../../benches/support/figure.rs"]
mod figure;

use figure::{Goal, Series, Verdict};

fn series(ours: &[f64], base: &[f64]) -> Series {
    let mut series = Series::default();
    for (name, values) in [("ours", ours), ("base", base)] {
        for value in values {
            series.add(name, *value);
        }
    }
    series
}

#[test]
fn a_figure_is_the_median_of_the_runs_ratios() {
    // The medians alone would say 20 / 10.
    let series = series(&[10.0, 30.0, 20.0], &[10.0, 10.0, 40.0]);
    let figure = series.against(("b", "base"), "w", "calls/s", "ours", Goal::RatioAtLeast(1.0));
    let cells = ["w", "20.0 calls/s", "b, 10.0 calls/s", "1.00", "≥ 1", "3"];
    assert_eq!(figure.cells(true), cells);
    assert_eq!(figure.verdict(), Verdict::Met);
}

#[test]
fn a_goal_is_missed_by_more_than_a_tenth() {
    let verdict = |ours: f64, goal: Goal| {
        let series = series(&[ours], &[100.0]);
        series.against(("b", "base"), "w", "s", "ours", goal).verdict()
    };
    assert_eq!(verdict(80.0, Goal::RatioAtLeast(0.8)), Verdict::Met);
    assert_eq!(verdict(75.0, Goal::RatioAtLeast(0.8)), Verdict::Nearly);
    assert_eq!(verdict(71.0, Goal::RatioAtLeast(0.8)), Verdict::Missed);
    assert_eq!(verdict(120.0, Goal::RatioAtMost(1.2)), Verdict::Met);
    assert_eq!(verdict(131.0, Goal::RatioAtMost(1.2)), Verdict::Nearly);
    assert_eq!(verdict(133.0, Goal::RatioAtMost(1.2)), Verdict::Missed);
    assert_eq!(verdict(64.0, Goal::AtMost(64.0)), Verdict::Met);
    assert_eq!(verdict(72.0, Goal::AtMost(64.0)), Verdict::Missed);
    assert_eq!(verdict(1e9, Goal::Known), Verdict::Met);
}

#[test]
fn what_was_not_measured_is_missed() {
    let nothing = Series::default();
    let goal = Goal::RatioAtMost(2.0);
    let figure = nothing.against(("b", "base"), "w", "s", "ours", goal);
    assert_eq!(figure.verdict(), Verdict::Missed);
    assert_eq!(figure.cells(true)[4], "≤ 2, **missed**");
    assert_eq!(figure.cells(false)[4], "≤ 2", "goals are for the full size");
}
