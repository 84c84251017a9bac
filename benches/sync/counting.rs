//! Counting plain inserts, against one statement that writes the same.

use std::time::Duration;

use super::measure::{NOW, sync};
use super::support::Server;
use super::support::uses::Uses;
use super::{Size, median, row};

/// What the application beside it does.
const USE: &str = "select record_usage($1, 'sms_sent', 1, null, '2026-05-20T12:00:00Z')";

/// Metrics that were counted before, as a multiple of those that are not.
const BEFORE: [u64; 2] = [1, 5];

pub(crate) async fn run(server: &Server, size: Size) {
    let mut medians = vec![];
    for times in BEFORE {
        let seed = format!("bench_counting_{times}");
        eprintln!("seeding {} plain inserts beside {times} times as many", size.inserts);
        let statements = include_str!("counting.sql")
            .replace(":inserts", &size.inserts.to_string())
            .replace(":before", &(size.inserts * times).to_string());
        server.seed(&seed, &statements).await;
        let (mut ours, mut base) = (vec![], vec![]);
        for _ in 0..size.runs {
            server.copy(&seed, "bench_statement").await;
            let statement = include_str!("one_statement.sql");
            base.push(server.run("bench_statement", statement).await.as_secs_f64());
            server.discard("bench_statement").await;
            server.copy(&seed, "bench_periodd").await;
            let (elapsed, report) = sync(server, "bench_periodd", &[]).await;
            assert_eq!(report["metrics_counted"], size.inserts, "{report}");
            ours.push(elapsed.as_secs_f64());
            server.discard("bench_periodd").await;
            eprintln!("counting: {:?} against {:?}", ours.last(), base.last());
        }
        medians.push((median(&ours), median(&base)));
        if times == 1 {
            beside_increments(server, &seed, size).await;
        }
        server.discard(&seed).await;
    }
    let [(ours, base), (large, _)] = medians[..] else { return };
    let what = format!("counting of {} plain inserts", size.inserts);
    let statement = format!("one statement, {base:.1} s");
    row(&what, &format!("{ours:.1} s"), &statement, ours / base, "≤ 1.3");
    let smaller = format!("the table a third as large, {ours:.1} s");
    row("the same in a larger table", &format!("{large:.1} s"), &smaller, large / ours, "≤ 1.1");
}

/// How much later an application's uses are answered while counting runs.
async fn beside_increments(server: &Server, seed: &str, size: Size) {
    assert!(USE.contains(NOW));
    let url = server.url("bench_beside");
    let (mut idle, mut busy) = (vec![], vec![]);
    for _ in 0..size.runs {
        server.copy(seed, "bench_beside").await;
        let uses = Uses::start(&url, USE).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        idle.push(uses.stop().await);
        let uses = Uses::start(&url, USE).await;
        let (elapsed, _) = sync(server, "bench_beside", &[]).await;
        busy.push(uses.stop().await);
        eprintln!("beside uses: {elapsed:?}, p99 {:?} and {:?} ms", busy.last(), idle.last());
        server.discard("bench_beside").await;
    }
    let (idle, busy) = (median(&idle), median(&busy));
    let base = format!("without counting, {idle:.1} ms");
    row("500 uses/s beside it", &format!("p99 {busy:.1} ms"), &base, busy / idle, "≤ 3");
}
