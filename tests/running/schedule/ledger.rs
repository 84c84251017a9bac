//! What the ledger says afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use periodd::schedule::{Policy, Scheduled};
use tokio::sync::Notify;

use crate::schedule::lanes::{Hand, Notes, done, job, ledger, replica, setting, settle};
use crate::support::TestDatabase;

#[tokio::test]
async fn five_thousand_occurrences_in_one_second_are_all_run_and_each_once() {
    const JOBS: usize = 5_000;
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T11:59:59Z"), Notes::default());
    let jobs: Vec<Scheduled> =
        (0..JOBS).map(|n| job(&format!("job {n:04}"), "0 0 12 * * *", "UTC")).collect();
    let setting = setting(jobs, notes.work());
    let mut replicas = Vec::new();
    for name in ["one", "two", "three"] {
        replicas.push(replica(&test, &hand, name, setting.clone()).await);
    }
    for replica in &mut replicas {
        assert_eq!(settle(replica).await.wait, Some(Duration::from_secs(1)));
    }
    hand.set("2026-05-01T12:00:00Z");
    futures_util::future::join_all(replicas.iter_mut().map(settle)).await;
    let mut ran: Vec<String> = notes.take().into_iter().map(|(job, _)| job).collect();
    assert_eq!(ran.len(), JOBS);
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), JOBS);
    let counts = "select outcome, count(*) from periodd_runs group by 1";
    assert_eq!(test.rows(counts).await, [format!("done {JOBS}")]);
    let free = "select count(*) from periodd_schedules where running is not null";
    assert_eq!(test.rows(free).await, ["0"]);
}

#[tokio::test]
async fn two_and_then_five_replicas_run_two_hundred_occurrences_two_hundred_times() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let jobs: Vec<Scheduled> =
        (0..20).map(|n| job(&format!("job {n:02}"), "0 * * * * *", "UTC")).collect();
    let setting = setting(jobs, notes.work());
    let mut replicas = Vec::new();
    for minute in 1..=10 {
        while replicas.len() < if minute <= 5 { 2 } else { 5 } {
            let name = format!("replica {}", replicas.len());
            replicas.push(replica(&test, &hand, &name, setting.clone()).await);
        }
        hand.set(&format!("2026-05-01T12:{minute:02}:00Z"));
        futures_util::future::join_all(replicas.iter_mut().map(settle)).await;
    }
    assert_eq!(notes.take().len(), 200);
    let counts = "select outcome, count(*), count(distinct (job, occurrence)) as one,
                         count(distinct replica) > 2 as shared
                  from periodd_runs group by 1";
    assert_eq!(test.rows(counts).await, ["done 200 200 true"]);
}

#[tokio::test]
async fn a_job_that_takes_longer_than_its_interval_never_overlaps_itself() {
    let test = TestDatabase::new().await;
    let hand = Hand::at("2026-05-01T12:00:00Z");
    let (finish, at_work) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (finish, at_work) = (Arc::clone(&finish), Arc::clone(&at_work));
        Arc::new(move |_| {
            let (finish, at_work) = (Arc::clone(&finish), Arc::clone(&at_work));
            assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            let run: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                finish.notified().await;
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(done())
            });
            run
        })
    };
    let jobs = vec![job("slow", "* * * * * *", "UTC")];
    let mut one = replica(&test, &hand, "one", setting(jobs.clone(), work.clone())).await;
    let mut two = replica(&test, &hand, "two", setting(jobs, work)).await;
    for second in 1..=5 {
        hand.set(&format!("2026-05-01T12:00:0{second}Z"));
        for replica in [&mut one, &mut two] {
            while replica.step().await.expect("a step").again {}
        }
    }
    finish.notify_one();
    one.runner().wait().await;
    two.runner().wait().await;
    let rows = ledger(&test).await;
    assert_eq!(rows[0], "slow 2026-05-01T12:00:01Z - 1 done - 1");
    let overlapped = |second| format!("slow 2026-05-01T12:00:0{second}Z - 1 skipped overlapped 1");
    assert_eq!(rows[1..], [2, 3, 4, 5].map(overlapped));
}

