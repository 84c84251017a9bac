//! Several daemons on one database: killed, frozen, and none of their occurrences lost.

use std::time::{Duration, Instant};

use crate::daemon::process::{Daemon, PATIENCE, until};
use crate::support::{TestDatabase, times};

/// Orgs with a year and a half to catch up, each period with a metric that nobody has counted yet.
async fn orgs_behind(orgs: usize) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into organizations
             (id, slug, name, time_zone, current_period_start, current_period_end)
         select md5('org ' || i)::uuid, 'org-' || i, 'Org', 'UTC',
                m - interval '18 months', m - interval '17 months'
         from date_trunc('month', now(), 'UTC') m, generate_series(1, {orgs}) i;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'scrapes', 5, current_period_start + interval '9 days' + interval '1 month' * n
         from organizations, generate_series(0, 12) n;
         analyze"
    ))
    .await;
    test
}

/// Each second of the span that the ledger covers has its row: a run, or a skip, and only one.
const EVERY_SECOND_ONCE: &str =
    "select count(*) = extract(epoch from max(s) - min(s)) + 1 and count(*) = count(distinct s)
     from periodd_runs r,
          generate_series(r.occurrence, coalesce(r.last_occurrence, r.occurrence),
                          interval '1 second') s
     where r.job = 'rollover' and r.trigger = 'schedule'";
/// Runs that came to another end than they should, with all that the ledger says of them. One that
/// is under way and was given back is not among them: who is told to stop while it begins a run
/// leaves that to whoever comes next, and after the last one nobody does.
const NOT_ENDED: &str = "select r.* from periodd_runs r
     where r.outcome not in ('done', 'skipped')
       and not (r.outcome = 'running' and exists (
           select from periodd_schedules s
           where s.job = r.job and s.trigger = r.trigger and s.running = r.occurrence
             and s.lease_until = timestamptz 'epoch'))";
const NOTHING_DUE: &str = "select count(*) from organizations where current_period_end <= now()";
/// Who runs, by process id.
const AT_WORK: &str = "select split_part(replica, ':', 2) from periodd_schedules
                       where job = 'rollover' and running is not null and lease_until > now()";

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_runs_is_killed_and_every_occurrence_is_run_once() {
    let enough = times(20, 50);
    let test = orgs_behind(1_500).await;
    test.configure(
        "[daemon]\nlease = \"1s\"\n[schedule.rollover]\ncron = \"* * * * * *\"\n\
         [rollover]\nbatch_size = 10\nmax_periods_per_pass = 1\nconnections = 1\n",
    );
    let mut daemons: Vec<Daemon> = (0..3).map(|_| Daemon::start(&test)).collect();
    let (begun, mut kills) = (Instant::now(), 0);
    while kills < enough {
        assert!(begun.elapsed() < PATIENCE, "only {kills} kills");
        let at_work = test.rows(AT_WORK).await;
        let runner = daemons
            .iter_mut()
            .find(|daemon| at_work.iter().any(|pid| *pid == daemon.pid().to_string()));
        let Some(runner) = runner else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..100_000))).await;
        // While there is plenty to do it is still at it; and a random one is as good.
        runner.kill();
        *runner = Daemon::start(&test);
        kills += 1;
    }
    let torn = test.rows("select sum(attempts - 1) from periodd_runs").await;
    eprintln!("{kills} kills in {:?}, {torn:?} of them in a run", begun.elapsed());
    until(&test, NOTHING_DUE, "0").await;
    until(
        &test,
        "select count(*) from periodd_runs where attempts > 1 and outcome = 'running'",
        "0",
    )
    .await;
    for daemon in daemons {
        assert_eq!(daemon.stop().await.code(), Some(0));
    }
    assert_eq!(test.rows(NOT_ENDED).await, [""; 0]);
    assert_eq!(test.rows(EVERY_SECOND_ONCE).await, ["true"]);
    let torn: usize = torn[0].parse().expect("a number");
    assert!(torn >= enough / 2, "only {torn} runs were killed on their way");
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_frozen_past_its_lease_does_nothing_twice() {
    let undisturbed = orgs_behind(300).await;
    let test = undisturbed.copy().await;
    undisturbed.periodd(&["rollover"]).exits(0);
    test.configure(
        "[daemon]\nlease = \"1s\"\n[schedule.rollover]\ncron = \"* * * * * *\"\n\
         [rollover]\nbatch_size = 5\nmax_periods_per_pass = 1\nconnections = 1\n",
    );
    let daemons = [Daemon::start(&test), Daemon::start(&test)];
    let frozen = loop {
        let at_work = test.rows(AT_WORK).await;
        let is_at_work = |daemon: &&Daemon| at_work.contains(&daemon.pid().to_string());
        if let Some(daemon) = daemons.iter().find(is_at_work) {
            break daemon;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    frozen.signal("STOP");
    until(&test, "select count(*) > 0 from periodd_runs where attempts = 2", "true").await;
    // A page that it had in hand may hold locks until it goes on; the heir does all the rest.
    tokio::time::sleep(Duration::from_secs(1)).await;
    frozen.signal("CONT");
    until(&test, NOTHING_DUE, "0").await;
    until(
        &test,
        "select count(*) from periodd_runs where attempts > 1 and outcome = 'running'",
        "0",
    )
    .await;
    for daemon in daemons {
        // Who lost a run to another process has not failed, and was in time.
        assert_eq!(daemon.said("stopped after its timeout"), 0, "{}", daemon.log());
        assert_eq!(daemon.stop().await.code(), Some(0), "it leaves in good order");
    }
    assert_eq!(test.rows(EVERY_SECOND_ONCE).await, ["true"]);
    test.check_invariants().await;
    let closed = "select count(*), count(distinct (org_id, period_start)) as once
                  from billing_periods";
    assert_eq!(test.rows(closed).await, undisturbed.rows(closed).await);
    let usage = "select org_id, feature, period_start, used, drawn, uncovered
                 from billing_period_usage order by 1, 2, 3";
    assert_eq!(test.rows(usage).await, undisturbed.rows(usage).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_and_then_five_daemons_share_the_seconds() {
    let test = TestDatabase::new().await;
    test.configure("[schedule.rollover]\ncron = \"* * * * * *\"\n");
    let enough = |runs: usize| {
        format!(
            "select count(*) >= {runs} from periodd_runs
             where job = 'rollover' and outcome = 'done'"
        )
    };
    let mut daemons: Vec<Daemon> = (0..2).map(|_| Daemon::start(&test)).collect();
    until(&test, &enough(10), "true").await;
    daemons.extend((0..3).map(|_| Daemon::start(&test)));
    until(&test, &enough(25), "true").await;
    for daemon in daemons {
        assert_eq!(daemon.stop().await.code(), Some(0));
    }
    assert_eq!(test.rows(EVERY_SECOND_ONCE).await, ["true"]);
    let ran = test.rows("select count(distinct replica) > 1 from periodd_runs").await;
    assert_eq!(ran, ["true"], "more than one of them was at work");
}
