//! The documents' own statements, verbatim, on the databases that they were written for.

use crate::adoption::adopted;

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

/// Document 001's application calls over HTTP and reads `result[0]`: only a set is a list.
#[tokio::test]
async fn increments_answer_a_list_with_the_documents_columns() {
    let test = adopted(include_str!("001.sql")).await;
    let sets = "select proname, proretset, array_to_string(proargnames, ' ') from pg_proc
                where proname like 'increment_%' order by proname";
    let answer = "allowed new_usage effective_limit plan subscription_status";
    let asked = "p_user_id p_feature p_amount p_idempotency_key";
    assert_eq!(
        test.rows(sets).await,
        [
            format!("increment_feature_usage true {asked} {answer}"),
            format!("increment_org_usage true {} {answer}", asked.replace("user", "org")),
            format!("increment_usage_if_allowed true p_user_id {answer}"),
        ]
    );
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
    let any = "SELECT id, email, plan, usage_this_month, plan_limits_scrapes
FROM users
LIMIT 1";
    assert_eq!(test.rows(any).await.len(), 1);
    test.sql(
        "do $$ begin
             create role service_role;
         exception when duplicate_object then null; end $$;
         do $$ begin
             create role authenticated;
         exception when duplicate_object then null; end $$;
         GRANT EXECUTE ON FUNCTION increment_usage_if_allowed(uuid) TO service_role;
GRANT EXECUTE ON FUNCTION increment_usage_if_allowed(uuid) TO authenticated;",
    )
    .await;
    // The reset for testing holds on the application's own screen. What was used is in the
    // metrics: the next call goes by these, and the next audit writes the column again.
    let busy = "10000000-0000-0000-0000-000000000002";
    test.sql(&format!(
        "UPDATE users
SET usage_this_month = 0
WHERE id = '{busy}'::uuid;"
    ))
    .await;
    let shown = format!(
        "SELECT usage_this_month
FROM users
WHERE id = '{busy}'::uuid"
    );
    assert_eq!(test.rows(&shown).await, ["0"]);
    let call = format!("SELECT * FROM increment_usage_if_allowed('{busy}'::uuid)");
    assert_eq!(test.rows(&call).await, ["true 125 500 PRO active"]);
    assert_eq!(test.rows(&shown).await, ["125"]);
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
    // Its rollback takes the function away, and nothing else.
    test.sql("DROP FUNCTION IF EXISTS increment_usage_if_allowed(uuid)").await;
    assert_eq!(test.rows(verify).await, Vec::<String>::new());
    test.periodd(&["db", "verify"]).exits(0);
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
    // What the query means: an org with another anchor has a period that is not the month's.
    let outdated = test.rows(outdated).await;
    assert!(outdated.iter().all(|row| row.starts_with("Mid-month ")), "{outdated:?}");
    test.periodd(&["doctor"]).exits(0);
    let mid_month = "select extract(day from current_period_end) as ends, anchor_day
                     from organizations where name = 'Mid-month'";
    assert_eq!(test.rows(mid_month).await, ["15 15"]);
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
            "Mid-month 0 0 n8",
        ]
    );
    assert_eq!(test.rows("select count(distinct slug) from organizations").await, ["8"]);
    // Base and overage minutes apart, why somebody is refused, and what to do.
    let explain = || test.periodd(&["--format", "json", "explain", "user@example.com"]);
    let minutes = &explain().exits(0).json()["features"][0];
    let told = ["used", "included", "in_packs", "purchased_remaining", "allowance", "left"];
    assert_eq!(told.map(|key| minutes[key].as_i64()), [80, 60, 150, 130, 210, 130].map(Some));
    assert_eq!(minutes["increment"]["allowed"], true);
    test.sql(
        "select record_usage(organization_id, 'minutes_transcribed', 130)
         from users where email = 'user@example.com'",
    )
    .await;
    let minutes = &explain().exits(0).json()["features"][0];
    assert_eq!(minutes["increment"]["allowed"], false);
    let page = test.periodd(&["explain", "user@example.com"]).exits(0).stdout;
    assert!(page.contains("210 used of 210") && page.contains("packs grant"), "{page}");
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
    // Written by who writes the row, without a trigger.
    let fresh = "select f.usage_count, f.updated_at > i.applied_at as later
                 from feature_usage f, periodd_imports i
                 where f.feature = 'invoices' and f.usage_count = 4 and f.period_end > now()";
    assert_eq!(test.rows(fresh).await, ["4 true"]);
    // A user's rows are the user's alone.
    test.sql("set client_min_messages = warning").await;
    test.periodd(&["db", "migrate", "--with-roles"]).exits(0);
    let mut member = test.connect().await;
    let become_two = "set role periodd_member;
                      set app.user_id = '30000000-0000-0000-0000-000000000002'";
    sqlx::raw_sql(become_two).execute(&mut member).await.unwrap();
    let seen: Vec<String> = sqlx::query_scalar("select distinct user_id::text from feature_usage")
        .fetch_all(&mut member)
        .await
        .unwrap();
    assert_eq!(seen, ["30000000-0000-0000-0000-000000000002"]);
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
    // What its two endpoints answer.
    let limits = ["--format", "json", "usage", "limits", "--org", "acme"];
    let limits = test.periodd(&limits).exits(0).json();
    let limits = &limits.as_array().expect("one per feature")[0];
    assert_eq!((&limits["feature"], limits["used"].as_i64()), (&"ai_messages".into(), Some(10)));
    assert_eq!(limits["remaining"], 2);
    let check = |quantity| {
        let line = ["--format", "json", "usage", "check", "--org", "acme", "--feature"];
        let line = [&line[..], &["AI_MESSAGES", "--quantity", quantity]].concat();
        let answer = test.periodd(&line);
        (answer.code, answer.json()["allowed"].as_bool())
    };
    assert_eq!([check("2"), check("3")], [(0, Some(true)), (3, Some(false))]);
    // Its way to seed again is refused: orgs and limits hang on the tiers.
    let mut connection = test.connect().await;
    let delete = sqlx::raw_sql("DELETE FROM subscription_tiers").execute(&mut connection);
    let refused = delete.await.expect_err("orgs and limits hang on the tiers").to_string();
    assert!(refused.contains("violates foreign key constraint"), "{refused}");
    let used = "select used from usage_counters c join organisations o on o.id = c.org_id
                where slug = 'acme' and feature = 'ai_messages'";
    assert_eq!(test.rows(used).await, ["10"]);
    assert_eq!(
        test.rows("select vat_number from organizations where slug = 'acme'").await,
        ["GB1"]
    );
    test.sql("insert into invoices (organisation_id) select id from organizations").await;
}
