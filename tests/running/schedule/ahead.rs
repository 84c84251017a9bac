//! A database's clock that is not believed, and what one that ran ahead has left behind.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::SignedDuration;
use periodd::billing::clock::Witness;
use periodd::store::Database;
use periodd::store::db::clock::Machine;

use crate::schedule::lanes::{Hand, Notes, job, ledger, replica, setting, settle};
use crate::support::{TestDatabase, at};

#[tokio::test]
async fn what_is_settled_in_the_future_counts_as_now_and_the_ledger_says_so() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:10Z"), Notes::default());
    let sweep = periodd::schedule::Scheduled {
        at_boundaries: true,
        ..job("rollover", "0 * * * * *", "UTC")
    };
    let mut one = replica(&test, &hand, "one", setting(vec![sweep], notes.work())).await;
    settle(&mut one).await;
    test.sql("update periodd_schedules set settled = settled + interval '1 day'").await;
    settle(&mut one).await;
    let rows = "select trigger, settled from periodd_schedules order by 1";
    assert_eq!(
        test.rows(rows).await,
        ["boundary 2026-05-01T12:00:10Z", "schedule 2026-05-01T12:00:10Z"]
    );
    let said =
        "select trigger, occurrence, outcome, reason, error like '%2026-05-02T12:00:10Z%' as t
                from periodd_runs order by 1";
    assert_eq!(
        test.rows(said).await,
        [
            "boundary 2026-05-01T12:00:10Z skipped clock true",
            "schedule 2026-05-01T12:00:10Z skipped clock true",
        ]
    );
    hand.set("2026-05-01T12:01:00Z");
    settle(&mut one).await;
    assert_eq!(notes.take(), [("rollover".to_owned(), at("2026-05-01T12:01:00Z"))]);
}

#[tokio::test]
async fn clocks_that_are_corrected_a_little_set_nothing_back() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:01:00Z"), Notes::default());
    let jobs = setting(vec![job("sync", "0 * * * * *", "UTC")], notes.work());
    let mut one = replica(&test, &hand, "one", jobs).await;
    hand.set("2026-05-01T12:02:00Z");
    settle(&mut one).await;
    hand.set("2026-05-01T12:01:30Z");
    settle(&mut one).await;
    assert_eq!(ledger(&test).await, ["sync 2026-05-01T12:02:00Z - 1 done - 1"]);
}

#[tokio::test]
async fn what_ran_before_its_time_runs_when_its_time_has_come() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let jobs = setting(vec![job("sync", "0 0 * * * *", "UTC")], notes.work());
    let mut one = replica(&test, &hand, "one", jobs).await;
    // Three hours ahead when it was started, and nobody knew better.
    hand.set("2026-05-01T15:00:00Z");
    settle(&mut one).await;
    hand.set("2026-05-01T12:00:20Z");
    settle(&mut one).await;
    notes.take();
    for hour in 13..=16 {
        hand.set(&format!("2026-05-01T{hour}:00:00Z"));
        settle(&mut one).await;
    }
    let ran: Vec<String> = notes.take().iter().map(|(_, at)| at.to_string()).collect();
    let hours: Vec<String> = (13..=16).map(|hour| format!("2026-05-01T{hour}:00:00Z")).collect();
    assert_eq!(ran, hours);
    let last = "select occurrence, outcome, attempts from periodd_runs
                where occurrence >= '2026-05-01T15:00Z' order by 1";
    assert_eq!(
        test.rows(last).await,
        ["2026-05-01T15:00:00Z done 2", "2026-05-01T16:00:00Z done 1"]
    );
}