#[tokio::test]
async fn a_panicking_job_is_reported_and_runs_again_next_time() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let first = Arc::new(AtomicUsize::new(0));
    let noted = notes.clone();
    let work = Arc::new(move |run| {
        noted.add(&run);
        let panics = first.fetch_add(1, Ordering::SeqCst) == 0;
        let run: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            assert!(!panics, "a nail in the works");
            Ok(done())
        });
        run
    });
    let jobs = vec![job("nervous", "0 * * * * *", "UTC")];
    let mut one = replica(&test, &hand, "one", setting(jobs, work)).await;
    for minute in 1..=3 {
        hand.set(&format!("2026-05-01T12:0{minute}:00Z"));
        settle(&mut one).await;
    }
    assert_eq!(notes.take().len(), 3);
    let rows = test.rows("select outcome, error from periodd_runs order by id").await;
    let panicked = "failed internal error (panic), please report it: a nail in the works";
    assert_eq!(rows, [panicked, "done -", "done -"]);
}

#[tokio::test]
async fn a_run_over_its_timeout_is_asked_to_end_and_recorded_as_failed() {
    let test = TestDatabase::new().await;
    let hand = Hand::at("2026-05-01T12:00:00Z");
    let work = Arc::new(move |run: periodd::daemon::run::Assignment| {
        let run: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            while !run.stop.is_set() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(periodd::daemon::work::Done { stopped: true, ..done() })
        });
        run
    });
    let endless =
        Scheduled { timeout: Duration::from_millis(250), ..job("endless", "0 * * * * *", "UTC") };
    let mut one = replica(&test, &hand, "one", setting(vec![endless], work)).await;
    hand.set("2026-05-01T12:01:00Z");
    settle(&mut one).await;
    let rows = test.rows("select outcome, error from periodd_runs").await;
    assert_eq!(rows, ["failed stopped after its timeout of 0.25 s; completed batches are kept"]);
}

#[tokio::test]
async fn a_schedule_that_is_new_or_changed_or_switched_on_replays_nothing() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let with = |cron: &str| setting(vec![job("night", cron, "UTC")], notes.work());
    let mut one = replica(&test, &hand, "one", with("0 0 3 * * *")).await;
    settle(&mut one).await;
    assert_eq!(ledger(&test).await, Vec::<String>::new());
    // Two days later the line changes to an hour that has been already.
    hand.set("2026-05-03T12:00:00Z");
    one.adopt(with("0 0 11 * * *")).await.expect("adopted");
    settle(&mut one).await;
    assert_eq!(ledger(&test).await, Vec::<String>::new());
    let off = Scheduled { timetable: None, ..job("night", "0 0 11 * * *", "UTC") };
    one.adopt(setting(vec![off], notes.work())).await.expect("adopted");
    hand.set("2026-05-06T12:00:00Z");
    settle(&mut one).await;
    one.adopt(with("0 0 11 * * *")).await.expect("adopted");
    settle(&mut one).await;
    assert_eq!(ledger(&test).await, Vec::<String>::new());
    // A second process that starts with the same line changes nothing.
    hand.set("2026-05-07T11:00:00Z");
    let mut two = replica(&test, &hand, "two", with("0 0 11 * * *")).await;
    settle(&mut two).await;
    assert_eq!(ledger(&test).await, ["night 2026-05-07T11:00:00Z - 1 done - 1"]);
}

#[tokio::test]
async fn an_outage_leaves_one_row_for_what_was_missed() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let skip = Policy { makes_up: false, jitter: Duration::ZERO };
    let jobs = vec![
        job("once", "0 0 * * * *", "UTC"),
        Scheduled { policy: skip, ..job("skip", "0 0 * * * *", "UTC") },
    ];
    let mut one = replica(&test, &hand, "one", setting(jobs, notes.work())).await;
    settle(&mut one).await;
    hand.set("2026-05-02T12:30:00Z");
    settle(&mut one).await;
    assert_eq!(
        ledger(&test).await,
        [
            "once 2026-05-01T13:00:00Z 2026-05-02T11:00:00Z 23 skipped too late 1",
            "skip 2026-05-01T13:00:00Z 2026-05-02T12:00:00Z 24 skipped too late 1",
            "once 2026-05-02T12:00:00Z - 1 done - 1",
        ]
    );
    assert_eq!(notes.take().len(), 1);
}
