//! Calls whose answer is lost after the database has committed them, made again with their key:
//! each has happened once.

use sqlx::Connection;
use tempfile::TempDir;

use crate::plainly;
use crate::proof::{figure, size};
use crate::proxy::{Cut, Proxy};
use crate::support::{TestDatabase, server};

/// The calls that take a key, by their number.
fn call(number: usize) -> String {
    match number % 5 {
        0 => format!(
            "select allowed from increment_feature_usage(
                 (select id from users), 'scrapes', 1, 'key {number}')"
        ),
        1 => format!(
            "select record_usage(id, 'scrapes', 1, null, now(), 'key {number}') from organizations"
        ),
        2 => format!(
            "select outcome from record_usage_batch((
                 select jsonb_agg(jsonb_build_object(
                            'org_id', id, 'feature', 'scrapes', 'amount', 1,
                            'idempotency_key', 'key {number}')) from organizations))"
        ),
        3 => format!(
            "select grant_overage_pack(id, 'sms_sent', 2, 'pack {number}') from organizations"
        ),
        _ => format!(
            "select remaining from organizations o,
                    refund_overage_pack(o.id, 'pack {}', 1, 'refund {number}')",
            number - 1
        ),
    }
}

/// How many messages a connection takes before its first statement.
async fn greeting(test: &TestDatabase) -> usize {
    let directory = TempDir::new().expect("a directory");
    let proxy = Proxy::listen(directory.path(), &server(), None);
    let connection = plainly(&proxy, &test.name).await.expect("a connection");
    let said = proxy.said().len();
    connection.close().await.expect("closed");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_unheard_and_is_tried_again_has_happened_once() {
    let test = TestDatabase::new().await;
    test.periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]).exits(0);
    test.sql(
        "insert into users (organization_id, email) select id, 'ada@example.org'
         from organizations;
         insert into limit_overrides select id, 'scrapes', 1000000 from organizations",
    )
    .await;
    let greeting = greeting(&test).await;
    let calls = size(50, 2_000);
    let mut again = test.connect().await;
    for number in 0..calls {
        let call = call(number);
        let directory = TempDir::new().expect("a directory");
        let cut = Some((greeting, Cut::AnswerLost));
        let proxy = Proxy::listen(directory.path(), &server(), cut);
        let mut connection = plainly(&proxy, &test.name).await.expect("a connection");
        let statement = sqlx::AssertSqlSafe(call.clone());
        let heard = sqlx::raw_sql(statement).execute(&mut connection).await;
        assert!(heard.is_err(), "call {number}: an answer that was lost: {call}");
        let statement = sqlx::AssertSqlSafe(call.clone());
        let answer = sqlx::raw_sql(statement).execute(&mut again).await;
        answer.unwrap_or_else(|error| panic!("call {number}: {error}: {call}"));
    }
    let of = |kinds: &[usize]| (0..calls).filter(|number| kinds.contains(&(number % 5))).count();
    let used = "select sum(used) from usage_counters where feature = 'scrapes'";
    assert_eq!(test.rows(used).await, [of(&[0, 1, 2]).to_string()]);
    let packs = "select count(*), sum(quantity) as granted, sum(quantity - remaining) as refunded
                 from overage_packs";
    let (granted, refunded) = (of(&[3]), of(&[4]));
    assert_eq!(test.rows(packs).await, [format!("{granted} {} {refunded}", 2 * granted)]);
    test.check_invariants().await;
    figure("lost commit acknowledgements", &format!("{calls}; 0 duplicates, 0 losses"));
}
