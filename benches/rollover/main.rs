//! The rollover's speed, as ratios within one run: `make bench`.
//!
//! Every workload runs on a fresh copy of the same database, in turn with its baseline, on a
//! server that waits for the disk (`fsync` and `synchronous_commit` on). The table goes to stdout
//! and, with `--write`, to `docs/benchmarks.md`. `PERIODD_BENCH_ORGS` and `PERIODD_BENCH_RUNS` make
//! it smaller.

mod measure;
mod report;
mod server;
mod workloads;

use std::time::Instant;

use report::Table;
use server::Server;

/// The size of things.
#[derive(Clone, Copy)]
struct Size {
    orgs: u64,
    runs: usize,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runs = usize::try_from(setting("PERIODD_BENCH_RUNS", 5)).unwrap_or(5);
    let size = Size { orgs: setting("PERIODD_BENCH_ORGS", 1_000_000), runs };
    let started = Instant::now();
    let server = Server::seeded(size.orgs).await;
    let mut table = Table::new(size.orgs, size.runs);
    workloads::rollover(&server, size, &mut table).await;
    workloads::beside_increments(&server, size, &mut table).await;
    workloads::beside_an_open_transaction(&server, size, &mut table).await;
    workloads::nothing_due(&server, &mut table).await;
    let text = table.render(started.elapsed());
    println!("{text}");
    if std::env::args().any(|argument| argument == "--write") {
        std::fs::write("docs/benchmarks.md", text).expect("docs/benchmarks.md can be written");
    }
}
