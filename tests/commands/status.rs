//! `status`: whatever is wrong is said first, with the command that mends it.

use periodd::jobs::finding::{Check, Mend};
use serde_json::Value;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

const NOW: &str = "2026-05-16T12:00:00Z";

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    // How full the disk of this machine is has nothing to do with it.
    test.configure("[daemon]\nstate_dir = \"/nowhere/periodd\"\n");
    run(&test, &format!("orgs add acme --name Acme --zone Europe/Berlin --at {NOW}")).exits(0);
    run(&test, &format!("orgs add nippon --name Nippon --zone Asia/Tokyo --at {NOW}")).exits(0);
    test
}

/// The checks that found something, with how bad it is and what mends it.
fn found(test: &TestDatabase, status: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let findings = status["findings"].as_array().expect("findings").iter();
    let plain = |mend: &Value| test.plain(&text(mend));
    findings.map(|f| (text(&f["check"]), text(&f["severity"]), plain(&f["mend"]))).collect()
}

#[tokio::test]
async fn where_all_is_well_nothing_is_wrong_and_the_next_ends_are_told() {
    let test = acme().await;
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(0).json();
    let notes = found(&test, &status);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!((notes[0].0.as_str(), notes[0].1.as_str()), ("no_daemon", "note"));
    let next = &status["boundaries"];
    assert_eq!(next[0]["time_zone"], "Asia/Tokyo");
    assert_eq!(next[0]["at"], "2026-05-31T15:00:00Z");
    assert_eq!(next[1]["at"], "2026-05-31T22:00:00Z");
    let page = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    assert!(page.contains("2026-06-01 00:00 CEST  in 15 d"), "{page}");
}

/// Each check with its fixture is in `proposed.rs`; here is how bad each is, and what is said of
/// time.
#[tokio::test]
async fn what_is_late_is_measured_by_when_it_was_recorded() {
    let test = acme().await;
    let email = |recorded: &str, next: &str, fault: &str| {
        format!(
            "delete from periodd_outbox;
             insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                                         recipient, recorded_at, next_attempt_at, fault, answer)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 90, 'a@b.example',
                    now() - interval '{recorded}', now() + interval '{next}', {fault}, '535 no'
             from organizations limit 1"
        )
    };
    // Each failed attempt moves the next one; the alarm rings all the same.
    test.sql(&email("20 hours", "3 hours", "null")).await;
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(3).json();
    let late = ("emails_late".into(), "problem".into(), "periodd alerts run --now".into());
    assert!(found(&test, &status).contains(&late), "{status:#}");
    let since = status["queues"]["emails"]["oldest"].as_str().expect("an instant");
    let next = status["queues"]["next_attempt"].as_str().expect("an instant");
    assert!(since < next, "{status:#}");
    test.sql(&email("20 minutes", "3 hours", "null")).await;
    run(&test, &format!("status --at {NOW}")).exits(0);

    // A server that takes nothing is said at once, in its own words.
    for (fault, check) in
        [("login", "mail_login"), ("server", "mail_server"), ("refused", "mail_refused")]
    {
        test.sql(&email("1 second", "3 hours", &format!("'{fault}'"))).await;
        let status = run(&test, &format!("status --at {NOW} --format json")).exits(3).json();
        let finding = &status["findings"][0];
        assert_eq!((&finding["check"], &finding["severity"]), (&check.into(), &"problem".into()));
        assert!(finding["what"].as_str().expect("words").ends_with(": 535 no"), "{finding}");
    }
}

