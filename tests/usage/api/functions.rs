//! Recording, granting, stats and the view of alerts.

use crate::api::{customer, refusal};
use crate::support::TestDatabase;

#[tokio::test]
async fn recording_and_granting_refuse_what_would_stop_a_rollover() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let mut connection = test.connect().await;
    let org = acme.org;
    for call in [
        format!("select record_usage('{org}', 'scrapes', 1, p_used_at => 'infinity')"),
        format!("select record_usage('{org}', 'scrapes', 1, p_used_at => '-infinity')"),
        format!("select record_usage('{org}', 'scrapes', 1e22)"),
        format!("select record_usage('{org}', 'scrapes', 'NaN')"),
        format!("select grant_overage_pack('{org}', 'scrapes', 1e22, 'r')"),
        format!("select grant_overage_pack('{org}', 'scrapes', 1, 'r', '-infinity')"),
        format!("select grant_overage_pack('{org}', 'scrapes', 1, 'r', null, 'infinity')"),
        format!("select grant_overage_pack('{org}', 'scrapes', 1, 'r', null, '-infinity')"),
        format!("select grant_overage_pack('{org}', 'scrapes', 1, 'r', now(), now())"),
    ] {
        assert_eq!(refusal(&mut connection, &call).await.0, "22023", "{call}");
    }
    // What is left out and what is null mean the same.
    let call = format!("select record_usage('{org}', 'scrapes', 1, p_used_at => null)");
    test.sql(&call).await;
    test.sql(&format!("select grant_overage_pack('{org}', 'scrapes', 1, 'r', null, null)")).await;
    assert_eq!(
        test.rows("select count(*) from usage_metrics where created_at <= now()").await,
        ["1"]
    );
    let again = format!("select grant_overage_pack('{org}', 'sms_sent', 1, 'r')");
    let (code, sentence) = refusal(&mut connection, &again).await;
    assert_eq!(code, "PB004");
    assert_eq!(sentence, "reference r was granted before as 1 scrapes");
    test.check_invariants().await;
}

#[tokio::test]
async fn stats_say_what_is_left_per_feature() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql(&format!(
        "insert into tier_limits values ('pro', 'scrapes', 30), ('pro', 'emails_sent', null),
                                        ('pro', 'sms_sent', 0);
         select grant_overage_pack('{org}', 'scrapes', 10, 'r');
         select record_usage('{org}', 'scrapes', 35);
         select record_usage('{org}', 'emails_sent', 7);
         select record_usage('{org}', 'minutes_transcribed', 1)",
        org = acme.org
    ))
    .await;
    let stats = format!(
        "select feature, used, included, purchased_remaining, effective_limit, percent,
                period_start <= now() and period_end > now() as is_now
         from get_current_usage_stats('{}')",
        acme.user
    );
    assert_eq!(
        test.rows(&stats).await,
        [
            "emails_sent 7 - 0 - - true",
            "minutes_transcribed 1 0 0 0 100 true",
            "scrapes 35 30 5 40 87.50 true",
            "sms_sent 0 0 0 0 0 true",
        ]
    );
    let nobody = format!("select * from get_current_usage_stats('{}')", uuid::Uuid::new_v4());
    assert_eq!(refusal(&mut test.connect().await, &nobody).await.0, "PB002");
}

#[tokio::test]
async fn the_view_of_alerts_lists_who_is_near_a_limit() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 100), ('pro', 'emails_sent', null),
                                        ('pro', 'sms_sent', 0)",
    )
    .await;
    for (slug, feature, used) in [
        ("calm", "scrapes", "79.999999"),
        ("near", "scrapes", "80"),
        ("nearer", "scrapes", "99.999999"),
        ("there", "scrapes", "100"),
        ("endless", "emails_sent", "1000000"),
        ("nothing", "sms_sent", "1"),
        ("unheard", "ai_messages", "1"),
        ("bought", "scrapes", "100"),
    ] {
        let org = customer(&test, slug).await.org;
        test.sql(&format!("select record_usage('{org}', '{feature}', {used})")).await;
        if slug == "bought" {
            test.sql(&format!("select grant_overage_pack('{org}', 'scrapes', 10, 'r')")).await;
        }
    }
    let view = "select slug, used, allowance, percent, level from usage_alerts_view order by slug";
    assert_eq!(
        test.rows(view).await,
        [
            "bought 100 110 90.90 90",
            "near 80 100 80.00 80",
            "nearer 99.999999 100 99.99 90",
            "nothing 1 0 100 100",
            "there 100 100 100.00 100",
        ]
    );
}

#[tokio::test]
async fn the_calendar_month_anywhere() {
    let test = TestDatabase::new().await;
    // Melbourne is in another month than UTC for some hours of each month's end.
    let touch = "select a.period_start <= now() and a.period_end > now() as is_now,
                        b.period_start <= now() and b.period_end > now() as is_now_there,
                        to_char(b.period_start at time zone 'Australia/Melbourne',
                                'DD HH24:MI:SS') as starts
                 from get_current_usage_period() a,
                      get_current_usage_period('australia/melbourne') b";
    assert_eq!(test.rows(touch).await, ["true true 01 00:00:00"]);
    let call = "select * from get_current_usage_period('Mars/Phobos')";
    assert_eq!(refusal(&mut test.connect().await, call).await.0, "22023");
}
