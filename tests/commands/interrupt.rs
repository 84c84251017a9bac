//! Ctrl-C: finishing the current batch, the rest is left, and the exit code is 130.

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
    assert!(said.contains("finishing the current batch"), "{said}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stdout);
    // One page is written while the next one is read already; the third is never begun.
    assert!(told.contains("closed 1 period of 1 org") || told.contains("closed 2 periods of 2"));
    let closed = test.rows("select count(*) < 3 as some from billing_periods").await;
    assert_eq!(closed, ["true"], "{told}");
    let outcome = "select outcome, error from periodd_runs";
    assert_eq!(test.rows(outcome).await, ["failed interrupted; completed batches are kept"]);
    // Run again, it goes on.
    test.periodd(&["rollover", "--at", "2026-05-02T00:00:00Z"]).exits(0);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["3"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_second_ctrl_c_breaks_it_off_and_nothing_of_the_page_remains() {
    let test = TestDatabase::new().await;
    // The end of the run is recorded over another connection than the one that waits.
    test.configure("[rollover]\nconnections = 1\n");
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
    assert!(said.contains("aborted and rolled back"), "{said}");
    let outcome = "select outcome, error like 'aborted%', finished_at is not null as ended
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

/// Orgs in May, with twenty uses each that nobody has counted: two pages of them.
async fn uncounted() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure("[sync]\nmax_fix_ratio = 1.0\n");
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 20);
         insert into organizations (slug, name, time_zone, subscription_tier,
                                    current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z'
         from generate_series(1, 1200) as i;
         insert into org_contacts (org_id, email)
         select id, slug || '@example.org' from organizations;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 1, '2026-05-10Z' from organizations,
                generate_series(1, 20)",
    )
    .await;
    test
}

/// Runs a command until it waits for what `hold` has locked, does something to it, and lets go.
async fn held_up(
    test: &TestDatabase,
    arguments: &[&str],
    hold: &'static str,
    then: impl FnOnce(&mut std::process::Child),
) -> std::process::Output {
    let mut holder = test.connect().await;
    sqlx::raw_sql("begin").execute(&mut holder).await.expect("begun");
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("held");
    let mut child = test
        .command(&[&["--at", "2026-05-12T00:00:00Z"], arguments].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let waits = "select count(*) > 0 from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    until(async || test.rows(waits).await == ["true"]).await;
    then(&mut child);
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    child.wait_with_output().expect("it ends")
}

/// Ctrl-C, and what it is answered with.
fn stopped(child: &mut std::process::Child) {
    interrupt(child);
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.as_mut().expect("piped"));
    stderr.read_line(&mut said).expect("a line");
    assert!(said.contains("finishing the current batch"), "{said}");
}

fn killed(child: &mut std::process::Child) {
    child.kill().expect("it can be killed");
}

#[tokio::test]
async fn a_sync_that_was_stopped_or_killed_is_taken_up_where_it_was() {
    let number = async |test: &TestDatabase, query: &str| -> u64 {
        test.rows(query).await[0].parse().expect("a number")
    };
    let counted = "select count(counted_at) from usage_metrics";
    let mended = "select count(*) from periodd_drift";
    for is_killed in [false, true] {
        let test = uncounted().await;
        let end = if is_killed { killed } else { stopped };
        // Half-way through counting: one of the first page, or of the last one.
        let hold = if is_killed {
            "select from usage_metrics where organization_id = (
                 select id from organizations order by id desc limit 1) for update"
        } else {
            "select from usage_metrics where organization_id = (
                 select id from organizations order by id limit 1) for update"
        };
        let output = held_up(&test, &["sync"], hold, end).await;
        assert_eq!(output.status.code(), (!is_killed).then_some(130), "{output:?}");
        let some = number(&test, counted).await;
        assert!(some > 0 && some < 24_000, "{some} were counted, killed: {is_killed}");
        let sums = "select (select count(counted_at) from usage_metrics)
                         - (select sum(used) from usage_counters)";
        assert_eq!(test.rows(sums).await, ["0"], "a page is counted whole, or not at all");
        test.periodd(&["--at", "2026-05-12T00:00:00Z", "sync"]).exits(0);
        assert_eq!(number(&test, counted).await, 24_000);
        test.check_invariants().await;

        // Half-way through mending: one of some page, or one of every page.
        test.sql("update usage_counters set used = used + 3").await;
        let hold = if is_killed {
            "select from usage_counters where org_id = (
                 select id from organizations order by id offset 1100 limit 1) for update"
        } else {
            "select from usage_counters for update"
        };
        let output = held_up(&test, &["sync", "--full"], hold, end).await;
        assert_eq!(output.status.code(), (!is_killed).then_some(130), "{output:?}");
        let some = number(&test, mended).await;
        assert!(some < 1_200 && (some > 0 || is_killed), "{some} were repaired");
        let notes = "select count(*) from periodd_audited where is_complete";
        assert_eq!(number(&test, notes).await, 0, "it counts for no audit");
        test.periodd(&["--at", "2026-05-12T00:00:00Z", "sync", "--full"]).exits(0);
        assert_eq!(number(&test, mended).await, 1_200, "each once");
        test.periodd(&["--at", "2026-05-12T00:00:00Z", "sync", "--check"]).exits(0);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn alerts_that_were_stopped_are_taken_up_and_each_is_told_once() {
    let test = uncounted().await;
    let mail = tempfile::tempdir().expect("a directory");
    test.configure(&format!("[mail]\ndirectory = \"{}\"\n", mail.path().display()));
    test.periodd(&["--at", "2026-05-12T00:00:00Z", "sync"]).exits(0);
    let hold = "lock table periodd_alert_limits in exclusive mode";
    let output = held_up(&test, &["alerts", "run"], hold, stopped).await;
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let queued = test.rows("select count(*) from periodd_outbox").await;
    let queued: usize = queued[0].parse().expect("a number");
    assert!(queued > 0 && queued < 1_200, "{queued} were queued");
    test.periodd(&["--at", "2026-05-12T00:00:00Z", "alerts", "run"]).exits(0);
    let sent = "select state, count(*) as n, count(distinct org_id) as orgs from periodd_outbox
                group by 1";
    assert_eq!(test.rows(sent).await, ["sent 1200 1200"]);
    assert_eq!(std::fs::read_dir(mail.path()).expect("emails").count(), 1_200);
}

