//! Many orgs, and several passes at once.

use std::sync::Arc;

use periodd::jobs::alerts;

use crate::alerts::story::{NOON, Story};
use crate::support::TestDatabase;

const ORGS: usize = 40_000;
const CROSSING: usize = 400;

/// Many orgs with one counter each; every hundredth has used 540 of 600, the others half.
async fn many(test: &TestDatabase) {
    test.sql(&format!(
        "insert into organizations
             (id, slug, name, time_zone, subscription_tier, current_period_start,
              current_period_end)
         select md5('org ' || i)::uuid, 'org-' || i, 'Org', 'UTC', 'pro', '2026-05-01Z',
                '2026-06-01Z' from generate_series(1, {ORGS}) i;
         insert into org_contacts (org_id, email)
             select id, slug || '@example.org' from organizations where slug <> 'acme';
         insert into usage_counters
             (org_id, feature, period_start, period_end, used, sync_status, last_synced_at)
         select id, 'minutes_transcribed', '2026-05-01Z', '2026-06-01Z',
                case when slug like '%00' then 540 else 300 end, 'synced', '2020-01-01Z'
         from organizations where slug <> 'acme';
         analyze"
    ))
    .await;
}

#[tokio::test]
async fn one_pass_over_many_orgs_queues_one_email_for_each_that_crosses() {
    let story = Story::new().await;
    many(&story.test).await;
    let report = story.pass().await;
    assert!(report.everything);
    assert_eq!((report.judged, report.notified, report.emails), (CROSSING, CROSSING, CROSSING));
    let emails =
        "select count(*) as n, count(distinct org_id) as orgs, min(threshold) from periodd_outbox";
    assert_eq!(story.test.rows(emails).await, [format!("{CROSSING} {CROSSING} 90")]);
    let report = story.pass().await;
    assert_eq!((report.everything, report.judged), (false, 0), "nothing has changed");
    // A lower tier is noticed of an org that was only ever looked at among all the others.
    story
        .test
        .sql("update organizations set subscription_tier = 'starter' where slug = 'org-7'")
        .await;
    let report = story.pass().await;
    assert_eq!((report.everything, report.judged, report.emails), (false, 1, 1));
    assert_eq!(story.told().await.last().map(String::as_str), Some("100!"), "300 of 60");
    let all_again = alerts::Request { full: true, ..story.request() };
    let report = alerts::run(&story.test.database, &all_again).await.unwrap();
    assert_eq!((report.judged, report.emails), (CROSSING + 1, 0));
}

#[tokio::test]
async fn passes_at_once_tell_each_alert_once() {
    let story = Arc::new(Story::new().await);
    many(&story.test).await;
    let passes = (0..3).map(|_| {
        let story = Arc::clone(&story);
        tokio::spawn(async move { story.pass().await })
    });
    let mut emails = 0;
    for pass in passes.collect::<Vec<_>>() {
        emails += pass.await.unwrap().emails;
    }
    // Whoever was second may have left something to the next pass.
    emails += story.pass().await.emails;
    assert_eq!(emails, CROSSING);
    let twice = "select count(*) as n, count(distinct org_id) as orgs from periodd_outbox";
    assert_eq!(story.test.rows(twice).await, [format!("{CROSSING} {CROSSING}")]);
}

/// One org at work, while several passes look at it again and again: each level once.
#[tokio::test]
async fn use_and_passes_at_once_tell_each_level_at_most_once() {
    let story = Arc::new(Story::new().await);
    let passes = (0..3).map(|_| {
        let story = Arc::clone(&story);
        tokio::spawn(async move {
            for _ in 0..20 {
                story.pass().await;
            }
        })
    });
    let passes: Vec<_> = passes.collect();
    for _ in 0..65 {
        story.uses("10").await;
    }
    for pass in passes {
        pass.await.unwrap();
    }
    story.pass().await;
    let alerts = story.test.rows("select generation, threshold from periodd_alerts order by 2");
    assert_eq!(alerts.await, ["1 80", "1 90", "1 100"]);
    let levels = story.test.rows("select distinct threshold from periodd_outbox order by 1").await;
    let emails = story.test.rows("select threshold from periodd_outbox order by 1").await;
    assert_eq!(emails, levels);
    assert_eq!(emails.last().map(String::as_str), Some("100"), "at {NOON}");
}
