//! SIGTERM in the middle of a rollover of a hundred thousand orgs; and when nothing can be ended,
//! because somebody holds what it would be written to.

use std::time::Instant;

use periodd::jobs::catalogue::Job;

use crate::daemon::process::{Daemon, until, wait_until};
use crate::support::TestDatabase;

/// The last word of a daemon that has drained.
const STOPPED: &str = r#""message":"stopped""#;

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_amid_a_hundred_thousand_orgs_it_leaves_in_time_and_none_is_half_done() {
    const ORGS: usize = 100_000;
    let test = TestDatabase::new().await;
    test.configure(
        "[daemon]\ndrain_timeout = \"15s\"\n[schedule.rollover]\ncron = \"* * * * * *\"\n",
    );
    test.sql(&format!(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', now() - interval '40 days', now() - interval '10 days'
         from generate_series(1, {ORGS}) i;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'scrapes', 5, now() - interval '20 days' from organizations
         where slug like '%0';
         analyze"
    ))
    .await;
    let mut daemon = Daemon::start(&test);
    until(&test, "select count(*) > 2000 from billing_periods", "true").await;
    let told = Instant::now();
    daemon.signal("TERM");
    let status = daemon.ended().await;
    let took = told.elapsed();
    assert_eq!(status.code(), Some(0));
    // Not cut off, so within its bound.
    assert_eq!((daemon.said(STOPPED), daemon.said("cut off")), (1, 0), "{}", daemon.log());
    let closed = test.rows("select count(*) from billing_periods").await;
    let closed: usize = closed[0].parse().expect("a number");
    eprintln!("left after {took:?}, with {closed} of {ORGS} orgs closed");
    assert!(closed < ORGS, "it was in the middle of it");
    // No org is half done: one that has moved has its period closed, and its usage with it.
    let halves = "select count(*) from organizations o
                  left join billing_periods b on b.org_id = o.id
                  where (o.current_period_end > now()) <> (b.org_id is not null)";
    assert_eq!(test.rows(halves).await, ["0"]);
    test.check_invariants().await;
    // The run is given back, for the next process to go on with at once.
    let given_back = "select r.outcome, s.lease_until <= now() from periodd_runs r
                      join periodd_schedules s on s.run_token = r.token
                      where r.outcome = 'running' and r.job = 'rollover'";
    assert_eq!(test.rows(given_back).await, ["running true"]);
    let heir = Daemon::start(&test);
    until(&test, "select max(attempts) from periodd_runs where job = 'rollover'", "2").await;
    assert_eq!(heir.stop().await.code(), Some(0));
}

/// A connection that holds what a statement locked, until it is dropped.
async fn holder(test: &TestDatabase, statement: &str) -> sqlx::PgConnection {
    let mut connection = test.connect().await;
    let begun = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("begin; {statement}")));
    begun.execute(&mut connection).await.expect("held");
    connection
}

/// Waits until a statement that holds this text waits for a lock.
async fn until_it_waits(test: &TestDatabase, text: &str) {
    let waits = format!(
        "select count(*) > 0 from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'
           and query like '%{text}%'"
    );
    until(test, &waits, "true").await;
}

/// A daemon amid a rollover that waits for a row, and amid a look at its schedules that waits for
/// their table: neither ends.
async fn hanging(test: &TestDatabase, drain_timeout: &str) -> (Daemon, [sqlx::PgConnection; 2]) {
    test.configure(&format!(
        "[daemon]\ndrain_timeout = \"{drain_timeout}\"\n\
         [schedule.rollover]\ncron = \"* * * * * *\"\n"
    ));
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('acme', 'Acme', 'UTC', now() - interval '1 month', now() - interval '1 day')",
    )
    .await;
    let row = holder(test, "update organizations set name = 'held'").await;
    let daemon = Daemon::start(test);
    until_it_waits(test, "update organizations").await;
    let schedules = holder(test, "lock table periodd_schedules").await;
    until_it_waits(test, "from periodd_schedules").await;
    (daemon, [row, schedules])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_when_the_time_for_it_is_over_and_said_to_be() {
    let test = TestDatabase::new().await;
    // Longer than anything but the drain itself waits for an answer.
    let (mut daemon, _held) = hanging(&test, "8s").await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert_eq!(
        daemon.said("stopped by force; each batch is either done or rolled back"),
        1,
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.said(STOPPED), 0, "something was under way: {}", daemon.log());
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_whatever_is_under_way() {
    let test = TestDatabase::new().await;
    let (mut daemon, _held) = hanging(&test, "1h").await;
    daemon.signal("TERM");
    wait_until("it drains", || daemon.said("\"stopping\"") == 1).await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(130), "{}", daemon.log());
    assert_eq!(
        daemon.said("stopped by force; each batch is either done or rolled back"),
        1,
        "{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_amid_a_reload_that_hangs_it_leaves_in_time() {
    let test = TestDatabase::new().await;
    let jobs = Job::ALL;
    let idle = jobs.map(|job| format!("[schedule.{job}]\nenabled = false\n")).concat();
    test.configure(&format!("[daemon]\ndrain_timeout = \"2s\"\n{idle}"));
    let mut daemon = Daemon::start(&test);
    wait_until("it has started", || daemon.said("\"started\"") == 1).await;
    // The loop may still read it.
    let _held = holder(&test, "lock table periodd_schedules in exclusive mode").await;
    daemon.signal("HUP");
    until_it_waits(&test, "insert into periodd_schedules").await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert_eq!(daemon.said("stopped by force"), 1, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_its_timeout_and_does_not_end_is_given_up_in_log_and_ledger() {
    let test = TestDatabase::new().await;
    test.configure("[schedule.sync]\ncron = \"* * * * * *\"\njitter = \"0s\"\ntimeout = \"1s\"\n");
    let held = holder(&test, "lock table usage_metrics").await;
    let daemon = Daemon::start(&test);
    let given_up = "select count(*) > 0 from periodd_runs where job = 'sync' and outcome = \
                    'failed' and finished_at is not null and error like 'timed out after 1 s and \
                    did not stop%'";
    until(&test, given_up, "true").await;
    assert!(daemon.said("did not stop when asked") > 0, "{}", daemon.log());
    // The schedule goes on: the next runs wait for the same table, and do their work once they can.
    until(&test, "select count(*) > 1 from periodd_runs where job = 'sync'", "true").await;
    drop(held);
    let done = "select count(*) > 0 from periodd_runs where job = 'sync' and outcome = 'done'";
    until(&test, done, "true").await;
    assert_eq!(daemon.stop().await.code(), Some(0));
}