#[tokio::test]
async fn an_import_that_was_stopped_keeps_its_batches_and_is_taken_up() {
    let test = TestDatabase::new().await;
    for org in ["acme", "bolt"] {
        test.periodd(&["orgs", "add", org, "--name", org, "--zone", "UTC"]).exits(0);
    }
    // Three batches of ten thousand lines, the one in the middle of an org that somebody holds.
    let lines = (0..30_000).map(|line| {
        let org = if line / 10_000 == 1 { "bolt" } else { "acme" };
        format!("{org},sms_sent,1,2026-05-11T00:00:00Z\n")
    });
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = format!("org,feature,quantity,used_at\n{}", lines.collect::<String>());
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("the file is written");
    let import = ["usage", "import", file.path().to_str().expect("UTF-8")];
    let hold = "select from organizations where slug = 'bolt' for update";
    let output = held_up(&test, &import, hold, stopped).await;
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let stored = "select count(*) from usage_metrics";
    assert_eq!(test.rows(stored).await, ["20000"], "the third batch is not begun");
    let again = test.periodd(&[&["--at", "2026-05-12T00:00:00Z"], &import[..]].concat()).exits(0);
    assert!(again.stdout.contains("10000 imported, 20000 already known"), "{}", again.stdout);
    assert_eq!(test.rows(stored).await, ["30000"]);
}

/// Polls until it is so.
async fn until(so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never came to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
