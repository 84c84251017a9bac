//! `refund_overage_pack`: what it takes, what it refuses, and who may be at the same rows.

use crate::api::{Customer, customer, refusal};
use crate::support::TestDatabase;

/// An org with 100 scrapes included and a pack of 50 that it bought as `order-7`.
async fn acme(test: &TestDatabase) -> Customer {
    let acme = customer(test, "acme").await;
    test.sql(&format!(
        "insert into tier_limits values ('pro', 'scrapes', 100);
         select grant_overage_pack('{}', 'scrapes', 50, 'order-7')",
        acme.org
    ))
    .await;
    acme
}

fn call(acme: Customer, arguments: &str) -> String {
    format!(
        "select feature, quantity, remaining, seq, already_refunded_at is not null as is_repeat
         from refund_overage_pack('{}', {arguments})",
        acme.org
    )
}

const LEDGER: &str = "select seq, kind, quantity, remaining from overage_entries
                      where kind <> 'granted' order by seq";

#[tokio::test]
async fn it_takes_what_usage_has_not_claimed_by_id_or_reference() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    test.sql(&format!("select record_usage('{}', 'scrapes', 110)", acme.org)).await;
    // Counted and uncounted usage claim alike.
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'Scrapes', 10 from organizations",
    )
    .await;
    let mut connection = test.connect().await;
    let (code, said) = refusal(&mut connection, &call(acme, "'order-7', 31")).await;
    assert_eq!(code, "PB005");
    assert_eq!(
        said,
        "at most 30 of the requested 31 can be refunded: the rest is claimed by usage above the \
         included quantity"
    );
    assert_eq!(test.rows(&call(acme, "'order-7', 10")).await, ["scrapes 10 40 2 false"]);
    let id = test.rows("select id from overage_packs").await.remove(0);
    let by_id = format!("'{}'", id.to_uppercase());
    assert_eq!(test.rows(&call(acme, &by_id)).await, ["scrapes 20 20 3 false"]);
    assert_eq!(test.rows(LEDGER).await, ["2 refunded 10 40", "3 refunded 20 20"]);
    let (code, said) = refusal(&mut connection, &call(acme, "'order-7'")).await;
    assert_eq!(code, "PB005");
    assert!(said.starts_with("the pack cannot be refunded: the rest is claimed"), "{said}");
    test.sql("update limit_overrides set included = 0").await;
    test.check_invariants().await;
}

