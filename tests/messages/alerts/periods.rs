//! Periods end: alerts belong to the one that contains now.

use crate::alerts::story::Story;

#[tokio::test]
async fn a_new_period_is_told_of_by_itself() {
    let mut story = Story::new().await;
    story.at("2026-05-31T23:00:00Z");
    story.uses_and_passes("590").await;
    assert_eq!(story.told().await, ["90"]);
    // 500 in the first 40 seconds, while the old period is not even closed.
    story.at("2026-06-01T00:00:40Z");
    story.uses_and_passes("500").await;
    assert_eq!(story.told().await, ["90", "80"]);
    let starts = "select distinct period_start from periodd_outbox order by 1";
    assert_eq!(story.test.rows(starts).await, ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"]);
    story.test.periodd(&["--at", "2026-06-01T00:00:40Z", "rollover"]).exits(0);
    story.pass().await;
    assert_eq!(story.told().await, ["90", "80"]);
}

#[tokio::test]
async fn what_is_crossed_at_the_last_minute_and_noticed_after_it_is_not_told() {
    let mut story = Story::new().await;
    story.pass().await;
    story.at("2026-05-31T23:59:00Z");
    story.uses("570").await;
    story.at("2026-06-01T00:01:00Z");
    story.pass().await;
    assert!(story.alerts().await.is_empty());
    story.test.periodd(&["--at", "2026-06-01T00:01:00Z", "rollover"]).exits(0);
    story.pass().await;
    assert!(story.alerts().await.is_empty());
}

#[tokio::test]
async fn what_the_unclosed_period_will_draw_is_not_there_any_more() {
    let mut story = Story::new().await;
    story
        .test
        .sql(
            "select grant_overage_pack(id, 'minutes_transcribed', 400, null, null, '2026-05-02Z')
             from organizations",
        )
        .await;
    story.at("2026-05-31T23:00:00Z");
    story.uses("1000").await;
    story.at("2026-06-01T00:00:10Z");
    story.uses_and_passes("570").await;
    assert_eq!(story.told().await, ["90"], "570 of 600: the pack pays for May");
    story.test.periodd(&["--at", "2026-06-01T00:00:20Z", "rollover"]).exits(0);
    story.at("2026-06-01T00:00:30Z");
    story.pass().await;
    assert_eq!(story.told().await, ["90"]);
}

#[tokio::test]
async fn a_parked_org_is_passed_over() {
    let story = Story::new().await;
    story.test.sql("update organizations set parked_at = now(), parked_reason = 'x'").await;
    story.uses_and_passes("570").await;
    assert!(story.alerts().await.is_empty());
}
