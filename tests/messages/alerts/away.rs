//! Orgs whose machine is away, as where a worker of a spread database is dead: enough of them that
//! the first page holds nobody else.

use periodd::jobs::alerts;
use periodd::store::StoreError;

use crate::alerts::story::Story;
use crate::support::lacking;

/// More than are read together at first.
const AWAY: usize = 120;
const OTHERS: usize = 20;

#[tokio::test]
async fn a_page_of_orgs_that_are_away_holds_up_nobodys_alert() {
    let story = Story::new().await;
    let test = &story.test;
    test.sql(&format!(
        "insert into organizations
             (id, slug, name, time_zone, subscription_tier, current_period_start,
              current_period_end)
         select (case when i <= {AWAY} then '00000000-0000-0000-0001-' else
                     '00000000-0000-0000-0002-' end || lpad(i::text, 12, '0'))::uuid,
                'org-' || i, 'Org', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z'
         from generate_series(1, {AWAY} + {OTHERS}) i;
         insert into org_contacts (org_id, email)
             select id, slug || '@example.org' from organizations where slug <> 'acme';
         insert into usage_counters
             (org_id, feature, period_start, period_end, used, sync_status, last_synced_at)
         select id, 'minutes_transcribed', '2026-05-01Z', '2026-06-01Z', 300, 'synced',
                '2020-01-01Z'
         from organizations where slug <> 'acme'"
    ))
    .await;
    assert_eq!(story.pass().await.judged, 0);
    test.sql("update usage_counters set used = 570, last_synced_at = now()").await;
    test.sql(&lacking("periodd_alert_limits", "true")).await;
    // What it lacks for everybody is an outage, and forgets nobody.
    let failed = alerts::run(&test.database, &story.request()).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    test.sql(&lacking("periodd_alert_limits", "new.org_id::text like '%-0001-%'")).await;
    let report = story.pass().await;
    assert_eq!((report.everything, report.emails, report.left), (false, OTHERS, AWAY));
    assert!(report.left_orgs[0].reason.contains("temp_file_limit"), "{report:?}");
    // Nobody but those is left to be told: whoever looks at the runs sees that.
    let failed = alerts::run(&test.database, &story.request()).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    test.sql("drop trigger away on periodd_alert_limits").await;
    let report = story.pass().await;
    assert_eq!((report.emails, report.left), (AWAY, 0));
}
