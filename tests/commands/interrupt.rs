//! Ctrl-C: the batch under way is finished, the rest is left, and the exit code is 130.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::TestDatabase;

fn interrupt(child: &std::process::Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not zero");
    kill_process(pid, Signal::INT).expect("the process is there");
}

#[tokio::test]
async fn a_rollover_finishes_its_page_and_leaves_the_rest() {
    let test = TestDatabase::new().await;
    test.configure("[rollover]\nbatch_size = 1\nconnections = 1\n");
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', '2026-04-01Z', '2026-05-01Z'
         from generate_series(1, 3) as i",
    )
    .await;
    // Somebody holds a row: the rollover waits in the middle of its first page or a later one.
    let mut holder = test.connect().await;
    sqlx::raw_sql("begin; update organizations set name = 'held'")
        .execute(&mut holder)
        .await
        .expect("held");
    let mut child = test
        .command(&["rollover", "--at", "2026-05-02T00:00:00Z"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The workers of a rollover may both have come to it.
    let waits = "select count(*) > 0 from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    until(async || test.rows(waits).await == ["true"]).await;
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("a line");
    assert!(said.contains("the batch under way is finished"), "{said}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stdout);
    // One page is written while the next one is read already; the third is never begun.
    assert!(told.contains("closed 1 period of 1 org") || told.contains("closed 2 periods of 2"));
    let closed = test.rows("select count(*) < 3 as some from billing_periods").await;
    assert_eq!(closed, ["true"], "{told}");
    let outcome = "select outcome, error from periodd_runs";
    assert_eq!(test.rows(outcome).await, ["failed interrupted; what was done stays done"]);
    // Run again, it goes on.
    test.periodd(&["rollover", "--at", "2026-05-02T00:00:00Z"]).exits(0);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["3"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_second_ctrl_c_breaks_it_off_and_nothing_of_the_page_remains() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start, current_period_end)
         values ('acme', 'Acme', 'UTC', '2026-04-01Z', '2026-05-01Z')",
    )
    .await;
    let mut holder = test.connect().await;
    sqlx::raw_sql("begin; update organizations set name = 'held'")
        .execute(&mut holder)
        .await
        .expect("held");
    let mut child = test
        .command(&["rollover", "--at", "2026-05-02T00:00:00Z"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let waits = "select count(*) > 0 from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    until(async || test.rows(waits).await == ["true"]).await;
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("a line");
    interrupt(&child);
    let status = child.wait().expect("it ends");
    stderr.read_to_string(&mut said).expect("the rest");
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("broken off"), "{said}");
    let outcome = "select outcome, error like 'broken off%', finished_at is not null as ended
                   from periodd_runs";
    assert_eq!(test.rows(outcome).await, ["failed true true"]);
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["0"]);
}

#[tokio::test]
async fn a_command_without_batches_ends_at_once() {
    let test = TestDatabase::new().await;
    let mut holder = test.connect().await;
    sqlx::raw_sql("begin; lock table organizations").execute(&mut holder).await.expect("held");
    let child = test
        .command(&["orgs", "list"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let waits = "select count(*) > 0 from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    until(async || test.rows(waits).await == ["true"]).await;
    interrupt(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "periodd: interrupted\n");
}

/// Polls until it is so.
async fn until(so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never came to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
