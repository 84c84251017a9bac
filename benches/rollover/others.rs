//! What a rollover costs those beside it, and they it; and what it costs where nothing is due.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::{DUE, OVER_TWO, Seed, roll};
use crate::support::binary::{self, NOW};
use crate::support::figure::{median, milliseconds};
use crate::support::{Bench, Goal, Outcome, Series, beside as uses, rate};

const SEED: &str = "bench_rollover";
/// What an application does.
const USE: &str = "select record_usage($1, 'sms_sent', 1, null, '2026-06-02T12:00:00Z')";
/// Calls of one run, of which the middle counts: each takes a few milliseconds.
const CALLS: usize = 21;

/// Increments beside a rollover as it is configured for everybody.
pub(crate) async fn beside(bench: &Bench) -> Outcome {
    assert!(USE.contains(DUE), "what is used is used now");
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    Seed { orgs, features: 1, months: 0 }.make(server, SEED).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        server.copy(SEED, "bench_beside").await;
        let rolling = async { drop(roll(server, "bench_beside", &[], orgs).await) };
        let url = server.url("bench_beside");
        uses::measure(&mut series, *size, &url, USE, rolling).await;
        server.discard("bench_beside").await;
    }
    server.discard(SEED).await;
    Outcome::Measured(vec![uses::figure(&series, &format!("a rollover of {orgs} orgs"))])
}

/// A rollover while one transaction stays open elsewhere, so that no dead row can be removed.
pub(crate) async fn open_transaction(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    Seed { orgs, features: 1, months: 0 }.make(server, SEED).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        for (is_open, name) in [(true, "with"), (false, "without")] {
            server.copy(SEED, "bench_open").await;
            let mut elsewhere = server.connect("bench_open").await;
            if is_open {
                let begin = "begin isolation level repeatable read; select count(*) from features";
                sqlx::raw_sql(begin).execute(&mut elsewhere).await.expect("a transaction");
            }
            let ran = roll(server, "bench_open", &OVER_TWO, orgs).await;
            series.add(name, rate(orgs, ran.elapsed));
            drop(elsewhere);
            server.discard("bench_open").await;
        }
    }
    server.discard(SEED).await;
    let what = format!("{orgs} due orgs while a transaction is open elsewhere");
    let base = ("without it", "without");
    let goal = Goal::RatioAtLeast(0.9);
    Outcome::Measured(vec![series.against(base, &what, "orgs/s", "with", goal)])
}

/// What it costs to ask when nothing is due, against psql's `select 1`.
pub(crate) async fn nothing_due(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    Seed { orgs: size.of(1_000_000), features: 1, months: 0 }.make(server, SEED).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        let (mut ours, mut base) = (vec![], vec![]);
        for _ in 0..CALLS {
            let arguments = ["--quiet", "--at", NOW, "rollover"];
            let ran = binary::run(server, SEED, &arguments, &[], &[0]).await;
            ours.push(milliseconds(ran.elapsed));
            let mut psql = Command::new(server.program("psql"));
            psql.args(["-X", "-q", "-h", server.socket(), "-U", "postgres", "-d", SEED]);
            psql.args(["-c", "select 1"]);
            let started = Instant::now();
            let status = psql.stdout(Stdio::null()).status().expect("psql starts");
            base.push(milliseconds(started.elapsed()));
            assert!(status.success(), "{psql:?}");
        }
        series.add("ours", median(&ours));
        series.add("psql", median(&base));
    }
    server.discard(SEED).await;
    let base = ("psql -c 'select 1'", "psql");
    let goal = Goal::RatioAtMost(2.0);
    Outcome::Measured(vec![series.against(base, "nothing due", "ms", "ours", goal)])
}
