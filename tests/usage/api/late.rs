//! The rollover is late, or left an org out: what the functions say meanwhile is what holds.

use std::fmt::Write as _;

use periodd::billing::Instant;

use crate::api::{Customer, customer};
use crate::support::TestDatabase;

/// An org whose period of one day ended at midnight and is not closed, on a tier.
async fn late(test: &TestDatabase, slug: &str, tier: &str) -> Customer {
    let customer = customer(test, slug).await;
    test.sql(&format!(
        "update organizations
         set cycle = 'daily', subscription_tier = '{tier}',
             current_period_start = date_trunc('day', now(), 'UTC') - interval '1 day',
             current_period_end = date_trunc('day', now(), 'UTC'),
             current_period_end_date = date_trunc('day', now(), 'UTC')::date,
             next_period_ends = (select array_agg(date_trunc('day', now(), 'UTC')
                                                  + make_interval(days => d))
                                 from generate_series(1, 40) d),
             ends_time_zone = time_zone, ends_cycle = 'daily', ends_anchor_day = anchor_day,
             ends_anchor_month = anchor_month
         where id = '{}'",
        customer.org
    ))
    .await;
    customer
}

async fn grant(test: &TestDatabase, org: Customer, quantity: u32, expires: &str) {
    test.sql(&format!(
        "select grant_overage_pack('{}', 'scrapes', {quantity}, gen_random_uuid()::text, {expires},
                                   date_trunc('day', now(), 'UTC') - interval '20 hours')",
        org.org
    ))
    .await;
}

async fn ask(test: &TestDatabase, customer: Customer, amount: u32) -> String {
    let call = format!(
        "select allowed, new_usage, effective_limit, plan, subscription_status
         from increment_feature_usage('{}', 'scrapes', {amount})",
        customer.user
    );
    test.rows(&call).await.remove(0)
}

async fn limits(test: &TestDatabase) {
    test.sql(
        "insert into subscription_tiers (code) values ('small'), ('none'), ('endless');
         insert into tier_limits values ('small', 'scrapes', 5), ('endless', 'scrapes', null)",
    )
    .await;
}

#[tokio::test]
async fn an_override_without_a_limit_holds_however_late_the_rollover_is() {
    let test = TestDatabase::new().await;
    limits(&test).await;
    let expired = "now() - interval '1 second'";
    for tier in ["small", "none", "endless"] {
        for situation in ["late", "expired", "parked", "late-expired"] {
            let slug = format!("{tier}-{situation}");
            let org = if situation.starts_with("late") || situation == "parked" {
                late(&test, &slug, tier).await
            } else {
                customer(&test, &slug).await
            };
            test.sql(&format!(
                "update organizations
                 set subscription_tier = '{tier}',
                     parked_at = case when '{situation}' = 'parked' then now() end
                 where id = '{0}';
                 insert into limit_overrides values ('{0}', 'scrapes', null)",
                org.org
            ))
            .await;
            if situation.ends_with("expired") {
                grant(&test, org, 5, expired).await;
            }
            assert_eq!(ask(&test, org, 50).await, format!("true 50 - {tier} -"), "{slug}");
            let stats = format!(
                "select included, effective_limit, percent from get_current_usage_stats('{}')
                 where feature = 'scrapes'",
                org.user
            );
            assert_eq!(test.rows(&stats).await, ["- - -"], "{slug}");
        }
    }
    test.periodd(&["rollover"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_subscription_that_ended_is_over_though_nobody_closed_its_period() {
    let test = TestDatabase::new().await;
    limits(&test).await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 1000), ('free', 'scrapes', 10)")
        .await;
    // The shipped configuration's ended tier, and one that an operator chose.
    for (ended, answer) in
        [("free", "true 8 18 free canceled"), ("small", "true 8 13 small canceled")]
    {
        let config = format!(
            "[database]\nurl = \"{}\"\nsandbox = true\n[rollover]\nended_tier = \"{ended}\"\n",
            test.url()
        );
        test.periodd_configured(&config, &["db", "migrate"]).exits(0);
        let org = late(&test, &format!("was-{ended}"), "pro").await;
        test.sql(&format!(
            "update organizations
             set subscription_ends_at = current_period_end - interval '3 hours',
                 -- Sold together with what has ended.
                 next_subscription_tier = 'endless'
             where id = '{}'",
            org.org
        ))
        .await;
        grant(&test, org, 8, "null").await;
        assert_eq!(ask(&test, org, 900).await.split(' ').next(), Some("false"));
        assert_eq!(ask(&test, org, 8).await, answer);
        let told = format!(
            "select included, drawn, usable, tier from periodd_allowances('{}', now(), 'scrapes')",
            org.org
        );
        let before = test.rows(&told).await;
        test.periodd_configured(&config, &["rollover"]).exits(0);
        assert_eq!(test.rows(&told).await, before);
        // Nothing of what was allowed is left without anybody to pay for it.
        let early = ["--yes", "rollover", "--early", "--org", &format!("was-{ended}")];
        test.periodd_configured(&config, &early).exits(0);
        let uncovered = "select coalesce(sum(uncovered), 0) from billing_period_usage";
        assert_eq!(test.rows(uncovered).await, ["0"]);
    }
}

#[tokio::test]
async fn a_subscription_that_ends_never_or_later_goes_on() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 7)").await;
    for (slug, ends) in
        [("never", "'infinity'"), ("later", "current_period_end + interval '1 hour'")]
    {
        let org = late(&test, slug, "pro").await;
        test.sql(&format!(
            "update organizations set subscription_ends_at = {ends} where id = '{}'",
            org.org
        ))
        .await;
        assert_eq!(ask(&test, org, 1).await, "true 1 7 pro -", "{slug}");
    }
}

