//! The rollover's speed, as ratios within one run: `make bench`.
//!
//! Every workload runs on a fresh copy of the same database, in turn with its baseline. The server
//! is periodd's own private cluster, sized and configured as it would be for anybody, so that it
//! waits for the disk (`fsync` and `synchronous_commit` on).
//!
//! ```text
//! cargo bench --bench rollover -- [--more] [--write] [WORKLOAD ...]
//! ```
//!
//! Without a name all workloads are measured. `--more` adds runs to those that are kept of the
//! same commit, `--write` writes everything that is kept to `docs/benchmarks.md`.
//! `PERIODD_BENCH_ORGS` and `PERIODD_BENCH_RUNS` make it smaller; no runs at all is allowed.

mod measure;
mod report;
mod results;
mod server;
#[path = "../support/uses.rs"]
mod uses;
mod workloads;

use report::Table;
use results::Results;
use server::Server;
use workloads::Workload;

/// The size of things.
#[derive(Clone, Copy)]
struct Size {
    orgs: u64,
    runs: usize,
}

/// The page that the README links.
const PAGE: &str = "docs/benchmarks.md";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !is_asked("--bench") {
        return;
    }
    let runs = usize::try_from(setting("PERIODD_BENCH_RUNS", 5)).unwrap_or(5);
    let size = Size { orgs: setting("PERIODD_BENCH_ORGS", 1_000_000), runs };
    let names: Vec<&String> = arguments.iter().filter(|name| !name.starts_with("--")).collect();
    let known = Workload::ALL.map(Workload::name);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no workload {name}; there are {}", known.join(", "));
        std::process::exit(2);
    }
    let wanted =
        |workload: &Workload| names.is_empty() || names.iter().any(|name| *name == workload.name());
    if runs > 0 {
        measure_all(Workload::ALL.into_iter().filter(wanted), size, is_asked("--more"));
    }
    let mut table = Table::new(size.orgs);
    for workload in Workload::ALL {
        workload.report(&Results::kept(workload.name(), size), &mut table);
    }
    let text = table.render();
    println!("{text}");
    if is_asked("--write") {
        // What the other benchmarks print is put there by hand, and stays.
        let before = std::fs::read_to_string(PAGE).unwrap_or_default();
        let others = before.find("\n## ").map(|at| &before[at..]).unwrap_or_default();
        std::fs::write(PAGE, text + others).expect("docs/benchmarks.md can be written");
    }
}

fn measure_all(workloads: impl Iterator<Item = Workload>, size: Size, more: bool) {
    let server = Server::started();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        server.seed(size.orgs).await;
        for workload in workloads {
            if !more {
                Results::forget(workload.name());
            }
            let mut results = Results::kept(workload.name(), size);
            for run in 0..size.runs {
                eprintln!("{}, run {} of {}", workload.name(), run + 1, size.runs);
                workload.run(&server, size, &mut results).await;
                results.keep(workload.name());
            }
        }
    });
    server.stop();
}