#[tokio::test]
async fn daemons_have_a_line_with_their_last_heartbeat() {
    let test = acme().await;
    test.sql(
        "insert into periodd_daemons (replica, version, started_at, seen_at, stopped_at)
         values ('web-1:7', '1.2.3', now() - interval '1 day', now(), null),
                ('web-2:8', '1.2.2', now() - interval '1 day', now() - interval '1 hour', null),
                ('web-3:9', '1.2.2', now() - interval '1 day', now(), now())",
    )
    .await;
    let page = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    for (replica, version, state) in [
        ("web-1:7", "1.2.3", "running"),
        ("web-2:8", "1.2.2", "disappeared"),
        ("web-3:9", "1.2.2", "stopped"),
    ] {
        let line = page.lines().find(|line| line.starts_with(replica)).expect("a line");
        assert!(line.contains(version) && line.trim_end().ends_with(state), "{page}");
    }
    assert!(!page.contains("HTTP"), "none of them listens: {page}");
    test.sql(
        "update periodd_daemons set listening = array['127.0.0.1:7788', '/run/periodd/http.sock']
         where replica = 'web-1:7'",
    )
    .await;
    let page = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    let line = page.lines().find(|line| line.starts_with("web-1:7")).expect("a line");
    assert!(line.trim_end().ends_with("127.0.0.1:7788, /run/periodd/http.sock"), "{page}");
    // One of several that has gone is no alarm; that nobody is left is.
    test.sql("update periodd_daemons set seen_at = now() - interval '1 hour'").await;
    test.sql("delete from periodd_daemons where replica = 'web-3:9'").await;
    let page = run(&test, &format!("status --at {NOW}")).exits(3).stdout;
    assert!(page.contains("problem: no daemon runs: the last, web-1:7, disappeared"), "{page}");
    assert!(!page.contains("systemctl"), "this machine has no unit of ours: {page}");
    // Who has just stopped may only be starting again.
    test.sql("update periodd_daemons set stopped_at = now(), seen_at = now()").await;
    let page = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    assert!(page.contains("note: no daemon runs: the last, web-1:7, was stopped at"), "{page}");
}

#[tokio::test]
async fn the_worst_comes_first_and_the_mending_command_mends() {
    let test = acme().await;
    test.sql(
        "update organizations set current_period_start = '2026-04-15Z',
                current_period_end = '2026-05-16T11:00Z'",
    )
    .await;
    let page = run(&test, &format!("status --at {NOW}")).exits(3).stdout;
    let first = page.lines().find(|line| !line.is_empty()).expect("a line");
    assert_eq!(first, "problem: 2 orgs due, the first since 2026-05-16 11:00 UTC");
    run(&test, &format!("rollover --at {NOW}")).exits(0);
    run(&test, &format!("status --at {NOW}")).exits(0);
}

/// A session that calls itself so, in a transaction that holds a lock of metrics or waits for it.
async fn session(test: &TestDatabase, name: &str) -> sqlx::PgConnection {
    let mut session = test.connect().await;
    let named = format!("set application_name = '{name}'; begin");
    sqlx::raw_sql(sqlx::AssertSqlSafe(named)).execute(&mut session).await.expect("begun");
    session
}

#[tokio::test]
async fn a_run_over_its_time_is_named_with_the_session_that_keeps_it_waiting() {
    let test = acme().await;
    test.sql(
        "insert into periodd_schedules
             (job, trigger, seed, settled, running, run_token, replica, lease_until)
         values ('sync', 'schedule', 1, now(), now(), 1, 'here:1', now() + interval '1 hour');
         insert into periodd_runs (job, trigger, occurrence, outcome, replica, token, started_at)
         select 'sync', 'schedule', running, 'running', 'here:1', 1, now() - interval '16 minutes'
         from periodd_schedules where job = 'sync'",
    )
    .await;
    let mut shop = session(&test, "shop").await;
    let lock = "lock table usage_metrics in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut shop).await.expect("locked");
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut shop).await.expect("its pid");
    // As the daemon's session that does the sync.
    let mut waits = session(&test, "periodd").await;
    let waiting = tokio::spawn(async move {
        let counted = sqlx::raw_sql("select from usage_metrics limit 1").execute(&mut waits).await;
        counted.map(drop)
    });
    let seen = "select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'";
    test.until(seen, "1").await;
    // `usage_metrics` itself is locked, so only what does not read it can be asked.
    let database = test.url();
    let database = periodd::store::Database::connect(&database, 1).await.expect("a connection");
    let timeouts = [("sync", std::time::Duration::from_mins(15))];
    let found = periodd::jobs::status::held_up(&database, &timeouts).await.expect("findings");
    let found =
        found.iter().find(|finding| finding.check == Check::OverTime).expect("over its time");
    let session = format!("session {pid} (user postgres, application shop, in its transaction");
    assert!(found.what.contains(&session), "{found:?}");
    assert!(found.what.starts_with("sync run 1 exceeds its timeout of 900 s"), "{found:?}");
    let mend = found.mend.as_ref().expect("a statement");
    assert_eq!(*mend, Mend::sql(format!("select pg_terminate_backend({pid})")));
    drop(shop);
    waiting.await.expect("a task").expect("it goes on");
    let status = run(&test, "status --format json").exits(3).json();
    assert!(found_checks(&status).contains(&"over_time".to_owned()), "{status}");
    let doctor = run(&test, "doctor --format json").exits(3).json();
    assert!(doctor.to_string().contains("over_time"), "{doctor}");
    // One that is within its time is not.
    test.sql("update periodd_runs set started_at = now() - interval '14 minutes'").await;
    let status = run(&test, "status --format json").json();
    assert!(!found_checks(&status).contains(&"over_time".to_owned()), "{status}");
}

