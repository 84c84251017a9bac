//! How fast an increment is that asks before it counts, beside one statement that makes the same
//! writes and asks nothing: `make bench`.
//!
//! pgbench, 16 clients, both in turn on the same database, on a server that waits for the disk.
//! `PERIODD_BENCH_USERS` and `PERIODD_BENCH_SECONDS` make it smaller.

#[path = "../support/mod.rs"]
mod support;

use support::pgbench::pgbench;
use support::{Server, median, setting};

const DATABASE: &str = "bench_increments";
const CLIENTS: u32 = 16;
/// Turns of each; the median of their ratios counts.
const TURNS: usize = 5;
/// What the ratio must not fall below.
const ENOUGH: f64 = 0.7;

/// Calls per second of a script.
fn measure(server: &Server, script: &str, whose: &str, callers: u64) -> f64 {
    // pgbench replaces its variables by values, but not inside of a string.
    let text = script.replace(":whose", whose).replace(":callers", &callers.to_string());
    pgbench(server, DATABASE, &text, CLIENTS, setting("PERIODD_BENCH_SECONDS", 10))
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let users = setting("PERIODD_BENCH_USERS", 100_000);
    let server = Server::new();
    eprintln!("seeding {users} users");
    server
        .seed(DATABASE, &include_str!("../support/users.sql").replace(":users", &users.to_string()))
        .await;
    let mut slow = false;
    println!("| increments, {CLIENTS} clients | bare writes/s | calls/s | ratio |");
    println!("|---|---:|---:|---:|");
    for (what, whose, callers) in
        [(format!("{users} users"), "spread", users), ("all on one org".into(), "shared", 1000)]
    {
        let mut turns = Vec::with_capacity(TURNS);
        for _ in 0..TURNS {
            let bare = measure(&server, include_str!("bare.sql"), whose, callers);
            let function = measure(&server, include_str!("function.sql"), whose, callers);
            eprintln!("{what}: {function:.0} calls/s against {bare:.0}");
            turns.push((bare, function));
        }
        let ratio = median(turns.iter().map(|(bare, function)| function / bare).collect());
        let bare = median(turns.iter().map(|turn| turn.0).collect());
        let function = median(turns.iter().map(|turn| turn.1).collect());
        println!("| {what} | {bare:.0} | {function:.0} | {ratio:.2} |");
        slow |= ratio < ENOUGH;
    }
    if slow {
        eprintln!("an increment must make {ENOUGH} of the bare writes' calls per second");
        std::process::exit(1);
    }
}