#[tokio::test]
async fn what_stayed_included_after_a_fall_is_not_claimed() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    test.sql(&format!("select record_usage('{}', 'scrapes', 90)", acme.org)).await;
    test.sql("update tier_limits set included = 20").await;
    // What nobody has counted yet was used within it, too.
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'scrapes', 5 from organizations",
    )
    .await;
    assert_eq!(test.rows(&call(acme, "'order-7'")).await, ["scrapes 50 0 2 false"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_repeated_key_takes_once_and_for_another_refund_it_is_refused() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    let id = test.rows("select id from overage_packs").await.remove(0);
    let first = "'order-7', 10, 're-1'";
    assert_eq!(test.rows(&call(acme, first)).await, ["scrapes 10 40 2 false"]);
    for again in [first.to_owned(), format!("'{id}', 10.0, 're-1'")] {
        assert_eq!(test.rows(&call(acme, &again)).await, ["scrapes 10 40 2 true"]);
    }
    let mut connection = test.connect().await;
    for other in ["'order-7', 11, 're-1'", "'order-7', null, 're-1'", "'order-8', 10, 're-1'"] {
        let (code, said) = refusal(&mut connection, &call(acme, other)).await;
        assert_eq!(code, "PB004", "{other}");
        assert!(said.contains("the key re-1 was used before to refund 10 of pack"), "{said}");
    }
    assert_eq!(test.rows(LEDGER).await, ["2 refunded 10 40"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused_with_its_code() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    test.sql(&format!(
        "select grant_overage_pack('{org}', 'scrapes', 5, 'later', null, now() + interval '1 hour');
         insert into overage_packs (org_id, feature, quantity, purchased_at, expires_at, reference)
         values ('{org}', 'scrapes', 5, now() - interval '2 hours', now() - interval '1 hour',
                 'gone'),
                ('{org}', 'sms_sent', 7, now() - interval '2 hours', null, 'plain')",
        org = acme.org
    ))
    .await;
    let mut connection = test.connect().await;
    for (arguments, code) in [
        ("'order-7', 0", "22023"),
        ("'order-7', -1", "22023"),
        ("'order-7', 'NaN'", "22023"),
        ("'order-7', 1e22", "22023"),
        ("'order-7', 0.0000001", "22023"),
        ("'order-7', 1, ''", "22023"),
        ("'order-7', 1, 'periodd:x'", "22023"),
        ("'order-7', 1, 'k', 'infinity'", "22023"),
        ("'order-8'", "PB002"),
        ("''", "PB002"),
        ("null", "PB002"),
        ("'00000000-0000-0000-0000-000000000000'", "PB002"),
        ("E'order-7\\x1b[2J'", "PB002"),
        ("'later'", "PB005"),
        ("'gone'", "PB005"),
        ("'order-7', 51", "PB005"),
        ("'order-7', 1, 'k', now() + interval '40 days'", "PB003"),
    ] {
        let (said, _) = refusal(&mut connection, &call(acme, arguments)).await;
        assert_eq!(said, code, "{arguments}");
    }
    let nobody = "select refund_overage_pack('00000000-0000-0000-0000-000000000000', 'order-7')";
    assert_eq!(refusal(&mut connection, nobody).await.0, "PB002");
    let keys = "select count(*) from periodd_refund_keys";
    assert_eq!(test.rows(keys).await, ["0"], "a refusal is not remembered");
    // A pack that was inserted plainly gets its ledger first.
    assert_eq!(test.rows(&call(acme, "'plain', 3")).await, ["sms_sent 3 4 2 false"]);
    test.check_invariants().await;
    test.sql("update organizations set current_period_start = null, current_period_end = null")
        .await;
    assert_eq!(refusal(&mut connection, &call(acme, "'order-7'")).await.0, "PB001");
}

/// Two calls at once: the second waits for the first, and sees what it took and with which key.
#[tokio::test]
async fn two_refunds_at_once_take_what_there_is_once() {
    for (first, second, answer) in [
        ("'order-7', 40, 'a'", "'order-7', 40, 'a'", Ok("scrapes 40 10 2 true")),
        ("'order-7', 40, 'a'", "'order-7', null, 'b'", Ok("scrapes 10 0 3 false")),
        ("'order-7', 40, 'a'", "'order-7', 40, 'b'", Err("PB005")),
        ("'order-7', 40, 'a'", "'order-7', 30, 'a'", Err("PB004")),
    ] {
        let test = TestDatabase::new().await;
        let acme = acme(&test).await;
        let mut theirs = test.connect().await;
        let begin = format!("begin; {}", call(acme, first));
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut theirs).await.expect("a refund");
        let mut ours = test.connect().await;
        let words = format!(
            "select concat_ws(' ', feature, quantity, remaining, seq,
                              already_refunded_at is not null)
             from refund_overage_pack('{}', {second})",
            acme.org
        );
        let asking =
            sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(words)).fetch_one(&mut ours);
        let ending = async {
            test.until_somebody_waits().await;
            sqlx::raw_sql("commit").execute(&mut theirs).await.expect("its end");
        };
        let (given, ()) = tokio::join!(asking, ending);
        let given = given.map(|words| words.replace(" t", " true").replace(" f", " false"));
        let given = given.map_err(|error| {
            let error = error.into_database_error().expect("the database's own refusal");
            error.code().expect("an SQLSTATE").into_owned()
        });
        assert_eq!(given.as_deref().map_err(String::as_str), answer, "{first} then {second}");
        test.check_invariants().await;
    }
}

/// A refund that a rollover waits for is in what the rollover plans with.
#[tokio::test]
async fn a_rollover_beside_a_refund_draws_on_what_is_left() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    test.sql(&format!("select record_usage('{}', 'scrapes', 130)", acme.org)).await;
    let mut theirs = test.connect().await;
    let begin = format!("begin; {}", call(acme, "'order-7', 15"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut theirs).await.expect("a refund");
    let mut rollover = test.command(&["rollover", "--early", "--org", "acme", "--yes"]);
    let rollover = std::thread::spawn(move || rollover.output().expect("the binary runs"));
    test.until_somebody_waits().await;
    sqlx::raw_sql("commit").execute(&mut theirs).await.expect("its end");
    let done = rollover.join().expect("a thread");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let closed = "select used, included, drawn, uncovered from billing_period_usage";
    assert_eq!(test.rows(closed).await, ["130 100 30 0"]);
    assert_eq!(test.rows(LEDGER).await, ["2 refunded 15 35", "3 drawn 30 5"]);
    test.check_invariants().await;
}
