//! A year of a customer whose subscription a payment provider drives, written by plain SQL as the
//! handler of its webhooks would write it: each event comes twice, and the daemon comes by after.

use crate::story::{including, rollover, used};
use crate::support::TestDatabase;

/// What the month of the downgrade closes as: used, included, drawn, uncovered. What was used
/// within the higher limit stays included after the tier is lowered at once.
const DOWNGRADED: &str = "1300 1200 100 0";

/// An event of the provider: what its handler writes, twice; and the daemon's next pass.
async fn webhook(test: &TestDatabase, pass: &str, writes: &str) {
    for _ in 0..2 {
        test.sql(&format!("begin; {writes}; commit")).await;
    }
    rollover(test, pass, &[]).exits(0);
    test.check_invariants().await;
}

/// Every closed period as a line: start, end, tier, used, included, drawn, uncovered.
async fn statements(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select b.period_start, b.period_end, b.tier, u.used, u.included, u.drawn, u.uncovered
         from billing_periods b
         left join billing_period_usage u on u.org_id = b.org_id and u.period_start = b.period_start
         order by b.period_start",
    )
    .await
}

#[tokio::test]
async fn a_year_of_a_customer_that_a_payment_provider_drives() {
    let test = including(1000).await;
    test.sql(
        "insert into tier_limits values ('free', 'minutes_transcribed', 100),
             ('starter', 'minutes_transcribed', 500), ('business', 'minutes_transcribed', 3000)",
    )
    .await;

    // A trial of two weeks on starter.
    let signed_up = "insert into organizations
             (slug, name, time_zone, subscription_tier, subscription_status,
              current_period_start, current_period_end)
         values ('acme', 'Acme', 'UTC', 'starter', 'trialing',
                 '2025-01-06T09:15:00Z', '2025-01-20T09:15:00Z')
         on conflict (slug) do nothing";
    webhook(&test, "2025-01-06T09:16:00Z", signed_up).await;
    used(&test, "acme", "60", "2025-01-10T12:00:00Z").await;

    // It converts to pro before the trial ends: the tier first, then the restart.
    let converted = "update organizations set subscription_tier = 'pro',
             subscription_status = 'active' where slug = 'acme';
         select restart_billing_cycle(id, null, 'evt_converted', '2025-01-15T14:32:10Z')
         from organizations where slug = 'acme'";
    used(&test, "acme", "5", "2025-01-15T14:32:20Z").await;
    webhook(&test, "2025-01-15T14:33:00Z", converted).await;
    used(&test, "acme", "795", "2025-02-01T12:00:00Z").await;
    rollover(&test, "2025-02-15T14:32:10Z", &[]).exits(0);

    // An upgrade in mid-month, charged in proportion by the provider: it counts at once.
    used(&test, "acme", "900", "2025-02-20T12:00:00Z").await;
    let upgraded = "update organizations set subscription_tier = 'business' where slug = 'acme'";
    webhook(&test, "2025-03-01T10:00:00Z", upgraded).await;
    used(&test, "acme", "1500", "2025-03-10T12:00:00Z").await;
    rollover(&test, "2025-03-15T14:32:10Z", &[]).exits(0);

    // A downgrade that the handler writes at once, with a pack at hand.
    let bought = "select grant_overage_pack(id, 'minutes_transcribed', 300, 'invoice-1', null,
                                            '2025-03-16T00:00:00Z') from organizations";
    webhook(&test, "2025-03-16T00:01:00Z", bought).await;
    used(&test, "acme", "1200", "2025-03-30T12:00:00Z").await;
    let downgraded = "update organizations set subscription_tier = 'starter' where slug = 'acme'";
    webhook(&test, "2025-04-01T10:00:00Z", downgraded).await;
    used(&test, "acme", "100", "2025-04-10T12:00:00Z").await;
    rollover(&test, "2025-04-15T14:32:10Z", &[]).exits(0);
    used(&test, "acme", "450", "2025-05-01T12:00:00Z").await;
    rollover(&test, "2025-05-15T14:32:10Z", &[]).exits(0);

    // The card fails, and is charged a week later: the status is shown, limits decide.
    let failed = "update organizations set subscription_status = 'past_due' where slug = 'acme'";
    webhook(&test, "2025-05-15T15:00:00Z", failed).await;
    used(&test, "acme", "300", "2025-05-18T12:00:00Z").await;
    let paid = "update organizations set subscription_status = 'active' where slug = 'acme'";
    webhook(&test, "2025-05-22T15:00:00Z", paid).await;
    rollover(&test, "2025-06-15T14:32:10Z", &[]).exits(0);

    // It cancels for the end of what was paid, which the provider says to the second.
    let canceled = "update organizations set subscription_ends_at = '2025-07-15T14:32:10Z'
         where slug = 'acme'";
    webhook(&test, "2025-06-20T10:00:00Z", canceled).await;
    used(&test, "acme", "480", "2025-07-01T12:00:00Z").await;
    rollover(&test, "2025-07-15T14:32:10Z", &[]).exits(0);
    let standing = "select subscription_tier, subscription_status from organizations";
    assert_eq!(test.rows(standing).await, ["free canceled"]);
    used(&test, "acme", "90", "2025-08-01T12:00:00Z").await;
    rollover(&test, "2025-08-15T14:32:10Z", &[]).exits(0);
    used(&test, "acme", "40", "2025-08-20T12:00:00Z").await;

    // It returns: a full month on pro from here on.
    let returned = "update organizations set subscription_status = 'active' where slug = 'acme';
         select restart_billing_cycle(id, 'pro', 'evt_returned', '2025-09-03T08:00:00Z')
         from organizations where slug = 'acme'";
    webhook(&test, "2025-09-03T08:01:00Z", returned).await;
    used(&test, "acme", "700", "2025-09-20T12:00:00Z").await;
    rollover(&test, "2026-01-06T09:15:00Z", &[]).exits(0);
    test.check_invariants().await;

    let statements = statements(&test).await;
    for statement in &statements {
        println!("{statement}");
    }
    let downgrade = format!("2025-03-15T14:32:10Z 2025-04-15T14:32:10Z starter {DOWNGRADED}");
    assert_eq!(
        statements,
        [
            "2025-01-06T09:15:00Z 2025-01-15T14:32:10Z starter 60 500 0 0",
            "2025-01-15T14:32:10Z 2025-02-15T14:32:10Z pro 800 1000 0 0",
            "2025-02-15T14:32:10Z 2025-03-15T14:32:10Z business 2400 3000 0 0",
            &downgrade,
            "2025-04-15T14:32:10Z 2025-05-15T14:32:10Z starter 450 500 0 0",
            "2025-05-15T14:32:10Z 2025-06-15T14:32:10Z starter 300 500 0 0",
            "2025-06-15T14:32:10Z 2025-07-15T14:32:10Z starter 480 500 0 0",
            "2025-07-15T14:32:10Z 2025-08-15T14:32:10Z free 90 100 0 0",
            "2025-08-15T14:32:10Z 2025-09-03T08:00:00Z free 40 100 0 0",
            "2025-09-03T08:00:00Z 2025-10-03T08:00:00Z pro 700 1000 0 0",
            "2025-10-03T08:00:00Z 2025-11-03T08:00:00Z pro - - - -",
            "2025-11-03T08:00:00Z 2025-12-03T08:00:00Z pro - - - -",
            "2025-12-03T08:00:00Z 2026-01-03T08:00:00Z pro - - - -",
        ]
    );
    // What the year used is what was recorded.
    let sums = "select sum(used), (select sum(metric_value) from usage_metrics) as metrics
         from billing_period_usage";
    assert_eq!(test.rows(sums).await, ["6620 6620"]);
}
