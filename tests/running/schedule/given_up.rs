//! A run that does not end when it is asked to: it is given up, commits nothing any more, and keeps
//! nobody from the next one. And schedules whose rows are gone.

use std::sync::Arc;
use std::time::Duration;

use periodd::daemon::run::{Assignment, Work};
use periodd::daemon::scheduler::SchedulerSetup;
use periodd::schedule::Scheduled;
use periodd::store::Database;
use tokio::sync::Notify;

use crate::schedule::lanes::{Hand, Notes, done, job, ledger, replica, setting, settle};
use crate::support::TestDatabase;

fn impatient() -> Vec<Scheduled> {
    vec![Scheduled { timeout: Duration::from_millis(500), ..job("night", "0 * * * * *", "UTC") }]
}

/// Writes, waits until it is let go, and then wants to commit.
fn stubborn(database: &Database, go: &Arc<Notify>) -> Work {
    let (database, go) = (database.clone(), Arc::clone(go));
    Arc::new(move |run: Assignment| {
        let (database, go) = (database.on_leash(&run.leash), Arc::clone(&go));
        Box::pin(async move {
            let mut connection = database.connection().await?;
            let mut transaction = periodd::store::begin(&mut connection).await?;
            sqlx::query("insert into written values (1)").execute(&mut *transaction).await?;
            go.notified().await;
            transaction.commit().await?;
            Ok(done())
        })
    })
}

#[tokio::test]
async fn who_does_not_end_is_given_up_and_commits_nothing_and_the_next_one_runs() {
    let test = TestDatabase::new().await;
    test.sql("create table written (number int)").await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let go = Arc::new(Notify::new());
    let lease = Duration::from_mins(1);
    let work = stubborn(&test.database, &go);
    let mut one =
        replica(&test, &hand, "one", SchedulerSetup { lease, ..setting(impatient(), work) }).await;
    hand.set("2026-05-01T12:01:00Z");
    while one.step().await.expect("a step").again {}
    let in_transaction = "select count(*) from pg_stat_activity
                          where datname = current_database() and state = 'idle in transaction'";
    // Its connection is closed under it, although it waits for something else than the database.
    one.runner().wait().await;
    go.notify_waiters();
    assert_eq!(test.rows("select count(*) from written").await, ["0"]);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while test.rows(in_transaction).await != ["0"] {
        assert!(std::time::Instant::now() < deadline, "the server still has its transaction");
    }
    assert_eq!(ledger(&test).await, ["night 2026-05-01T12:01:00Z - 1 failed - 1"]);
    let error = test.rows("select error from periodd_runs").await;
    assert!(error[0].starts_with("timed out after 0.5 s and did not stop"), "{error:?}");
    let free = "select running, lease_until from periodd_schedules";
    assert_eq!(test.rows(free).await, ["- -"]);
    // The schedule goes on, here as elsewhere.
    let mut two = replica(&test, &hand, "two", setting(impatient(), notes.work())).await;
    hand.set("2026-05-01T12:02:00Z");
    settle(&mut two).await;
    assert_eq!(notes.take().len(), 1);
}

#[tokio::test]
async fn who_comes_to_a_commit_after_it_was_given_up_is_refused() {
    let test = TestDatabase::new().await;
    test.sql("create table written (number int)").await;
    let leash = periodd::store::Leash::default();
    let database = test.database.on_leash(&leash);
    let mut connection = database.connection().await.expect("a connection");
    let mut transaction = periodd::store::begin(&mut connection).await.expect("begun");
    sqlx::query("insert into written values (1)")
        .execute(&mut *transaction)
        .await
        .expect("written");
    leash.give_up();
    assert!(transaction.commit().await.is_err());
    drop(connection);
    assert_eq!(test.rows("select count(*) from written").await, ["0"]);
    assert!(database.connection().await.is_err(), "none is lent to it any more");
    // Others of the same pool go on.
    let mut connection = test.database.connection().await.expect("a connection");
    let insert = sqlx::query("insert into written values (2)");
    insert.execute(&mut *connection).await.expect("written");
    assert_eq!(test.rows("select number from written").await, ["2"]);
}

#[tokio::test]
async fn the_lease_of_a_run_that_was_given_up_is_not_prolonged() {
    let test = TestDatabase::new().await;
    test.sql("create table written (number int)").await;
    let hand = Hand::at("2026-05-01T12:00:00Z");
    let go = Arc::new(Notify::new());
    let lease = Duration::from_secs(1);
    let jobs = vec![job("night", "0 * * * * *", "UTC")];
    let work = stubborn(&test.database, &go);
    let mut one =
        replica(&test, &hand, "one", SchedulerSetup { lease, ..setting(jobs, work) }).await;
    hand.set("2026-05-01T12:01:00Z");
    while one.step().await.expect("a step").again {}
    let runs = one.runner().runs().clone();
    let until = "select lease_until from periodd_schedules";
    let first = test.rows(until).await;
    runs.renew(&test.database, lease).await.expect("renewed");
    let second = test.rows(until).await;
    assert_ne!(first, second);
    runs.under_way().iter().for_each(|run| run.leash.give_up());
    runs.renew(&test.database, lease).await.expect("asked");
    assert_eq!(test.rows(until).await, second);
    go.notify_one();
    one.runner().wait().await;
}

#[tokio::test]
async fn schedules_whose_rows_are_gone_begin_anew_and_make_up_for_nothing() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let jobs = vec![job("night", "0 * * * * *", "UTC"), job("hour", "0 0 * * * *", "UTC")];
    let mut one = replica(&test, &hand, "one", setting(jobs, notes.work())).await;
    hand.set("2026-05-01T12:01:00Z");
    settle(&mut one).await;
    assert_eq!(notes.take().len(), 1);
    for gone in
        ["delete from periodd_schedules", "delete from periodd_schedules where job = 'hour'"]
    {
        test.sql(gone).await;
        let at = hand.get();
        // Longer than an hour: both would have missed something.
        hand.set(&at.plus(jiff::SignedDuration::from_mins(90)).expect("in range").to_string());
        settle(&mut one).await;
        notes.take();
        let rows = test.rows("select job, trigger from periodd_schedules order by job").await;
        assert_eq!(rows, ["hour schedule", "night schedule"]);
    }
    // What comes after is run as ever, each once.
    let hours = "select count(*) from periodd_runs where job = 'hour'";
    assert_eq!(test.rows(hours).await, ["0"], "nothing before now is theirs");
    hand.set("2026-05-01T16:00:00Z");
    settle(&mut one).await;
    assert_eq!(notes.take().len(), 2);
    assert_eq!(test.rows(hours).await, ["1"]);
}
