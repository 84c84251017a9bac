//! The stream: everything on connect, then what changes, until somebody ends it.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt;

use crate::client::Request;
use crate::listener::{Listener, patiently};
use crate::served::{Served, token};
use crate::support::{TestDatabase, url_of};

const PATH: &str = "/api/v1/usage/acme/stream";

/// An org with two features.
async fn served_with(settings: &str) -> Served {
    let served = Served::with(settings).await;
    served.customer("acme").await;
    let limits = "insert into tier_limits values ('pro', 'scrapes', 100), ('pro', 'sms_sent', 10)";
    served.test.sql(limits).await;
    served
}

async fn record(test: &TestDatabase, feature: &str, quantity: &str) {
    test.sql(&format!("select record_usage(id, '{feature}', {quantity}) from organizations")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_everything_and_then_what_changes() {
    let served = served_with("").await;
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    for header in [
        "content-type: text/event-stream",
        "x-accel-buffering: no",
        "cache-control: no-store, no-transform",
        "transfer-encoding: chunked",
    ] {
        assert!(listener.head.contains(header), "{header} in {}", listener.head);
    }
    assert!(!listener.head.contains("content-encoding"), "{}", listener.head);
    let first = listener.next().await.expect("a message");
    let second = listener.next().await.expect("a message");
    assert_eq!((first.used(), &first.id), (("scrapes", "0".to_owned()), &None));
    assert_eq!(second.used(), ("sms_sent", "0".to_owned()));
    assert!(second.id.is_some(), "whoever has the last has all of them");
    // The standing is what `limits` says of the feature.
    let limits = served.get("/api/v1/usage/acme/limits").await.is(200).json();
    assert_eq!(first.data["limit"], limits["limits"][0]);
    assert_eq!((&first.data["org"], &first.data["time_zone"]), (&json!("acme"), &json!("UTC")));
    // Usage through SQL: that feature, and no other.
    record(&served.test, "sms_sent", "8.5").await;
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.used(), ("sms_sent", "8.5".to_owned()));
    assert_ne!(changed.id, second.id);
    // Through this process.
    let used = json!({ "feature": "scrapes", "amount": 3 });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.used(), ("scrapes", "3".to_owned()));
    // A pack, an override and a tier's limit; the last is seen within 15 seconds.
    let bought = "select grant_overage_pack(id, 'sms_sent', 5, 'bought') from organizations";
    served.test.sql(bought).await;
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.data["limit"]["effective_limit"], 15, "{changed:?}");
    served
        .test
        .sql("insert into limit_overrides select id, 'scrapes', 250 from organizations")
        .await;
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.data["limit"]["included"], 250, "{changed:?}");
    served.test.sql("update tier_limits set included = 11 where feature = 'sms_sent'").await;
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.data["limit"]["included"], 11, "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_when_a_threshold_is_crossed_and_when_a_period_is_over() {
    let served = served_with("").await;
    // What was crossed before is no news.
    record(&served.test, "scrapes", "85").await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.until_used("scrapes", "85").await;
    record(&served.test, "sms_sent", "9").await;
    listener.until_used("sms_sent", "9").await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    let alert = listener.until("alert").await;
    let period = served.test.rows("select current_period_start from organizations").await.concat();
    for (key, value) in [
        ("org", json!("acme")),
        ("feature", json!("sms_sent")),
        ("threshold", json!(90)),
        ("used", json!(9)),
        ("period_start", json!(period)),
    ] {
        assert_eq!(alert.data[key], value, "{key} of {alert:?}");
    }
    let over = "update organizations set current_period_end = now() - interval '1 second'";
    served.test.sql(over).await;
    served.test.periodd(&["rollover"]).exits(0);
    let opened = listener.until("period").await;
    let period = served.test.rows("select current_period_start from organizations").await.concat();
    assert_eq!(opened.data["period_start"], json!(period), "{opened:?}");
    listener.until_used("sms_sent", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_everything_gets_nothing_again() {
    let served = served_with("").await;
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.next().await.expect("a message");
    let id = listener.next().await.and_then(|message| message.id).expect("an id");
    drop(listener);
    let again = Request::get(PATH).with("last-event-id", &id);
    let mut listener = Listener::open(&served, again.clone()).await;
    let opened = patiently("a comment", listener.block()).await;
    assert_eq!(opened.as_deref(), Some(":"), "it is open");
    record(&served.test, "sms_sent", "1").await;
    let changed = listener.next().await.expect("a message");
    assert_eq!(changed.used(), ("sms_sent", "1".to_owned()));
    drop(listener);
    // An id of another standing is answered with everything.
    let mut listener = Listener::open(&served, again).await;
    assert_eq!(listener.next().await.expect("a message").used().0, "scrapes");
    assert_eq!(listener.next().await.expect("a message").id, changed.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_say_the_same() {
    let served = served_with("").await;
    let mut events = Listener::open(&served, Request::get(PATH)).await;
    let lines = Request::get(PATH).with("accept", "application/x-ndjson");
    let mut lines = Listener::open(&served, lines).await;
    assert!(lines.head.contains("content-type: application/x-ndjson"), "{}", lines.head);
    let three = async {
        while lines.text.matches('\n').count() < 3 {
            lines.read().await;
            lines.unpack();
        }
    };
    patiently("three lines", three).await;
    for line in lines.text.lines().filter(|line| !line.is_empty()) {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let event = events.next().await.expect("a message");
        let id = line.as_object_mut().expect("an object").remove("id");
        assert_eq!(id, event.id.map(Value::from));
        assert_eq!(line["limit"], event.data["limit"]);
        assert_eq!(line["type"], "standing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uses_the_newest_standing_is_sent() {
    let served = served_with("").await;
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.until_used("sms_sent", "0").await;
    for _ in 0..60 {
        let used = json!({ "feature": "scrapes" });
        served.post("/api/v1/usage/acme/increment", used).await.is(200);
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&60_u64) {
        let message = listener.until("standing").await;
        seen.push(message.data["limit"]["used"].as_u64().expect("a number"));
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert!(seen.len() < 60, "not each of them: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_by_themselves_when_the_server_drains() {
    let served = served_with("").await;
    let mut listeners = Vec::new();
    for _ in 0..20 {
        let mut listener = Listener::open(&served, Request::get(PATH)).await;
        listener.until_used("sms_sent", "0").await;
        listeners.push(listener);
    }
    let drained = tokio::spawn(served.drain());
    for mut listener in listeners {
        let bye = listener.until("bye").await;
        assert_eq!(bye.data["reason"], "stopping");
        assert_eq!(listener.next().await, None, "and nothing after it");
    }
    patiently("the drain, which streams do not keep", drained).await.expect("it drained");
}

/// As many as may be, more than the default, each of which has to say its farewell.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_with_a_thousand_open_streams_ends() {
    const STREAMS: usize = 1_000;
    crate::support::allow_many_files();
    let served = served_with("max_streams = 1000\nmax_clients = 1100").await;
    let open = |_| Listener::open(&served, Request::get(PATH));
    let mut listeners = Vec::new();
    while listeners.len() < STREAMS {
        listeners.extend(futures_util::future::join_all((0..50).map(open)).await);
    }
    let page = served.bare(Request::get("/metrics")).await.is(200).body;
    assert!(page.contains("periodd_http_streams 1000\n"), "{page}");
    let address = served.address;
    let drained = tokio::spawn(served.drain());
    for listener in &mut listeners {
        assert_eq!(listener.until("bye").await.data["reason"], "stopping");
        assert_eq!(listener.next().await, None, "and nothing after it");
    }
    patiently("the drain, which streams do not keep", drained).await.expect("it drained");
    tokio::net::TcpStream::connect(address).await.expect_err("nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_for_whoever_may_read_that_org() {
    let served = served_with("").await;
    served.customer("bolt").await;
    let stream = || Request::get(PATH);
    served.bare(stream()).await.is(401);
    let records = token(&served.test, "records", &["record"], &[]);
    served.with_token(&records, stream()).await.is(403).is_problem("forbidden");
    let bolt = token(&served.test, "bolt", &["read"], &["--org", "bolt"]);
    let foreign = served.with_token(&bolt, stream()).await.is(404).is_problem("unknown_org");
    let missing = served.with_token(&bolt, Request::get("/api/v1/usage/none/stream")).await;
    assert_eq!(missing.is(404).is_problem("unknown_org"), foreign.replace("acme", "none"));
    // Its own org, until it is revoked; others' streams stay.
    let request = Request::get("/api/v1/usage/bolt/stream");
    let request = request.with("authorization", &format!("Bearer {bolt}"));
    let mut own = Listener::send(&served, &request).await;
    own.until("standing").await;
    let mut other = Listener::open(&served, stream()).await;
    other.until_used("sms_sent", "0").await;
    served.test.periodd(&["tokens", "revoke", "bolt"]).exits(0);
    assert_eq!(own.until("bye").await.data["reason"], "token");
    assert_eq!(own.next().await, None);
    record(&served.test, "sms_sent", "2").await;
    other.until_used("sms_sent", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_the_place_of_a_stream_and_no_other() {
    let served = served_with("max_streams = 1\nmax_requests = 1\nconnections = 1").await;
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.until_used("sms_sent", "0").await;
    let refused = served.get(PATH).await.is(503);
    assert!(refused.is_problem("overloaded").contains("streams"), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    // The one place of requests, and the one turn at the database, are free.
    for _ in 0..5 {
        served.get("/api/v1/usage/acme/limits").await.is(200);
    }
    let page = served.bare(Request::get("/metrics")).await.is(200).body;
    assert!(page.contains("periodd_http_streams 1\n"), "{page}");
    drop(listener);
    // A client that hung up is noticed, and its place is free again.
    let mut attempts = 0;
    while served.bare(Request::get("/metrics")).await.body.contains("periodd_http_streams 1\n") {
        attempts += 1;
        assert!(attempts < 600, "the place is never free");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Listener::open(&served, Request::get(PATH)).await.until("standing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_a_database_that_is_away() {
    let served = served_with("").await;
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.until_used("sms_sent", "0").await;
    let name = &served.test.name;
    let maintenance = url_of("postgres");
    let mut server = PgConnection::connect(&maintenance).await.expect("the test server answers");
    let away = format!(
        "alter database {name} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(away)).execute(&mut server).await.expect("it is away");
    let away = listener.until("unavailable").await;
    assert_eq!(away.data["org"], "acme");
    let back = format!("alter database {name} allow_connections true");
    sqlx::raw_sql(sqlx::AssertSqlSafe(back)).execute(&mut server).await.expect("it is back");
    record(&served.test, "sms_sent", "4").await;
    // It says so, and goes on with the truth.
    assert_eq!(listener.next().await.expect("a message").kind(), "available");
    listener.until_used("sms_sent", "4").await;
}

/// Longer than anything that is tried again, and than the bound on a statement.
#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_a_longer_outage_and_go_on_with_the_truth() {
    let served = served_with("").await;
    served.customer("bolt").await;
    let paths = ["acme", "acme", "bolt"].map(|org| format!("/api/v1/usage/{org}/stream"));
    let mut listeners = Vec::new();
    for path in &paths {
        let mut listener = Listener::open(&served, Request::get(path)).await;
        listener.until_used("sms_sent", "0").await;
        listeners.push(listener);
    }
    let name = &served.test.name;
    let mut server = PgConnection::connect(&url_of("postgres")).await.expect("it answers");
    let allow = |is_allowed| format!("alter database {name} allow_connections {is_allowed};");
    let cut =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    let away = sqlx::AssertSqlSafe(allow(false) + &cut);
    sqlx::raw_sql(away).execute(&mut server).await.expect("it is away");
    for listener in &mut listeners {
        listener.until("unavailable").await;
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    served.get(PATH).await.is(503).is_problem("unavailable");
    let back = sqlx::AssertSqlSafe(allow(true));
    sqlx::raw_sql(back).execute(&mut server).await.expect("it is back");
    record(&served.test, "sms_sent", "4").await;
    for listener in &mut listeners {
        // Said once, however long it lasted.
        assert_eq!(listener.next().await.expect("a message").kind(), "available");
        listener.until_used("sms_sent", "4").await;
    }
    served.post("/api/v1/usage/acme/increment", json!({ "feature": "scrapes" })).await.is(200);
    listeners[0].until_used("scrapes", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_let_go() {
    let served = served_with("").await;
    // Standings of more than the kernel keeps for a client, after a few changes.
    served.many_features().await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut client = socket.connect(served.address).await.expect("it listens");
    let request = Request::get(PATH).with("authorization", &format!("Bearer {}", served.token));
    client.write_all(request.text().as_bytes()).await.expect("sent");
    let is_open = "periodd_http_streams 1\n";
    let let_go = "periodd_http_slow_readers_total 1\n";
    let mut was_open = false;
    for _ in 0..120 {
        let page = served.bare(Request::get("/metrics")).await.is(200).body;
        was_open |= page.contains(is_open);
        if page.contains(let_go) {
            assert!(was_open && page.contains("periodd_http_streams 0\n"), "{page}");
            return;
        }
        served.test.sql("update limit_overrides set included = included + 1").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("it is never let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_that_was_removed_is_unknown_and_its_stream_ends() {
    let served = served_with("").await;
    let acme = token(&served.test, "acme", &["read"], &["--org", "acme"]);
    let mut listener = Listener::open(&served, Request::get(PATH)).await;
    listener.until_used("sms_sent", "0").await;
    // With a closed period its books are kept, and it is unknown even so.
    served
        .test
        .sql(
            "insert into billing_periods (org_id, period_start, period_end)
             select id, current_period_start - interval '1 month', current_period_start
             from organizations",
        )
        .await;
    served.test.periodd(&["orgs", "remove", "acme", "--yes"]).exits(0);
    assert_eq!(listener.until("bye").await.data["reason"], "removed");
    served.get("/api/v1/usage/acme/limits").await.is(404).is_problem("unknown_org");
    served.with_token(&acme, Request::get(PATH)).await.is(401);
    let kept = "select slug from organizations where removed_at is not null";
    let kept = served.test.rows(kept).await.concat();
    served.get(&format!("/api/v1/usage/{kept}/limits")).await.is(404).is_problem("unknown_org");
}
