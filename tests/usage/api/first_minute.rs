//! An org that an application inserts is used before the daemon has seen it.

use sqlx::PgConnection;

use crate::api::refusal;
use crate::support::TestDatabase;

/// Signs up an org and a user as an application does, with further columns of the org.
async fn sign_up(test: &TestDatabase, slug: &str, zone: &str, more: (&str, &str)) -> String {
    let (columns, values) = more;
    test.sql(&format!(
        "with org as (
             insert into organizations (slug, name, time_zone, subscription_tier{columns})
             values ('{slug}', '{slug}', '{zone}', 'pro'{values}) returning id)
         insert into users (organization_id, email) select id, '{slug}@example.com' from org"
    ))
    .await;
    let user = format!("select id from users where email = '{slug}@example.com'");
    let user = test.rows(&user).await;
    user[0].clone()
}

async fn allowed(connection: &mut PgConnection, user: &str) -> bool {
    let call = format!("select allowed from increment_usage_if_allowed('{user}')");
    sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(connection).await.expect("an answer")
}

#[tokio::test]
async fn its_first_use_opens_the_month_and_the_sweep_agrees() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 3)").await;
    let period = "select slug, current_period_start, current_period_end from organizations
                  order by slug";
    for (slug, zone) in [("berlin", "Europe/Berlin"), ("la", "america/los_angeles"), ("utc", "UTC")]
    {
        let user = sign_up(&test, slug, zone, ("", "")).await;
        // What was used before anybody asked belongs to the same month.
        test.sql(&format!(
            "insert into usage_metrics (organization_id, user_id, metric_type, metric_value)
             select organization_id, id, 'scrapes', 1 from users where id = '{user}'"
        ))
        .await;
        let mut connection = test.connect().await;
        assert!(allowed(&mut connection, &user).await, "{zone}");
    }
    let opened = test.rows(period).await;
    test.sql("update organizations set time_zone = 'America/Los_Angeles' where slug = 'la'").await;
    test.periodd(&["sync"]).exits(0);
    test.periodd(&["rollover"]).exits(0);
    assert_eq!(test.rows(period).await, opened);
    let used = "select distinct used from usage_counters";
    assert_eq!(test.rows(used).await, ["2"]);
    let known = "select distinct ends_cycle from organizations";
    assert_eq!(test.rows(known).await, ["monthly"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn many_first_uses_at_once_are_counted_in_one_period() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 15)").await;
    let user = sign_up(&test, "acme", "Asia/Tokyo", ("", "")).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (mut connection, user) = (test.connect().await, user.clone());
        calls.spawn(async move { allowed(&mut connection, &user).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|is_allowed| **is_allowed).count(), 15);
    let counters = "select used, revision = 1 as opened_once from usage_counters c
                    join organizations o on o.id = c.org_id";
    // The counter's own revision is another column: ask the org.
    let counters = counters.replace("revision = 1", "o.revision = 1");
    assert_eq!(test.rows(&counters).await, ["15 true"]);
}

#[tokio::test]
async fn what_the_months_do_not_say_is_left_to_the_daemon() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 3)").await;
    for (slug, zone, more) in [
        ("middle", "UTC", (", anchor_day", ", 15")),
        ("year", "UTC", (", cycle", ", 'yearly'")),
        ("afternoon", "UTC", (", anchor_time", ", '14:32:10'")),
        ("nowhere", "Mars/Phobos", ("", "")),
        ("parked", "UTC", (", parked_at", ", now()")),
    ] {
        let user = sign_up(&test, slug, zone, more).await;
        let mut connection = test.connect().await;
        let call = format!("select * from increment_usage_if_allowed('{user}')");
        let (code, sentence) = refusal(&mut connection, &call).await;
        assert_eq!(code, "PB001", "{slug}: {sentence}");
    }
    let opened = "select count(*) from organizations where current_period_start is not null";
    assert_eq!(test.rows(opened).await, ["0"]);
}
