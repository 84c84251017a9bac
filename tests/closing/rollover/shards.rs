//! A part of the orgs whose machine is away: as where a worker of a spread database is dead.

use crate::support::{TestDatabase, lacking};

const ORGS: usize = 600;
const AT: &str = "2026-06-02T00:00:00Z";

/// Orgs that are due; of each tenth, nothing can be written.
async fn a_tenth_is_away(batch_size: usize) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure(&format!("[rollover]\nbatch_size = {batch_size}\n"));
    test.sql(&format!(
        "insert into organizations
             (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
              current_period_end_date, next_period_ends, ends_time_zone, ends_cycle,
              ends_anchor_day, ends_anchor_month, ends_tzdb_version)
         select 'org-' || i, 'Org', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z', '2026-06-01',
                array['2026-07-01Z', '2026-08-01Z', '2026-09-01Z']::timestamptz[],
                'UTC', 'monthly', 1, 1, '2099z'
         from generate_series(1, {ORGS}) i;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 5, '2026-05-10Z' from organizations"
    ))
    .await;
    test.sql(&lacking("organizations", "new.slug like '%7'")).await;
    test
}

#[tokio::test]
async fn a_tenth_that_is_away_holds_up_nobody_and_is_caught_up_later() {
    let test = a_tenth_is_away(100).await;
    let closed = "select count(*) from billing_periods";
    let rolled = test.periodd(&["rollover", "--at", AT]);
    assert_eq!(test.rows(closed).await, [(ORGS - ORGS / 10).to_string()], "{rolled:?}");
    assert_eq!(rolled.code, 1, "{rolled:?}");
    let said = format!("{} orgs are still due", ORGS / 10);
    assert!(rolled.stderr.contains(&said), "{rolled:?}");
    assert!(rolled.stderr.contains("temp_file_limit"), "{rolled:?}");
    // What is away is nobody's fault.
    let parked = "select count(*) from organizations where parked_at is not null";
    assert_eq!(test.rows(parked).await, ["0"]);
    test.sql("drop trigger away on organizations").await;
    test.periodd(&["rollover", "--at", AT]).exits(0);
    assert_eq!(test.rows(closed).await, [ORGS.to_string()]);
    test.check_invariants().await;
}

#[tokio::test]
async fn pages_of_nothing_but_orgs_that_are_away_hold_up_nobody_either() {
    let test = a_tenth_is_away(20).await;
    // Everybody else ends later, so that those that are away fill the first pages.
    test.sql(
        "update organizations
         set time_zone = 'America/Panama', ends_time_zone = 'America/Panama',
             current_period_start = '2026-05-01T05:00Z', current_period_end = '2026-06-01T05:00Z',
             next_period_ends = array['2026-07-01T05:00Z', '2026-08-01T05:00Z',
                                      '2026-09-01T05:00Z']::timestamptz[]
         where slug not like '%7'",
    )
    .await;
    let closed = "select count(*) from billing_periods";
    let said = format!("{} orgs are still due", ORGS / 10);
    for run in ["first", "second"] {
        let rolled = test.periodd(&["rollover", "--at", AT]);
        assert_eq!(test.rows(closed).await, [(ORGS - ORGS / 10).to_string()], "{run}: {rolled:?}");
        assert_eq!(rolled.code, 1, "{run}: {rolled:?}");
        assert!(rolled.stderr.contains(&said), "{run}: {rolled:?}");
    }
    test.sql("drop trigger away on organizations").await;
    test.periodd(&["rollover", "--at", AT]).exits(0);
    assert_eq!(test.rows(closed).await, [ORGS.to_string()]);
    test.check_invariants().await;
}
