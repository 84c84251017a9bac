//! The documents' own statements, verbatim, on the databases that they were written for.

use crate::adopted;

#[tokio::test]
async fn document_000() {
    let test = adopted(include_str!("000.sql")).await;
    assert_eq!(test.rows("SELECT * FROM get_current_usage_period()").await.len(), 1);
    assert_eq!(
        test.rows("SELECT * FROM get_current_usage_period('Australia/Melbourne')").await.len(),
        1
    );
    // One counter per org, feature and month, and not a message less.
    let sums = "select org_id, sum(used) from usage_counters where feature = 'sms_sent'
                group by 1 order by 1";
    assert_eq!(
        test.rows(sums).await,
        [
            // 4 months of 11 and 12, 7 in the month that overlapped, 5 in the older table.
            "00000000-0000-0000-0000-000000000001 104",
            "00000000-0000-0000-0000-000000000002 177",
            "00000000-0000-0000-0000-000000000003 252",
        ]
    );
    let months = "select count(*), count(distinct period_start) as months from usage_counters
                  where feature = 'sms_sent' and org_id::text like '%2'";
    assert_eq!(test.rows(months).await, ["5 5"]);
}

#[tokio::test]
async fn document_001() {
    let test = adopted(include_str!("001.sql")).await;
    let verify = "SELECT
  routine_name,
  routine_type,
  data_type
FROM information_schema.routines
WHERE routine_name = 'increment_usage_if_allowed'";
    assert_eq!(test.rows(verify).await, ["increment_usage_if_allowed FUNCTION record"]);
    let new = "10000000-0000-0000-0000-000000000001";
    let call = format!("SELECT * FROM increment_usage_if_allowed('{new}'::uuid)");
    assert_eq!(test.rows(&call).await, ["true 1 5 FREE none"]);
    let columns = "SELECT column_name, data_type
FROM information_schema.columns
WHERE table_name = 'users'
ORDER BY ordinal_position";
    let columns = test.rows(columns).await;
    for column in ["usage_this_month", "plan_limits_scrapes", "plan", "subscription_status"] {
        assert!(columns.iter().any(|row| row.split(' ').next() == Some(column)), "{columns:?}");
    }
    let debug = "SELECT
  id,
  email,
  usage_this_month,
  plan_limits_scrapes,
  plan,
  subscription_status,
  (usage_this_month >= plan_limits_scrapes) as limit_reached
FROM users
WHERE id = '10000000-0000-0000-0000-000000000003'::uuid";
    assert_eq!(
        test.rows(debug).await,
        ["10000000-0000-0000-0000-000000000003 full@example.com 5 5 FREE none true"]
    );
    let refused = "select allowed, new_usage, effective_limit
                   from users u, increment_usage_if_allowed(u.id) order by email";
    assert_eq!(
        test.rows(refused).await,
        ["false 7 5", "true 124 500", "true 9001 -", "false 5 5", "true 2 5", "false 0 0",]
    );
    let test_users = "SELECT id, email, usage_this_month, plan_limits_scrapes
FROM users
WHERE usage_this_month < plan_limits_scrapes
LIMIT 1";
    assert_eq!(test.rows(test_users).await.len(), 1);
    // The application's own column, its own table, and its foreign key.
    assert_eq!(test.rows("select count(*) from users where favourite_theme = 'dark'").await, ["1"]);
    test.sql(
        "insert into organizations (id, slug, name, time_zone) values
             ('10000000-0000-0000-0000-00000000000a', 'later', 'Later', 'UTC');
         insert into users (id, organization_id, email) values
             ('10000000-0000-0000-0000-00000000000a', '10000000-0000-0000-0000-00000000000a',
              'later@example.com');
         insert into activities (user_id, what)
             values ('10000000-0000-0000-0000-00000000000a', 'signed up')",
    )
    .await;
}