#[tokio::test]
async fn usage_of_an_ended_period_that_comes_while_an_increment_waits_lowers_its_limit() {
    let test = TestDatabase::new().await;
    limits(&test).await;
    for is_first in [true, false] {
        let org = late(&test, &format!("first-{is_first}"), "none").await;
        test.sql(&format!("insert into limit_overrides values ('{}', 'scrapes', 10)", org.org))
            .await;
        grant(&test, org, 50, "null").await;
        if !is_first {
            assert_eq!(ask(&test, org, 1).await, "true 1 60 none -");
        }
        let used = u32::from(!is_first);
        let mut theirs = test.connect().await;
        let hold = format!("begin; select increment_feature_usage('{}', 'scrapes', 1)", org.user);
        sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut theirs).await.unwrap();
        let asking = ask(&test, org, 50);
        let ending = async {
            test.until_somebody_waits().await;
            test.sql(&format!(
                "select record_usage('{}', 'scrapes', 60, null,
                                     date_trunc('day', now(), 'UTC') - interval '1 hour')",
                org.org
            ))
            .await;
            sqlx::raw_sql("commit").execute(&mut theirs).await.unwrap();
        };
        let (answer, ()) = tokio::join!(asking, ending);
        assert_eq!(answer, format!("false {} 10 none -", used + 1), "first: {is_first}");
        let holds = format!(
            "select c.used, f.usage_count, u.usage_this_month,
                    (select sum(metric_value) from usage_metrics m
                     where m.organization_id = c.org_id and m.created_at >= c.period_start)
             from usage_counters c
             join feature_usage f
               on f.organization_id = c.org_id and f.period_start = c.period_start
             join users u on u.organization_id = c.org_id
             where c.org_id = '{}' and c.period_end > now()",
            org.org
        );
        let n = used + 1;
        assert_eq!(test.rows(&holds).await, [format!("{n} {n} {n} {n}")]);
    }
}

/// Every org near a limit, by the functions.
const BY_THE_FUNCTIONS: &str = "
    select o.slug, s.feature, s.used, s.effective_limit, s.percent, s.period_start, s.period_end
    from organizations o
    join users u on u.organization_id = o.id
    cross join lateral get_current_usage_stats(u.id) s
    where s.used > 0 and s.used * 100 >= s.effective_limit * 80
      and (exists (select from limit_overrides l where l.org_id = o.id and l.feature = s.feature)
           or exists (select from tier_limits t, periodd_allowances(o.id, now(), s.feature) a
                      where t.tier = a.tier and t.feature = s.feature))
    order by 1, 2";
/// The same by the view.
const BY_THE_VIEW: &str = "select slug, feature, used, allowance, percent, period_start, period_end
                           from usage_alerts_view order by 1, 2";

#[tokio::test]
async fn the_view_of_alerts_and_the_stats_never_contradict_each_other() {
    let test = TestDatabase::new().await;
    limits(&test).await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 100), ('free', 'scrapes', 10)")
        .await;
    let mut rng = fastrand::Rng::new();
    let seed = rng.get_seed();
    for number in 0..60 {
        let tier = *rng.choice(&["pro", "small", "none", "endless"]).expect("one of them");
        let slug = format!("org-{number}");
        let org = if rng.bool() {
            late(&test, &slug, tier).await
        } else {
            let org = customer(&test, &slug).await;
            test.sql(&format!(
                "update organizations
                 set subscription_tier = '{tier}',
                     current_period_start = least(current_period_start, now() - interval '3 days')
                 where id = '{}'",
                org.org
            ))
            .await;
            org
        };
        let mut sql = String::new();
        if rng.u32(0..3) == 0 {
            let included = ["null", "30", "100"][rng.usize(0..3)];
            write!(
                sql,
                "insert into limit_overrides values ('{}', 'scrapes', {included});",
                org.org
            )
            .expect("a string takes it");
        }
        if rng.u32(0..3) == 0 {
            write!(
                sql,
                "update organizations set subscription_ends_at = current_period_end
                 where id = '{}';",
                org.org
            )
            .expect("a string takes it");
        }
        for pack in 0..rng.u32(0..3) {
            let expires = ["null", "now() - interval '1 second'", "now() + interval '9 days'"]
                [rng.usize(0..3)];
            write!(
                sql,
                "select grant_overage_pack('{}', 'scrapes', {}, '{pack}', {expires},
                                           now() - interval '2 days');",
                org.org,
                rng.u32(1..120)
            )
            .expect("a string takes it");
        }
        for hours in [0, 25] {
            write!(
                sql,
                "select record_usage('{}', 'scrapes', {}, null, now() - interval '{hours} hours');",
                org.org,
                rng.u32(1..200)
            )
            .expect("a string takes it");
        }
        test.sql(&sql).await;
    }
    // Before anything is closed or settled, after the sweep, and after early closes.
    for step in [None, Some(&["rollover"][..]), Some(&["--yes", "rollover", "--early"])] {
        if let Some(command) = step {
            test.periodd(command).exits(0);
        }
        let near = test.rows(BY_THE_VIEW).await;
        assert_eq!(near, test.rows(BY_THE_FUNCTIONS).await, "seed {seed}, {step:?}");
        if step.is_none() {
            assert!(near.len() > 5, "somebody is near a limit: {near:?}");
        }
    }
    let _: Instant = test.database.now().await.expect("the clock");
}