fn found_checks(status: &Value) -> Vec<String> {
    let findings = status["findings"].as_array().expect("findings").iter();
    findings.map(|finding| finding["check"].as_str().expect("a check").to_owned()).collect()
}

#[tokio::test]
async fn what_one_org_has_dated_ahead_hides_nothing_of_another() {
    let test = acme().await;
    test.sql(
        "insert into organizations (id, slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('00000000-0000-0000-0000-000000000001', 'first', 'First', 'UTC', '2026-05-01Z',
                 '2026-06-01Z');
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select '00000000-0000-0000-0000-000000000001', 'scrapes', 1, '2030-05-16Z'
         from generate_series(1, 1500);
         insert into usage_metrics
             (organization_id, metric_type, metric_value, created_at, recorded_at)
         select id, 'scrapes', 1, '2026-05-15Z', '2026-05-15Z' from organizations
         where slug <> 'first'",
    )
    .await;
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(3).json();
    let (uncounted, ahead) = (&status["queues"]["uncounted"], &status["queues"]["ahead"]);
    assert_eq!((&uncounted["length"], &ahead["length"]), (&2.into(), &1000.into()), "{status}");
    assert!(found_checks(&status).contains(&"uncounted".to_owned()), "{status}");
}

#[tokio::test]
async fn whoever_is_paused_is_listed_until_the_pause_ends() {
    let test = acme().await;
    let pause = "orgs pause acme --until 2026-06-10 --at 2026-05-10T12:00:00Z";
    let mut words: Vec<&str> = pause.split(' ').collect();
    words.extend(["--reason", "closed for the spring"]);
    test.periodd(&words).exits(0);
    run(&test, &format!("orgs pause nippon --from period-end --reason later --at {NOW}")).exits(0);
    let said = |at: &str, command: &str| {
        let answer = run(&test, &format!("{command} --at {at} --format json")).json();
        // The doctor's stand beside the check that found them.
        let checks = answer["checks"].as_array().cloned().unwrap_or_default();
        let lists = checks.iter().chain([&answer]).filter_map(|list| list["findings"].as_array());
        let findings: Vec<Value> = lists.flatten().cloned().collect();
        let paused = findings.into_iter().filter(|found| found["check"] == "org_paused");
        paused.map(|found| found["what"].as_str().expect("a sentence").to_owned()).collect()
    };
    let both = [
        "acme has been paused since 2026-05-10 12:00 UTC until 2026-06-09 22:00 UTC: closed for \
         the spring",
        "nippon will be paused from 2026-05-31 15:00 UTC until it is resumed: later",
    ];
    let found: Vec<String> = said(NOW, "status");
    assert_eq!(found, both);
    let found: Vec<String> = said(NOW, "doctor");
    assert_eq!(found, both);
    let line = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    assert!(line.contains("orgs resume acme"), "{line}");
    // It resumes without a run, and is a finding no more.
    test.sql("update organizations set paused_until = '2026-05-16T11:59:59Z' where slug = 'acme'")
        .await;
    let found: Vec<String> = said(NOW, "status");
    assert_eq!(found, both[1..]);
}
