//! The benchmarks: `make bench`, `make bench-quick`.
//!
//! Every figure is a ratio between two things that are measured in turn, on the same data, in the
//! same run, on periodd's own private cluster as it is configured for everybody.
//!
//! ```text
//! PERIODD_TEST_BINARIES=$(scripts/postgresql-binaries) \
//!     cargo bench --bench workloads -- [--missing] [--write] [WORKLOAD ...]
//! ```
//!
//! Without a name all workloads are measured; `--missing` leaves out those that are kept of the
//! same commit at the same size, `--write` writes everything that is kept to `docs/benchmarks.md`.
//! `support/size.rs` names the variables that make all of it smaller.

mod alerts;
mod boundaries;
mod disk;
mod export;
mod http;
mod idle;
mod import;
mod mail;
mod notices;
mod pages;
mod rollover;
mod support;
mod sync;
mod usage;
mod webhooks;
mod workloads;

use std::process::ExitCode;

use support::figure::Verdict;
use support::kept::Kept;
use support::{Bench, Server, Size, page, plans};
use workloads::WORKLOADS;

/// A workload that nobody knows, or a flag.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !is_asked("--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if runtime.block_on(http::load()).is_some() {
        return ExitCode::SUCCESS;
    }
    let names: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| !name.starts_with("--")).collect();
    let known = WORKLOADS.map(|(name, _)| name);
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        eprintln!("there is no workload {name}; there are {}", known.join(", "));
        return ExitCode::from(BAD_USAGE);
    }
    let bench = Bench { server: Server::started(), size: Size::asked() };
    let size = bench.size;
    runtime.block_on(async {
        for (name, run) in WORKLOADS {
            let is_wanted = names.is_empty() || names.contains(&name);
            let is_there = is_asked("--missing") && Kept::of(name, size).is_some();
            if is_wanted && !is_there {
                eprintln!("{name}");
                Kept::new(size, run(&bench).await).keep(name);
            }
        }
    });
    let all = WORKLOADS.map(|(name, _)| (name, Kept::of(name, size)));
    let table = page::table(size, &all);
    println!("{table}");
    if is_asked("--write") {
        let (machine, plans) = runtime.block_on(async {
            let machine = page::Machine::of(&bench.server).await;
            (machine, plans::of_hot_statements(&bench.server, size).await)
        });
        page::write(size, &machine, &table, &plans, &disk::formula(&all));
    }
    bench.server.stop();
    let figures = all.iter().filter_map(|(_, kept)| kept.as_ref()).flat_map(|kept| &kept.figures);
    let missed: Vec<&str> = figures
        .filter(|figure| figure.verdict() == Verdict::Missed)
        .map(support::Figure::workload)
        .collect();
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !size.is_full() {
        eprintln!("goals are for the full size ({size} was measured), and do not count here");
        return ExitCode::SUCCESS;
    }
    eprintln!("missed by more than a tenth:\n- {}", missed.join("\n- "));
    ExitCode::FAILURE
}