#[tokio::test]
async fn while_the_clock_is_not_believed_nothing_begins_and_the_newest_is_made_up_for() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:10Z"), Notes::default());
    let skips = periodd::schedule::Policy { makes_up: false, jitter: std::time::Duration::ZERO };
    let jobs = vec![
        job("once", "0 * * * * *", "UTC"),
        periodd::schedule::Scheduled { policy: skips, ..job("skip", "0 * * * * *", "UTC") },
    ];
    let mut one = replica(&test, &hand, "one", setting(jobs, notes.work())).await;
    hand.doubt(true);
    for minute in 1..=5 {
        hand.set(&format!("2026-05-01T12:{minute:02}:00Z"));
        let next = settle(&mut one).await;
        assert!(next.doubt.is_some() && next.wait.is_some(), "{next:?}");
    }
    assert_eq!(notes.take(), []);
    let why = "select job, count(*), max(occurrence) as last, bool_and(reason = 'clock'
                      and error like '%2027-05-01 12:%') as said
               from periodd_runs where outcome = 'skipped' group by 1 order by 1";
    assert_eq!(
        test.rows(why).await,
        ["once 4 2026-05-01T12:04:00Z true", "skip 4 2026-05-01T12:04:00Z true"]
    );
    hand.doubt(false);
    settle(&mut one).await;
    let now = at("2026-05-01T12:05:00Z");
    let mut ran = notes.take();
    ran.sort();
    assert_eq!(ran, [("once".to_owned(), now), ("skip".to_owned(), now)]);
    let ahead = "select count(*) from periodd_schedules where settled > '2026-05-01T12:05:00Z'";
    assert_eq!(test.rows(ahead).await, ["0"]);
}

#[tokio::test]
async fn a_run_that_nobody_holds_is_not_taken_over_by_a_clock_that_is_not_believed() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:10Z"), Notes::default());
    let jobs = setting(vec![job("sync", "0 * * * * *", "UTC")], notes.work());
    let mut one = replica(&test, &hand, "one", jobs).await;
    // Its process is gone, and a clock that ran ahead gave it a lease of years.
    test.sql(
        "update periodd_schedules set running = '2026-05-01T12:00Z', run_token = 0,
                replica = 'gone', lease_until = now() + interval '5 years';
         insert into periodd_runs (job, trigger, occurrence, outcome, replica, token, started_at)
         values ('sync', 'schedule', '2026-05-01T12:00Z', 'running', 'gone', 0, now())",
    )
    .await;
    hand.doubt(true);
    settle(&mut one).await;
    hand.doubt(false);
    settle(&mut one).await;
    let left = "select lease_until <= now() + interval '1 minute' as short from periodd_schedules";
    assert_eq!(test.rows(left).await, ["true"], "no longer than leases are");
    assert_eq!(notes.take(), []);
    test.sql("update periodd_schedules set lease_until = now()").await;
    hand.doubt(true);
    settle(&mut one).await;
    assert_eq!(notes.take(), [], "by this clock every lease has run out");
    hand.doubt(false);
    settle(&mut one).await;
    assert_eq!(notes.take(), [("sync".to_owned(), at("2026-05-01T12:00:00Z"))]);
}

/// How long the machines that are played have been running, in seconds.
static ONE: AtomicI64 = AtomicI64::new(0);
static TWO: AtomicI64 = AtomicI64::new(0);

fn machine(boot: &'static str, awake: fn() -> SignedDuration) -> Machine {
    Machine { boot, name: || "played".to_owned(), clock: periodd::clock::now, awake }
}

fn one() -> Machine {
    machine("one", || SignedDuration::from_secs(ONE.load(Ordering::Relaxed)))
}

fn two() -> Machine {
    machine("two", || SignedDuration::from_secs(TWO.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn a_machine_that_starts_listens_to_one_that_runs_and_expects_another_time() {
    let test = TestDatabase::new().await;
    let witness = async |database: &Database| {
        let judged = database.judged().await.expect("a reading");
        judged.doubt().map(|doubt| doubt.witness)
    };
    assert_eq!(witness(&test.database.clone().watched_by(one())).await, None);
    // The database's clock and those of both machines have been three hours ahead since then.
    test.sql(
        "update periodd_clocks set database_at = database_at - interval '3 hours',
                machine_at = machine_at - interval '3 hours'",
    )
    .await;
    let running = test.database.clone().watched_by(one());
    let starting = test.database.clone().watched_by(two());
    assert_eq!(witness(&starting).await, Some(Witness::Unheard));
    for _ in 0..3 {
        ONE.fetch_add(11, Ordering::Relaxed);
        assert_eq!(witness(&running).await, Some(Witness::Elapsed));
        TWO.fetch_add(11, Ordering::Relaxed);
        assert_eq!(witness(&starting).await, Some(Witness::Elsewhere));
    }
    let refused = starting.believed_now().await.expect_err("it is not believed");
    assert!(refused.to_string().contains("on another machine"), "{refused}");
    // The other one is switched off.
    TWO.fetch_add(26, Ordering::Relaxed);
    assert_eq!(witness(&starting).await, None);
}