#[tokio::test]
async fn document_002() {
    let test = adopted(include_str!("002.sql")).await;
    let accuracy = "SELECT
    o.name,
    o.used_minutes as column_usage,
    COALESCE(SUM(um.metric_value), 0) as metrics_usage,
    ABS(o.used_minutes - COALESCE(SUM(um.metric_value), 0)) as diff
FROM organizations o
LEFT JOIN usage_metrics um ON um.organization_id = o.id
    AND um.metric_type = 'minutes_transcribed'
    AND um.created_at >= o.current_period_start
    AND um.created_at <= o.current_period_end
GROUP BY o.id, o.name, o.used_minutes
HAVING ABS(o.used_minutes - COALESCE(SUM(um.metric_value), 0)) > 0";
    assert_eq!(test.rows(accuracy).await, Vec::<String>::new());
    let outdated = "SELECT name, current_period_start, current_period_end
FROM organizations
WHERE DATE_TRUNC('month', current_period_start::date) != DATE_TRUNC('month', NOW())";
    assert_eq!(test.rows(outdated).await, Vec::<String>::new());
    let packs = "select o.name, p.quantity, p.reference like 'purchase:%' as on_record
                 from overage_packs p join organizations o on o.id = p.org_id order by 1, 2";
    assert_eq!(
        test.rows(packs).await,
        ["Cleared 30 true", "Cleared 120 true", "Drifted 100 false", "Outdated 20 false"]
    );
    let orgs =
        "select name, used_minutes, overage_minutes, notes from organizations order by notes";
    assert_eq!(
        test.rows(orgs).await,
        [
            "Right 30 0 n1",
            "Drifted 30 100 n2",
            // 20 of the 80 lie above the 60 included: the packs have 130 left for them.
            "Cleared 80 130 n3",
            "No period 30 0 n4",
            "Outdated 30 20 n5",
            "Inverted 30 0 n6",
            "Right 30 0 n7",
        ]
    );
    assert_eq!(test.rows("select count(distinct slug) from organizations").await, ["7"]);
}

#[tokio::test]
async fn document_003() {
    let test = adopted(include_str!("003.sql")).await;
    let columns = "select column_name from information_schema.columns
                   where table_name = 'feature_usage'
                     and column_name in ('sync_status', 'last_synced_at', 'discrepancy_count')";
    assert_eq!(test.rows(columns).await.len(), 3);
    assert_eq!(test.rows("select count(*) from feature_usage").await, ["12"]);
    let used = "select feature, usage_count from feature_usage
                where user_id = '30000000-0000-0000-0000-000000000001'
                order by period_start desc, feature limit 2";
    assert_eq!(test.rows(used).await, ["expenses 40", "invoices 3"]);
    test.sql("insert into tier_limits values ('free', 'invoices', 5)").await;
    let call = "select allowed, new_usage from increment_feature_usage(
                    '30000000-0000-0000-0000-000000000001', 'invoices')";
    assert_eq!(test.rows(call).await, ["true 4"]);
    assert_eq!(test.rows("select feature, level from usage_alerts_view").await, ["invoices 80"]);
    let stats = "select feature, used from get_current_usage_stats(
                     '30000000-0000-0000-0000-000000000001')";
    assert_eq!(test.rows(stats).await, ["expenses 40", "invoices 4"]);
}

#[tokio::test]
async fn document_004() {
    let test = adopted(include_str!("004.sql")).await;
    test.sql(
        "UPDATE organisations SET subscription_tier = 'free' WHERE subscription_tier IS NULL;
         UPDATE organisations SET subscription_tier = 'pro' WHERE slug = 'acme';
         UPDATE organisations SET subscription_tier = 'business' WHERE slug = 'enterprise-corp';",
    )
    .await;
    let events = "SELECT COUNT(*) FROM usage_events
   WHERE created_at > NOW() - INTERVAL '1 hour'";
    assert_eq!(test.rows(events).await, ["12"]);
    let tiers = "SELECT subscription_tier, COUNT(*)
   FROM organisations
   GROUP BY subscription_tier";
    let mut tiers = test.rows(tiers).await;
    tiers.sort();
    assert_eq!(tiers, ["business 1", "pro 1", "starter 1"]);
    let prices = "select name, monthly_price_cents from subscription_tiers order by 2";
    assert_eq!(test.rows(prices).await, ["Free 0", "Starter 2900", "Pro 7900", "Business 14900"]);
    test.sql("insert into tier_limits values ('pro', 'ai_messages', 12)").await;
    let used = "select used from usage_counters c join organisations o on o.id = c.org_id
                where slug = 'acme' and feature = 'ai_messages'";
    assert_eq!(test.rows(used).await, ["10"]);
    assert_eq!(
        test.rows("select vat_number from organizations where slug = 'acme'").await,
        ["GB1"]
    );
    test.sql("insert into invoices (organisation_id) select id from organizations").await;
}
