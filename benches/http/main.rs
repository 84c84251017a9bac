//! The HTTP API beside the same SQL called by pgbench over as many connections: `make bench`.
//!
//! The daemon is a process of its own, its clients are here. Both sides take turns on the same
//! database, and the middle of their ratios counts.
//!
//! ```text
//! cargo bench --bench http -- [WORKLOAD ...]
//! ```
//!
//! Without a name all workloads are measured. `PERIODD_BENCH_ORGS`, `PERIODD_BENCH_STREAMS`,
//! `PERIODD_BENCH_SECONDS` and `PERIODD_BENCH_TURNS` make it smaller.

mod asks;
mod beside;
mod client;
mod daemon;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::sync::LazyLock;

use client::{Ask, call, call_at};
use daemon::{Daemon, Setup};
use support::pgbench::pgbench;
use support::{Server, median, setting};

const DATABASE: &str = "bench_http";
/// Connections to the database, for both sides.
const CONNECTIONS: u32 = 8;
/// Of pgbench's calls per second, that the API must reach.
const ENOUGH: f64 = 0.7;
/// Of the events per second of one statement, that batches must reach.
const ENOUGH_EVENTS: f64 = 0.5;
/// Milliseconds within which 99 of 100 calls are answered at half of what was reached.
const SOON: f64 = 10.0;

/// What is measured.
const WORKLOADS: [&str; 8] =
    ["check", "limits", "increment", "events", "beside", "rollover", "idle", "streams"];

/// How many orgs there are.
fn orgs() -> u64 {
    static ORGS: LazyLock<u64> = LazyLock::new(|| setting("PERIODD_BENCH_ORGS", 100_000));
    *ORGS
}

/// How long and how often everything is measured.
#[derive(Clone, Copy)]
struct Size {
    seconds: u64,
    turns: u64,
}

/// A line of the table.
struct Row<'a> {
    what: &'a str,
    ours: String,
    base: String,
    ratio: Option<f64>,
    goal: &'a str,
    is_met: bool,
}

/// Prints a line; is its goal met?
fn row(row: &Row<'_>) -> bool {
    let Row { what, ours, base, ratio, goal, is_met } = row;
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let missed = if *is_met { "" } else { " MISSED" };
    println!("| {what} | {ours} | {base} | {ratio} | {goal}{missed} |");
    *is_met
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let names: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    if let Some(name) = names.iter().find(|name| !WORKLOADS.contains(&name.as_str())) {
        eprintln!("there is no workload {name}; there are {}", WORKLOADS.join(", "));
        std::process::exit(2);
    }
    let (seconds, turns) = (setting("PERIODD_BENCH_SECONDS", 5), setting("PERIODD_BENCH_TURNS", 5));
    let size = Size { seconds, turns };
    let server = Server::new();
    let orgs = orgs();
    eprintln!("seeding {orgs} orgs");
    let seed = include_str!("../support/users.sql").replace(":users", &orgs.to_string());
    server.seed(DATABASE, &seed).await;
    println!("| {orgs} orgs, over HTTP | API | baseline | ratio | goal |");
    println!("|---|---|---|---|---|");
    let mut is_met = true;
    let is_asked = |name: &&str| names.is_empty() || names.iter().any(|asked| asked == name);
    for name in WORKLOADS.into_iter().filter(is_asked) {
        is_met &= match name {
            "check" => calls(&server, size, name, include_str!("check.sql"), asks::check).await,
            "limits" => calls(&server, size, name, include_str!("check.sql"), asks::limits).await,
            "increment" => {
                calls(&server, size, name, include_str!("increment.sql"), asks::increment).await
            }
            "events" => events(&server, size).await,
            "beside" => beside::uses(&server, size).await,
            "rollover" => beside::rollover(&server, size).await,
            "idle" => beside::idle(&server, size).await,
            _ => streams::streams(&server).await,
        };
    }
    if !is_met {
        std::process::exit(1);
    }
}

/// A daemon that serves and does nothing else.
async fn serving(server: &Server) -> Daemon {
    let setup = Setup { http: Some(CONNECTIONS), lines: "", jobs: &[] };
    Daemon::start(server, DATABASE, &setup).await
}

async fn calls(server: &Server, size: Size, what: &str, script: &str, ask: Ask) -> bool {
    let Size { seconds, turns } = size;
    let daemon = serving(server).await;
    let (mut ratios, mut bases, mut reached, mut p99s) = (vec![], vec![], vec![], vec![]);
    let script = script.replace(":orgs", &orgs().to_string());
    for _ in 0..turns {
        let base = pgbench(server, DATABASE, &script, CONNECTIONS, seconds);
        let ours = call(&daemon, client::CLIENTS, seconds, ask).await.per_second;
        let p99 = call_at(&daemon, seconds, ask, ours / 2.0).await.p99;
        eprintln!("{what}: {ours:.0} calls/s against {base:.0}, p99 at half of it {p99:.1} ms");
        ratios.push(ours / base);
        bases.push(base);
        reached.push(ours);
        p99s.push(p99);
    }
    let (ratio, p99) = (median(ratios), median(p99s));
    row(&Row {
        what: &format!("`{what}`, {} clients", client::CLIENTS),
        ours: format!("{:.0} calls/s, p99 at half of it {p99:.1} ms", median(reached)),
        base: format!("pgbench, {CONNECTIONS} connections, {:.0} calls/s", median(bases)),
        ratio: Some(ratio),
        goal: "≥ 0.7, p99 ≤ 10 ms",
        is_met: ratio >= ENOUGH && p99 <= SOON,
    })
}

async fn events(server: &Server, size: Size) -> bool {
    let Size { seconds, turns } = size;
    let daemon = serving(server).await;
    let (mut ratios, mut bases, mut reached) = (vec![], vec![], vec![]);
    for _ in 0..turns {
        let base = asks::plain_events(server, DATABASE, CONNECTIONS, seconds).await;
        let batches = call(&daemon, CONNECTIONS, seconds, asks::events).await.per_second;
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let ours = batches * asks::BATCH as f64;
        eprintln!("events: {ours:.0}/s against {base:.0}");
        ratios.push(ours / base);
        bases.push(base);
        reached.push(ours);
    }
    let ratio = median(ratios);
    row(&Row {
        what: &format!("events in batches of {}, {CONNECTIONS} clients", asks::BATCH),
        ours: format!("{:.0} events/s", median(reached)),
        base: format!("one statement, {CONNECTIONS} connections, {:.0} events/s", median(bases)),
        ratio: Some(ratio),
        goal: "≥ 0.5",
        is_met: ratio >= ENOUGH_EVENTS,
    })
}
