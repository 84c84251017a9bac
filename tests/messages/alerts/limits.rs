//! Limits move: packs, overrides, tiers.

use crate::alerts::story::{FEATURE, NOON, ORG, Story};

#[tokio::test]
async fn a_higher_limit_arms_again_what_is_no_longer_exceeded() {
    let story = Story::with_limit("600").await;
    story.uses_and_passes("570").await;
    story.limit("1200").await;
    story.pass().await;
    assert_eq!(story.told().await, ["90"]);
    story.uses_and_passes("389").await;
    assert_eq!(story.told().await, ["90"]);
    story.uses_and_passes("1").await;
    assert_eq!(story.told().await, ["90", "80"], "960 of 1200");
    let alerts = ["1 80 covered", "1 90 notified", "2 80 notified"];
    assert_eq!(story.alerts().await, alerts);
}

#[tokio::test]
async fn a_lower_limit_may_cross_once_and_says_so() {
    for synced in [false, true] {
        let story = Story::with_limit("1200").await;
        story.uses_and_passes("570").await;
        if synced {
            story.sync().await;
            story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
        }
        assert!(story.told().await.is_empty());
        story.limit("600").await;
        let report = story.pass().await;
        assert!(!report.everything);
        story.pass().await;
        assert_eq!(story.told().await, ["90!"]);
        assert_eq!(story.pass().await.judged, usize::from(!synced));
    }
}

#[tokio::test]
async fn a_lower_tier_and_a_smaller_tier_are_lower_limits() {
    let lower = [
        "update organizations set subscription_tier = 'starter'".to_owned(),
        format!(
            "update tier_limits set included = 60 where tier = 'pro' and feature = '{FEATURE}'"
        ),
    ];
    for change in lower {
        let story = Story::new().await;
        story.pass().await;
        story.uses_and_passes("55").await;
        story.sync().await;
        story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
        story.pass().await;
        assert!(story.told().await.is_empty());
        story.test.sql(&change).await;
        story.pass().await;
        assert_eq!(story.told().await, ["90!"], "{change}");
        assert_eq!(story.pass().await.judged, 0, "and then it is quiet");
    }
}

#[tokio::test]
async fn a_lower_tier_is_noticed_of_an_org_that_was_only_looked_at_among_all() {
    let story = Story::new().await;
    story.uses("55").await;
    story.sync().await;
    story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
    assert!(story.pass().await.everything);
    assert!(story.told().await.is_empty());
    story.test.sql("update organizations set subscription_tier = 'starter'").await;
    assert!(!story.pass().await.everything);
    assert_eq!(story.told().await, ["90!"]);
    assert_eq!(story.pass().await.judged, 0, "and then it is quiet");
}

#[tokio::test]
async fn an_override_that_was_always_there_is_no_limit_change() {
    for looked_before in [false, true] {
        let story = Story::new().await;
        if looked_before {
            // The passes are on their way when the org comes, with its override.
            story.test.sql("update organizations set parked_at = now()").await;
            story.pass().await;
            story.test.sql("update organizations set parked_at = null, judged_tier = null").await;
        }
        story.limit("60").await;
        story.uses("55").await;
        assert_eq!(story.pass().await.everything, !looked_before);
        assert_eq!(story.told().await, ["90"], "looked before: {looked_before}");
    }
}

async fn buys(story: &Story, quantity: &str, expires_at: &str) {
    story
        .test
        .sql(&format!(
            "select grant_overage_pack('{ORG}', '{FEATURE}', {quantity}, null, {expires_at},
                                       '2026-05-02Z')"
        ))
        .await;
}

#[tokio::test]
async fn packs_are_part_of_the_allowance_and_not_of_what_is_included() {
    let story = Story::new().await;
    buys(&story, "300", "null").await;
    story.uses_and_passes("600").await;
    assert!(story.told().await.is_empty(), "600 of 900");
    story.test.configure("[alerts]\nbasis = \"included\"\n");
    story.pass().await;
    assert_eq!(story.told().await, ["100"]);
    let facts = "select basis, used, included, drawn, purchased from periodd_alerts
                 where state = 'notified'";
    assert_eq!(story.test.rows(facts).await, ["included 600 600 0 300"]);
}

#[tokio::test]
async fn a_pack_that_is_drawn_changes_nothing() {
    let story = Story::new().await;
    buys(&story, "100", "'2026-05-20Z'").await;
    buys(&story, "300", "null").await;
    story.uses_and_passes("650").await;
    assert!(story.told().await.is_empty(), "650 of 1000");
    // The first one is drawn when it expires, and 50 of it are lost: 650 of 950.
    let mut story = story;
    story.at("2026-05-21T00:00:00Z");
    let rollover = ["--at", "2026-05-21T00:00:00Z", "rollover"];
    story.test.periodd(&rollover).exits(0);
    story.pass().await;
    assert!(story.told().await.is_empty());
    story.uses_and_passes("110").await;
    assert_eq!(story.told().await, ["80"], "760 of 950");
}

#[tokio::test]
async fn a_pack_that_expires_is_a_lower_limit_before_and_after_it_is_settled() {
    for settled in [false, true] {
        let mut story = Story::new().await;
        story.at("2026-05-19T18:00:00Z");
        buys(&story, "300", "'2026-05-20Z'").await;
        story.uses_and_passes("570").await;
        story.sync().await;
        story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
        story.pass().await;
        assert!(story.told().await.is_empty(), "570 of 900");
        story.at("2026-05-20T00:00:00Z");
        if settled {
            story.test.periodd(&["--at", "2026-05-20T00:00:00Z", "rollover"]).exits(0);
        }
        assert!(!story.pass().await.everything);
        assert_eq!(story.told().await, ["90!"]);
    }
}

#[tokio::test]
async fn a_pack_that_is_bought_makes_room() {
    let mut story = Story::new().await;
    story.at(NOON);
    story.uses_and_passes("570").await;
    buys(&story, "600", "null").await;
    story.uses_and_passes("100").await;
    assert_eq!(story.told().await, ["90"]);
    story.uses_and_passes("290").await;
    assert_eq!(story.told().await, ["90", "80"], "960 of 1200");
}
