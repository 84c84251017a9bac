//! The end of a period: woken for, and begun within two seconds.

use crate::daemon::process::{Daemon, until, wait_until};
use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollover_begins_within_two_seconds_of_the_boundary_without_any_sweep() {
    let test = TestDatabase::new().await;
    // The sweep is a year away.
    test.configure("[schedule.rollover]\ncron = \"0 0 0 1 1 *\"\n");
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         select 'org-' || z, 'Org', z, now() - interval '1 month',
                date_trunc('second', now()) + interval '20 seconds'
         from unnest(array['Asia/Tokyo', 'Asia/Seoul', 'UTC', 'Europe/Berlin']) z",
    )
    .await;
    // One that was overdue before anybody looked is the sweep's, and hides no other's end.
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('overdue', 'Org', 'UTC', now() - interval '20 days', now() - interval '1 hour')",
    )
    .await;
    let due = "select count(*) from organizations where current_period_end <= now()";
    let daemon = Daemon::start(&test);
    wait_until("the daemon has started", || daemon.said("\"started\"") > 0).await;
    assert_eq!(test.rows(due).await, ["1"], "it started before the boundary");
    let done = "select count(*) from periodd_runs where trigger = 'boundary' and outcome = 'done'";
    until(&test, done, "1").await;
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["5"]);
    let run = "select r.lateness_ms between 0 and 2000 as in_time,
                      r.started_at >= r.occurrence as not_early,
                      r.occurrence = (select max(period_end) from billing_periods) as the_end,
                      r.counts ->> 'periods_closed' as closed
               from periodd_runs r where trigger = 'boundary'";
    assert_eq!(test.rows(run).await, ["true true true 5"]);
    assert_eq!(daemon.stop().await.code(), Some(0));
}
