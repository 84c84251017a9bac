//! Orgs whose machine is away, as where a worker of a spread database is dead: so much of theirs is
//! to be counted that the first page holds nobody else.

use crate::support::{TestDatabase, lacking};

const AWAY: usize = 12;
const OTHERS: usize = 5;
/// Of each that is away; a page has 20,000.
const METRICS: usize = 2_500;
const NOW: &str = "2026-05-12T12:00:00Z";

#[tokio::test]
async fn a_page_of_orgs_that_are_away_holds_up_nobodys_counting() {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into organizations
             (id, slug, name, time_zone, subscription_tier, current_period_start,
              current_period_end)
         select (case when i <= {AWAY} then '00000000-0000-0000-0001-' else
                     '00000000-0000-0000-0002-' end || lpad(i::text, 12, '0'))::uuid,
                'org-' || i, 'Org', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z'
         from generate_series(1, {AWAY} + {OTHERS}) i;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'scrapes', 1, '2026-05-03Z' from organizations o
         cross join lateral generate_series(
             1, case when o.id::text like '%-0001-%' then {METRICS} else 3 end) g"
    ))
    .await;
    let counted = "select count(*), sum(used) from usage_counters";
    test.sql(&lacking("usage_counters", "true")).await;
    // What it lacks for everybody is an outage.
    let sync = test.periodd(&["--at", NOW, "sync"]).exits(69);
    assert!(sync.stderr.contains("temp_file_limit"), "{}", sync.stderr);
    test.sql(&lacking("usage_counters", "new.org_id::text like '%-0001-%'")).await;
    let sync = test.periodd(&["--at", NOW, "--format", "json", "sync"]).exits(0).json();
    assert_eq!(sync["left"].as_array().map(Vec::len), Some(AWAY), "{sync}");
    assert_eq!(test.rows(counted).await, [format!("{OTHERS} {}", OTHERS * 3)]);
    let parked = "select slug from organizations where parked_at is not null";
    assert_eq!(test.rows(parked).await, [""; 0]);
    test.sql("drop trigger away on usage_counters").await;
    test.periodd(&["--at", NOW, "sync"]).exits(0);
    let all = format!("{} {}", AWAY + OTHERS, AWAY * METRICS + OTHERS * 3);
    assert_eq!(test.rows(counted).await, [all]);
    test.check_invariants().await;
}
