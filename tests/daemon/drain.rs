//! SIGTERM in the middle of a rollover of a hundred thousand orgs.

use std::time::{Duration, Instant};

use crate::process::{Daemon, until};
use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_amid_a_hundred_thousand_orgs_it_leaves_in_time_and_none_is_half_done() {
    const ORGS: usize = 100_000;
    let bound = Duration::from_secs(15);
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
    let daemon = Daemon::start(&test);
    until(&test, "select count(*) > 2000 from billing_periods", "true").await;
    let told = Instant::now();
    let status = daemon.stop().await;
    let took = told.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < bound + Duration::from_secs(5), "it took {took:?}");
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
