//! Each level once, the highest for all, exactly.

use crate::alerts::story::{ORG, Story};

#[tokio::test]
async fn one_email_at_90_for_80_too_and_one_at_exactly_100() {
    let story = Story::new().await;
    story.pass().await;
    story.uses_and_passes("570").await;
    story.pass().await;
    assert_eq!(story.told().await, ["90"]);
    assert_eq!(story.alerts().await, ["1 80 covered", "1 90 notified"]);
    story.uses_and_passes("30").await;
    assert_eq!(story.told().await, ["90", "100"]);
    story.uses_and_passes("100").await;
    assert_eq!(story.told().await, ["90", "100"]);
}

#[tokio::test]
async fn from_nothing_to_far_above_is_one_email() {
    let story = Story::new().await;
    story.uses_and_passes("720").await;
    assert_eq!(story.told().await, ["100"]);
    assert_eq!(story.alerts().await, ["1 80 covered", "1 90 covered", "1 100 notified"]);
}

#[tokio::test]
async fn eighty_percent_of_333_is_267() {
    let story = Story::with_limit("333").await;
    story.uses_and_passes("266").await;
    story.uses_and_passes("0.399999").await;
    assert!(story.told().await.is_empty());
    story.uses_and_passes("0.000001").await;
    assert_eq!(story.told().await, ["80"], "266.4 is exactly 80 % of 333");
    let story = Story::with_limit("333").await;
    story.uses_and_passes("267").await;
    assert_eq!(story.told().await, ["80"]);
}

#[tokio::test]
async fn small_limits_and_none() {
    for (included, told) in [("1", vec!["100"]), ("0", vec!["100"]), ("null", vec![])] {
        let story = Story::with_limit(included).await;
        story.pass().await;
        assert!(story.told().await.is_empty(), "{included}: nothing is used yet");
        story.uses_and_passes("1").await;
        story.uses_and_passes("1").await;
        assert_eq!(story.told().await, told, "{included}");
    }
}

#[tokio::test]
async fn what_nobody_grants_has_no_alerts() {
    let story = Story::new().await;
    story.test.sql("delete from tier_limits").await;
    story.uses_and_passes("570").await;
    assert!(story.told().await.is_empty());
}

#[tokio::test]
async fn a_correction_arms_nothing_again() {
    let story = Story::new().await;
    story.uses_and_passes("570").await;
    story.uses_and_passes("-100").await;
    story.uses_and_passes("15").await;
    assert_eq!(story.told().await, ["90"]);
    story.uses_and_passes("85").await;
    assert_eq!(story.told().await, ["90"], "570 once more is nothing new");
    story.uses_and_passes("30").await;
    assert_eq!(story.told().await, ["90", "100"]);
}

#[tokio::test]
async fn thresholds_are_the_features_or_the_orgs_own_or_none() {
    let story = Story::new().await;
    story.test.configure(
        "[alerts]\nthresholds = [70]\n[[features]]\nname = \"Minutes_Transcribed\"\n\
         thresholds = [50, 95]\n",
    );
    story.uses_and_passes("310").await;
    assert_eq!(story.told().await, ["50"]);
    // Its own, for everything; then for this feature; then none.
    let own = |values: &str| {
        format!(
            "insert into org_alert_settings (org_id, feature, thresholds) values ('{ORG}', {values})
             on conflict (org_id, feature) do update set thresholds = excluded.thresholds"
        )
    };
    story.test.sql(&own("'*', '{55}'")).await;
    story.uses_and_passes("20").await;
    assert_eq!(story.told().await, ["50", "55"]);
    story.test.sql(&own("'minutes_transcribed', '{60}'")).await;
    story.uses_and_passes("30").await;
    assert_eq!(story.told().await, ["50", "55", "60"]);
    story.test.sql(&own("'minutes_transcribed', '{}'")).await;
    story.uses_and_passes("300").await;
    assert_eq!(story.told().await, ["50", "55", "60"]);
    // A lower threshold of one's own is looked at without any use.
    story.test.sql(&own("'minutes_transcribed', '{99}'")).await;
    story.sync().await;
    story.pass().await;
    assert_eq!(story.told().await, ["50", "55", "60", "99"]);
}

#[tokio::test]
async fn a_counter_is_found_whether_it_is_synced_or_not() {
    let story = Story::new().await;
    story.pass().await;
    story.uses("500").await;
    story.sync().await;
    let report = story.pass().await;
    assert!(!report.everything, "only what moved");
    assert_eq!(story.told().await, ["80"]);
    // Nothing has moved for longer than a pass looks back.
    story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
    assert_eq!(story.pass().await.judged, 0);
    // Once a day everything is looked at, so that what came from elsewhere is noticed, too.
    story.test.sql("update usage_counters set used = 599").await;
    assert_eq!(story.pass().await.judged, 0);
    let mut story = story;
    story.at("2026-05-13T12:00:00Z");
    assert!(story.pass().await.everything);
    assert_eq!(story.told().await, ["80", "90"]);
}
