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
    assert!(
        refused.stderr.contains("at most 30 of the requested 31 can be refunded"),
        "{}",
        refused.stderr
    );
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
    assert!(again.stderr.contains("the pack cannot be refunded"), "{}", again.stderr);
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
    let said = test.plain(&refused.stderr);
    assert!(said.contains("periodd rollover --org acme"), "{said}");
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

#[tokio::test]
async fn a_refund_that_is_delivered_twice_takes_once() {
    let test = acme().await;
    let refund = "packs refund --org acme --reference order-7 --at 2026-05-05T00:00:00Z --key re-1";
    run(&test, &format!("{refund} --quantity 10")).exits(0);
    let again = run(&test, &format!("{refund} --quantity 10")).exits(0);
    assert!(again.stdout.contains("acme: already refunded at "), "{}", again.stdout);
    let json = run(&test, &format!("{refund} --quantity 10.0 --format json")).exits(0).json();
    assert_eq!((&json[0]["quantity"], &json[0]["remaining"]), (&json!(10), &json!(40)));
    assert!(json[0]["already_refunded_at"].is_string(), "{json}");
    assert_eq!(test.rows(PACKS).await[0], "acme 50 40 2");
    // Another quantity, all that is left, or another pack is another refund.
    for other in [
        format!("{refund} --quantity 11"),
        refund.to_owned(),
        refund.replace("order-7", "order-8") + " --quantity 10",
    ] {
        let refused = run(&test, &other).exits(2);
        let part = "the key re-1 was used before to refund 10";
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let empty = ["packs", "refund", "--org", "acme", "--reference", "order-7", "--key", ""];
    test.periodd(&empty).exits(2);
    assert_eq!(test.rows(PACKS).await, ["acme 50 40 2", "bolt 50 50 1"]);
    // Another org's key is its own.
    run(&test, &format!("{refund} --quantity 10").replace("acme", "bolt")).exits(0);
    // Without a quantity all goes back, once.
    let all = refund.replace("re-1", "re-2");
    run(&test, &all).exits(0);
    let again = run(&test, &format!("{all} --format json")).exits(0).json();
    assert_eq!(again[0]["quantity"], json!(40));
    assert_eq!(test.rows(PACKS).await, ["acme 50 0 3", "bolt 50 40 2"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_dry_run_says_what_a_refund_would_do_and_its_inverse_can_be_pasted() {
    let test = acme().await;
    let before = test.contents().await;
    let refund = "packs refund --org acme --reference order-7 --at 2026-05-05T00:00:00Z";
    let dry = run(&test, &format!("{refund} --dry-run --format json")).exits(3).json();
    assert_eq!(test.contents().await, before);
    let page = run(&test, &format!("{refund} --dry-run --key k")).exits(3).stdout;
    assert!(page.contains("would be refunded") && !page.contains("to undo"), "{page}");
    assert_eq!(test.contents().await, before);
    let done = run(&test, &format!("{refund} --format json")).exits(0).json();
    for name in ["pack", "feature", "quantity", "remaining", "at"] {
        assert_eq!(dry[0][name], done[0][name], "{name}");
    }
    let undo = done[0]["undo"].as_str().expect("a command").to_owned();
    let undo = test.plain(&undo);
    let undo = undo.strip_prefix("periodd ").expect("of ours");
    run(&test, undo).exits(0);
    run(&test, undo).exits(0);
    let held = "select sum(remaining) from overage_packs p join organizations o on o.id = p.org_id
                where o.slug = 'acme'";
    assert_eq!(test.rows(held).await, ["50"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn packs_have_ids_that_a_refund_takes_as_they_are_shown() {
    let test = acme().await;
    test.sql(
        "insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at)
         select ('abcdef01-0000-4000-8000-00000000000' || n)::uuid, id, 'sms_sent', n, n,
                '2026-05-01Z'
         from organizations, generate_series(1, 2) as n where slug = 'acme'",
    )
    .await;
    let refund = "packs refund --org acme --at 2026-05-05T00:00:00Z --pack";
    run(&test, &format!("{refund} abcdef01-0000-4000-8000-000000000002 --quantity 1")).exits(0);
    let several = run(&test, &format!("{refund} abcdef01")).exits(2);
    assert!(several.stderr.contains("several packs"), "{}", several.stderr);
    for none in ["abc", "7", "xyz12345", "%abcd", "fffff"] {
        run(&test, &format!("{refund} {none}")).exits(2);
    }
    let page = run(&test, "packs list --org acme").exits(0).stdout;
    let heading: Vec<&str> = page.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading[0], "id");
    assert!(heading.contains(&"refunded"), "{page}");
    // As much of each id is shown as it takes to tell them apart.
    let ids: Vec<&str> =
        page.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids.len(), 3, "{page}");
    for id in ids {
        run(&test, &format!("{refund} {id}")).exits(0);
    }
    test.check_invariants().await;
}

#[tokio::test]
async fn an_offer_is_granted_by_its_code() {
    let test = acme().await;
    test.sql(
        "insert into pack_offers (code, feature, quantity, price_cents, currency)
         values ('sms-500', 'sms_sent', 500, 900, 'USD')",
    )
    .await;
    let grant = "packs grant --org acme --reference order-9";
    let first = run(&test, &format!("{grant} --offer sms-500 --format json")).exits(0).json();
    assert_eq!((&first[0]["quantity"], &first[0]["feature"]), (&json!(500), &json!("sms_sent")));
    assert!(first[0]["already_granted_at"].is_null(), "{first}");
    let again = run(&test, &format!("{grant} --offer sms-500 --format json")).exits(0).json();
    assert_eq!(again[0]["id"], first[0]["id"]);
    assert!(again[0]["already_granted_at"].is_string(), "{again}");
    let said = run(&test, &format!("{grant} --feature sms_sent --quantity 500")).exits(0).stdout;
    assert!(said.contains("already granted at "), "{said}");
    for (arguments, part) in [
        ("--offer sms-50", "offers on sale: sms-500"),
        ("--offer sms-500 --quantity 5", "--quantity"),
        ("--feature sms_sent", "--quantity"),
        ("--feature sms_sent --quantity 501", "order-9 was granted before as 500"),
    ] {
        let refused = run(&test, &format!("{grant} {arguments}")).exits(2);
        assert!(refused.stderr.contains(part), "{arguments}: {}", refused.stderr);
    }
    let empty = ["packs", "grant", "--org", "acme", "--offer", "sms-500", "--reference", ""];
    test.periodd(&empty).exits(2);
    assert_eq!(test.rows("select count(*) from overage_packs").await, ["3"]);
}

#[tokio::test]
async fn usage_that_is_recorded_twice_says_what_stands_recorded() {
    let test = acme().await;
    let record = "usage record --org acme --feature sms_sent --key job-77";
    let first = run(&test, &format!("{record} --quantity 2 --used-at 2026-05-04T00:00:00Z"));
    assert!(first.exits(0).stdout.starts_with("recorded 2 sms_sent used at 2026-05-04 00:00 UTC"));
    let again = run(&test, &format!("{record} --quantity 2")).exits(0).stdout;
    assert!(again.starts_with("already recorded at "), "{again}");
    assert!(again.contains("2 sms_sent used at 2026-05-04 00:00 UTC"), "{again}");
    let json = run(&test, &format!("{record} --quantity 2.0 --format json")).exits(0).json();
    assert_eq!((&json["quantity"], &json["used_at"]), (&json!(2), &json!("2026-05-04T00:00:00Z")));
    assert!(json["already_recorded_at"].is_string(), "{json}");
    for other in ["--quantity 3", "--quantity 2 --correction"] {
        let refused = run(&test, &format!("{record} {other}")).exits(2);
        let part = "the idempotency key job-77 was used before for 2 sms_sent";
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let empty = ["usage", "record", "--org", "acme", "--feature", "sms_sent", "--quantity", "1"];
    let refused = test.periodd(&[&empty[..], &["--key", ""]].concat()).exits(2);
    assert!(refused.stderr.contains("the key is empty"), "{}", refused.stderr);
    let early = run(&test, &format!("{record} --quantity 2 --used-at 1970-01-21T00:00:00Z"));
    assert!(early.exits(2).stderr.contains("is before 2000-01-01"));
    assert_eq!(test.rows("select count(*) from usage_metrics").await, ["1"]);
}

#[tokio::test]
async fn a_script_can_ask_whether_usage_is_allowed() {
    let test = acme().await;
    let check = "usage check --org acme --feature sms_sent --at 2026-05-05T00:00:00Z";
    run(&test, &format!("{check} --quantity 150")).exits(0);
    let no = run(&test, &format!("{check} --quantity 151 --format json")).exits(3).json();
    assert_eq!(no["allowed"], json!(false));
}

#[tokio::test]
async fn a_plainly_inserted_pack_goes_back_whatever_is_held_of_others() {
    let test = acme().await;
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, purchased_at, reference)
         select id, 'sms_sent', 20, '2026-05-03Z', 'plain' from organizations",
    )
    .await;
    let mut holder = test.connect().await;
    let hold = "begin; update organizations set name = 'held' where slug = 'bolt'";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("held");
    let refund = "packs refund --org acme --reference plain --at 2026-05-05T00:00:00Z";
    run(&test, refund).exits(0);
    drop(holder);
    let plain = "select o.slug, p.remaining, p.entries from overage_packs p
                 join organizations o on o.id = p.org_id where p.reference = 'plain' order by 1";
    assert_eq!(test.rows(plain).await, ["acme 0 2", "bolt - 0"]);
}
