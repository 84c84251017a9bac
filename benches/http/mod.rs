//! The HTTP API beside the same SQL called by pgbench over as many connections. The daemon is a
//! process of its own, and so is a load beside other work; its other clients are here.

mod asks;
pub(crate) mod beside;
mod client;
pub(crate) mod dashboard;
pub(crate) mod streams;

use asks::Ask;
pub(crate) use client::load;
use client::{CLIENTS, Questions, call, call_at};

use crate::support::daemon::{Daemon, Jobs, Setup};
use crate::support::pgbench::pgbench;
use crate::support::{Bench, Goal, Outcome, Series, Server};
use crate::usage::{self, batches};

const DATABASE: &str = "bench_http";
/// Connections to the database, for both sides.
const CONNECTIONS: u32 = 8;
const CHECK: &str = include_str!("check.sql");
const INCREMENT: &str = include_str!("increment.sql");

pub(crate) async fn check(bench: &Bench) -> Outcome {
    calls(bench, "check", CHECK, asks::check).await
}

pub(crate) async fn limits(bench: &Bench) -> Outcome {
    calls(bench, "limits", CHECK, asks::limits).await
}

pub(crate) async fn increment(bench: &Bench) -> Outcome {
    calls(bench, "increment", INCREMENT, asks::increment).await
}

/// How many orgs there are.
async fn seed(bench: &Bench) -> u64 {
    let orgs = bench.size.of(100_000);
    usage::seed(&bench.server, DATABASE, orgs, 0).await;
    orgs
}

/// A daemon that serves and does nothing else.
async fn serving(server: &Server) -> Daemon {
    let setup = Setup { http: Some(CONNECTIONS), lines: "", jobs: Jobs::Only(&[]) };
    Daemon::start(server, DATABASE, &setup).await
}

async fn calls(bench: &Bench, what: &str, script: &str, ask: Ask) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = seed(bench).await;
    let (of, numbers) = (Questions { ask, orgs }, [("orgs", orgs)]);
    let daemon = serving(server).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        let base = pgbench(server, DATABASE, script, &numbers, CONNECTIONS, size.seconds);
        series.add("base", base);
        let ours = call(&daemon, CLIENTS, size.seconds, of).await.per_second;
        series.add("ours", ours);
        series.add("p99", call_at(&daemon, size.seconds, of, ours / 2.0).await.p99);
    }
    drop(daemon);
    server.discard(DATABASE).await;
    let pgbench = format!("pgbench with the same function, {CONNECTIONS} connections");
    let what = format!("HTTP `{what}`, {CLIENTS} clients");
    let p99 = format!("{what}, 99th percentile at half of that rate");
    let goal = Goal::RatioAtLeast(0.7);
    Outcome::Measured(vec![
        series.against((&pgbench, "base"), &what, "calls/s", "ours", goal),
        series.figure(&p99, "ms", "p99", Goal::AtMost(10.0)),
    ])
}

/// Batches of events.
pub(crate) async fn events(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = seed(bench).await;
    let of = Questions { ask: asks::events, orgs };
    let daemon = serving(server).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        let base = batches::statements(server, DATABASE, orgs, CONNECTIONS, size.seconds).await;
        series.add("base", base);
        let calls = call(&daemon, CONNECTIONS, size.seconds, of).await.per_second;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        series.add("ours", calls * batches::BATCH as f64);
    }
    drop(daemon);
    server.discard(DATABASE).await;
    let what = format!("HTTP events in batches of {}, {CONNECTIONS} clients", batches::BATCH);
    let base = format!("`insert … select` and one count, {CONNECTIONS} connections");
    let goal = Goal::RatioAtLeast(0.5);
    Outcome::Measured(vec![series.against((&base, "base"), &what, "events/s", "ours", goal)])
}
