//! A client that hangs up ends nothing: what was begun at the database goes on to its end.

use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Request, ask};
use crate::served::Served;

const PATH: &str = "/api/v1/usage/acme/increment";

fn increment(served: &Served, key: &str) -> Request {
    let request = Request::post(PATH, &json!({ "feature": "scrapes", "key": key }));
    request.with("authorization", &format!("Bearer {}", served.token))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_hung_up_is_worked_on_to_its_end() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 5)").await;
    served.post(PATH, json!({ "feature": "scrapes" })).await.is(200);
    // Somebody holds the counter while the client loses its patience.
    let mut holder = served.test.connect().await;
    let mut held = holder.begin().await.expect("a transaction");
    sqlx::query("update usage_counters set used = used").execute(&mut *held).await.expect("held");
    let mut client = TcpStream::connect(served.address).await.expect("a connection");
    client.write_all(increment(&served, "k").text().as_bytes()).await.expect("sent");
    served.test.until_somebody_waits().await;
    drop(client);
    // It is still at it, without its client.
    tokio::time::sleep(Duration::from_millis(200)).await;
    served.test.until_somebody_waits().await;
    held.rollback().await.expect("let go");
    served.test.until("select used from usage_counters", "2").await;
    // Sent again, it is known.
    let again = ask(served.address, &increment(&served, "k")).await.is(200).json();
    assert_eq!((&again["allowed"], &again["new_usage"]), (&json!(true), &json!(2)));
    let test = served.drain().await;
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_anywhere_leave_counters_that_are_their_metrics() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', null)").await;
    let mut sent = Vec::new();
    for number in 0..120_usize {
        let key = format!("k{number}");
        let text = increment(&served, &key).text();
        let mut client = TcpStream::connect(served.address).await.expect("a connection");
        // Every third one stops somewhere in the middle; the others hang up after the last byte.
        let end = if number % 3 == 0 { text.len() * (number + 1) / 121 } else { text.len() };
        client.write_all(&text.as_bytes()[..end]).await.expect("sent");
        if number % 3 == 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(client);
        sent.push(key);
    }
    // Everything is sent again with its key, and each counts once.
    for key in &sent {
        let answer = ask(served.address, &increment(&served, key)).await.is(200).json();
        assert_eq!(answer["allowed"], true);
    }
    assert_eq!(served.counted("scrapes").await, ["acme 120"]);
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    assert_eq!(served.test.rows(open).await, ["0"]);
    let test = served.drain().await;
    test.check_invariants().await;
}

/// A batch is several statements: dropped between them, it would be rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_client_hung_up_is_recorded_and_counted() {
    let served = Served::new().await;
    served.customer("acme").await;
    let mut holder = served.test.connect().await;
    let mut held = holder.begin().await.expect("a transaction");
    let lock = "select from organizations for update";
    sqlx::query(lock).execute(&mut *held).await.expect("held");
    let event = json!({ "org": "acme", "feature": "sms_sent", "quantity": 3, "key": "k" });
    let request = Request::post("/api/v1/usage/events", &event);
    let request = request.with("authorization", &format!("Bearer {}", served.token));
    let mut client = TcpStream::connect(served.address).await.expect("a connection");
    client.write_all(request.text().as_bytes()).await.expect("sent");
    served.test.until_somebody_waits().await;
    drop(client);
    // Long enough for the server to notice.
    tokio::time::sleep(Duration::from_millis(300)).await;
    held.rollback().await.expect("let go");
    served.test.until("select used from usage_counters where feature = 'sms_sent'", "3").await;
    let test = served.drain().await;
    test.check_invariants().await;
}
