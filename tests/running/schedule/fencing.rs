//! A process that stands still past its lease, and comes back.

use std::sync::Arc;
use std::time::Duration;

use periodd::daemon::run::Assignment;
use periodd::daemon::scheduler::SchedulerSetup;
use periodd::jobs::stop::Why;
use tokio::sync::Notify;

use crate::schedule::lanes::{Hand, Notes, done, done_with, job, ledger, replica, setting, settle};
use crate::support::TestDatabase;

#[tokio::test]
async fn who_was_frozen_past_the_lease_is_refused_and_the_run_is_ended_by_its_heir() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let thaw = Arc::new(Notify::new());
    let frozen = {
        let (thaw, notes) = (Arc::clone(&thaw), notes.clone());
        Arc::new(move |run: Assignment| {
            let (thaw, notes) = (Arc::clone(&thaw), notes.clone());
            let run: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                thaw.notified().await;
                notes.add(&run);
                Ok(done_with(7))
            });
            run
        })
    };
    let heir = {
        let notes = notes.clone();
        Arc::new(move |run: Assignment| {
            notes.add(&run);
            let run: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async { Ok(done()) });
            run
        })
    };
    let jobs = vec![job("night", "0 * * * * *", "UTC")];
    let lease = Duration::from_secs(1);
    let with = |work| SchedulerSetup { lease, ..setting(jobs.clone(), work) };
    let mut one = replica(&test, &hand, "one", with(frozen)).await;
    let mut two = replica(&test, &hand, "two", with(heir)).await;
    hand.set("2026-05-01T12:01:00Z");
    while one.step().await.expect("a step").again {}
    // Its lease is prolonged as long as it lives …
    let renewed = one.runner().runs().clone();
    renewed.renew(&test.database, lease).await.expect("renewed");
    assert_eq!(ledger(&test).await, ["night 2026-05-01T12:01:00Z - 1 running - 1"]);
    // … and runs out when it does not move: then, and not before, the other takes over.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while ledger(&test).await != ["night 2026-05-01T12:01:00Z - 1 done - 2"] {
        assert!(std::time::Instant::now() < deadline, "nobody takes over");
        settle(&mut two).await;
    }
    let counts = "select replica, counts -> 'orgs' as orgs from periodd_runs";
    let by_heir = test.rows(counts).await;
    assert_eq!(by_heir, ["two 0"]);
    // It wakes up: it is told by its next renewal, and what it says about the end is not heard.
    renewed.renew(&test.database, lease).await.expect("asked");
    assert!(renewed.under_way().iter().all(|run| run.stop.is_set()));
    thaw.notify_one();
    one.runner().wait().await;
    assert_eq!(notes.take().len(), 2, "both worked: what jobs do is guarded by itself");
    assert_eq!(test.rows(counts).await, by_heir);
    let free = "select running, lease_until from periodd_schedules";
    assert_eq!(test.rows(free).await, ["- -"]);
}

#[tokio::test]
async fn a_run_that_is_begun_while_its_process_is_told_to_stop_is_given_back_undone() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let jobs = vec![job("night", "0 * * * * *", "UTC")];
    let mut one = replica(&test, &hand, "one", setting(jobs.clone(), notes.work())).await;
    let mut two = replica(&test, &hand, "two", setting(jobs, notes.work())).await;
    hand.set("2026-05-01T12:01:00Z");
    one.runner().runs().stop_all(Why::Draining);
    one.step().await.expect("a step");
    one.runner().wait().await;
    assert!(notes.take().is_empty(), "it does nothing any more");
    assert_eq!(ledger(&test).await, ["night 2026-05-01T12:01:00Z - 1 running - 1"]);
    // Nobody has to wait for its lease.
    settle(&mut two).await;
    assert_eq!(ledger(&test).await, ["night 2026-05-01T12:01:00Z - 1 done - 2"]);
    assert_eq!(notes.take().len(), 1);
}

#[tokio::test]
async fn a_schedule_whose_running_row_is_gone_from_the_ledger_goes_on() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let jobs = vec![job("night", "0 * * * * *", "UTC")];
    let mut one = replica(&test, &hand, "one", setting(jobs.clone(), notes.work())).await;
    let mut two = replica(&test, &hand, "two", setting(jobs, notes.work())).await;
    hand.set("2026-05-01T12:01:00Z");
    one.runner().runs().stop_all(Why::Draining);
    one.step().await.expect("a step");
    one.runner().wait().await;
    test.sql("delete from periodd_runs").await;
    hand.set("2026-05-01T12:02:00Z");
    settle(&mut two).await;
    assert_eq!(ledger(&test).await, ["night 2026-05-01T12:02:00Z - 1 done - 1"]);
}
