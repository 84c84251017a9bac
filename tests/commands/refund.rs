//! `packs refund`, and references that grant once.

use serde_json::json;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

/// Acme has 100 messages included and bought 50.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits
         values ('pro', 'sms_sent', 100), ('pro', 'minutes_transcribed', 10)",
    )
    .await;
    for org in ["acme", "bolt"] {
        let add = format!("orgs add {org} --name {org} --zone UTC --tier pro");
        run(&test, &format!("{add} --at 2026-05-02T00:00:00Z")).exits(0);
        let grant = format!("packs grant --org {org} --feature sms_sent --quantity 50");
        let grant = format!("{grant} --reference order-7 --at 2026-05-03T00:00:00Z");
        run(&test, &grant).exits(0);
        run(&test, &grant).exits(0);
    }
    test
}

const PACKS: &str = "select o.slug, p.quantity, p.remaining, p.entries
                     from overage_packs p join organizations o on o.id = p.org_id order by 1";

#[tokio::test]
async fn a_repeated_reference_grants_once_and_another_quantity_is_refused() {
    let test = acme().await;
    assert_eq!(test.rows(PACKS).await, ["acme 50 50 1", "bolt 50 50 1"]);
    let other = "packs grant --org acme --feature sms_sent --quantity 60 --reference order-7";
    let refused = run(&test, other).exits(2);
    assert!(refused.stderr.contains("order-7 was granted before as 50"), "{}", refused.stderr);
}

#[tokio::test]
async fn at_most_what_is_purchased_remaining_goes_back() {
    let test = acme().await;
    // Counted and uncounted usage claim alike.
    let record = "usage record --org acme --feature sms_sent --quantity 110";
    run(&test, &format!("{record} --used-at 2026-05-04T00:00:00Z --at 2026-05-04T00:00:00Z"))
        .exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'SMS_sent', 10, '2026-05-04T01:00:00Z' from organizations where slug = 'acme'",
    )
    .await;
    let refund = "packs refund --org acme --reference order-7 --at 2026-05-05T00:00:00Z";
    let refused = run(&test, &format!("{refund} --quantity 31")).exits(5);
    assert!(refused.stderr.contains("30 can go back at most"), "{}", refused.stderr);
    assert_eq!(test.rows(PACKS).await[0], "acme 50 50 1");
    let answer = run(&test, &format!("{refund} --format json")).exits(0).json();
    assert_eq!(answer[0]["quantity"], json!(30));
    assert_eq!(answer[0]["remaining"], json!(20));
    let ledger = "select e.seq, e.kind, e.quantity, e.at, e.remaining from overage_entries e
                  join organizations o on o.id = e.org_id where o.slug = 'acme' order by 1";
    assert_eq!(
        test.rows(ledger).await,
        ["1 granted 50 2026-05-03T00:00:00Z 50", "2 refunded 30 2026-05-05T00:00:00Z 20"]
    );
    let again = run(&test, refund).exits(5);
    assert!(again.stderr.contains("nothing of it can go back"), "{}", again.stderr);
    // The close draws what usage had claimed, and nothing is missing.
    run(&test, "rollover --at 2026-06-01T00:00:00Z").exits(0);
    assert_eq!(test.rows(PACKS).await[0], "acme 50 0 3");
    test.check_invariants().await;
}

#[tokio::test]
async fn an_ended_period_is_closed_first() {
    let test = acme().await;
    let refund = "packs refund --org acme --reference order-7 --at 2026-06-02T00:00:00Z";
    let refused = run(&test, refund).exits(5);
    assert!(refused.stderr.contains("periodd rollover --org acme"), "{}", refused.stderr);
    run(&test, "rollover --at 2026-06-02T00:00:00Z").exits(0);
    run(&test, refund).exits(0);
    assert_eq!(test.rows(PACKS).await[0], "acme 50 0 2");
}

#[tokio::test]
async fn several_orgs_are_refunded_only_when_it_is_meant() {
    let test = acme().await;
    let refund = "packs refund --org acme --org bolt --reference order-7 --at 2026-05-05T00:00:00Z";
    let refused = run(&test, refund).exits(5);
    assert!(refused.stderr.contains("refund packs of 2 orgs"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    run(&test, &format!("{refund} --yes")).exits(0);
    assert_eq!(test.rows(PACKS).await, ["acme 50 0 2", "bolt 50 0 2"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_column_of_minutes_follows_a_refund_and_keeps_what_others_added() {
    let test = acme().await;
    let grant = "packs grant --org acme --feature minutes_transcribed --quantity 40 --reference m";
    run(&test, &format!("{grant} --at 2026-05-03T00:00:00Z")).exits(0);
    test.sql(
        "update organizations set overage_minutes = 45, overage_minutes_written = 40,
                overage_minutes_granted = 0
         where slug = 'acme'",
    )
    .await;
    let refund = "packs refund --org acme --reference m --quantity 15 --at 2026-05-05T00:00:00Z";
    run(&test, refund).exits(0);
    let column = "select overage_minutes, overage_minutes_written from organizations
                  where slug = 'acme'";
    assert_eq!(test.rows(column).await, ["30 25"]);
}

#[tokio::test]
async fn a_pack_that_is_not_there_is_named() {
    let test = acme().await;
    for (arguments, code) in [
        ("--org acme --reference order-8", 2),
        ("--org acme --pack 00000000-0000-0000-0000-000000000000", 2),
        ("--org acme", 2),
        ("--org acm --reference order-7", 2),
        ("--org acme --reference order-7 --quantity -1", 2),
        ("--org acme --reference order-7 --quantity many", 2),
        ("--org acme --reference order-7 --pack 00000000-0000-0000-0000-000000000000", 2),
    ] {
        let answer = run(&test, &format!("packs refund {arguments} --at 2026-05-05T00:00:00Z"));
        assert_eq!(answer.code, code, "{arguments}: {}", answer.stderr);
    }
    assert_eq!(test.rows(PACKS).await, ["acme 50 50 1", "bolt 50 50 1"]);
}
