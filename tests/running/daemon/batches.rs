//! Batches of events, each sent by three clients at once, while the daemon and its database are
//! killed: every event counts once, and no client meets a deadlock. `PERIODD_TEST_ROUNDS` says how
//! many: eight batches a round.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use periodd::cluster::Cluster;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Request, parse};
use crate::daemon::http::address;
use crate::daemon::outage::Place;
use crate::daemon::process::{Daemon, PATIENCE, binary, signal, wait_until};
use crate::support::invariants;

const ORGS: usize = 24;
const EVENTS: usize = 1_000;
/// Clients that send the same batch.
const CLIENTS: usize = 3;
/// Batches that are under way at a time.
const AT_ONCE: usize = 4;
const PATH: &str = "/api/v1/usage/events";

fn batches() -> usize {
    let rounds = std::env::var("PERIODD_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    8 * rounds.unwrap_or(1).max(1)
}

/// An event and what has to become of it: `None`, or the code of its refusal.
#[derive(Clone)]
struct Sent {
    event: Value,
    refusal: Option<&'static str>,
}

/// The one user of an org.
fn user(org: usize) -> String {
    format!("00000000-0000-4000-8000-{org:012}")
}

/// A batch; every second one is whole, and so has nothing that is refused.
fn batch(number: usize, late_at: &str) -> Vec<Sent> {
    let is_whole = number.is_multiple_of(2);
    let good = |place: usize, key: String| {
        let org = (number * 7 + place * 13) % ORGS;
        let feature = if place.is_multiple_of(3) { "scrapes" } else { "sms_sent" };
        let quantity = if place.is_multiple_of(2) { json!(0.5) } else { json!("2") };
        let mut event = json!({ "org": format!("org-{org}"), "feature": feature, "key": key });
        event["quantity"] = quantity;
        if place.is_multiple_of(5) {
            event["user"] = json!(user(org));
        }
        Sent { event, refusal: None }
    };
    let of = |place: usize| {
        let own = good(place, format!("{number}-{place}"));
        let refused = |change: fn(&mut Value), refusal| {
            let mut sent = own.clone();
            change(&mut sent.event);
            Sent { refusal: Some(refusal), ..sent }
        };
        match place % 50 {
            // Twice in the batch.
            7 => good(place - 1, format!("{number}-{}", place - 1)),
            // In every batch, of the same org.
            13 => {
                let mut event = good(place, format!("shared-{place}")).event;
                event["org"] = json!(format!("org-{}", place % ORGS));
                if place.is_multiple_of(5) {
                    event["user"] = json!(user(place % ORGS));
                }
                Sent { event, refusal: None }
            }
            19 => {
                let mut sent = own;
                sent.event["used_at"] = json!(late_at);
                sent
            }
            23 => {
                let mut sent = own;
                sent.event["quantity"] = json!(-0.25);
                sent.event["correction"] = json!(true);
                sent
            }
            29 if !is_whole => refused(|event| event["key"] = json!("taken"), "key_reused"),
            31 if !is_whole => refused(|event| event["org"] = json!("nobody"), "unknown_org"),
            37 if !is_whole => refused(|event| event["feature"] = json!("fax"), "unknown_feature"),
            41 if !is_whole => refused(|event| event["quantity"] = json!(-1), "invalid"),
            43 if !is_whole => {
                refused(|event| event["used_at"] = json!("2999-01-01T00:00:00Z"), "invalid")
            }
            _ => own,
        }
    };
    (0..EVENTS).map(of).collect()
}

/// What has been used when every good event of the batches counts once, by org and feature, in
/// quarters of a unit.
fn expected(batches: &[Vec<Sent>]) -> (usize, HashMap<(String, String), i64>) {
    let mut events = HashMap::new();
    for sent in batches.iter().flatten().filter(|sent| sent.refusal.is_none()) {
        let text = |field: &str| sent.event[field].as_str().expect("a text").to_owned();
        let quantity = &sent.event["quantity"];
        let quarters = match quantity.as_f64() {
            Some(0.5) => 2,
            Some(_) => -1,
            None => 8,
        };
        events.insert((text("org"), text("key")), (text("feature"), quarters));
    }
    let mut used = HashMap::new();
    for ((org, _), (feature, quarters)) in &events {
        *used.entry((org.clone(), feature.clone())).or_default() += quarters;
    }
    (events.len(), used)
}

/// Sends until there is an answer; a server that is away, or says that it is busy, is asked again.
async fn send(address: &watch::Receiver<SocketAddr>, request: &Request) -> Value {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "no answer");
        let at = *address.borrow();
        let answered = async {
            let mut stream = TcpStream::connect(at).await?;
            stream.write_all(request.text().as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        // A machine's end is not told; a process's is.
        match timeout(PATIENCE, answered).await.expect("it answers or ends") {
            Ok(answer) if answer.windows(4).any(|end| end == b"\r\n\r\n") => {
                let answer = parse(&answer);
                if answer.status != 503 {
                    return answer.is(200).json();
                }
                let sentence = answer.is_problem(answer.json()["code"].as_str().expect("a code"));
                assert!(!sentence.contains("others kept changing"), "{sentence}");
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One of those who send a batch, each in an order of its own.
async fn client(
    address: watch::Receiver<SocketAddr>,
    token: String,
    number: usize,
    who: usize,
    mut batch: Vec<Sent>,
) {
    match who {
        0 => {}
        1 => batch.reverse(),
        _ => batch.rotate_left(EVENTS / 2),
    }
    let events: Vec<&Value> = batch.iter().map(|sent| &sent.event).collect();
    let partial = if number.is_multiple_of(2) { "" } else { "?partial=true" };
    let request = Request::post(&format!("{PATH}{partial}"), &json!(events));
    let request = request.with("authorization", &format!("Bearer {token}"));
    let answer = send(&address, &request).await;
    let told = answer["events"].as_array().expect("events");
    assert_eq!(told.len(), batch.len());
    for (told, sent) in told.iter().zip(&batch) {
        assert_eq!(told["code"].as_str(), sent.refusal, "{told} to {}", sent.event);
    }
}

async fn daemon(config: &Path) -> (Daemon, SocketAddr) {
    let daemon = Daemon::spawn(binary(config, &["run"]));
    let address = address(&daemon).await;
    (daemon, address)
}

fn periodd(config: &Path, words: &[&str]) -> String {
    let run = binary(config, &[&["--quiet"], words].concat()).output().expect("the binary runs");
    assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).trim().to_owned()
}

async fn rows(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let query = format!("select q::text from ({query}) q");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await.expect("rows")
}

/// The daemon's connections are all given back, and none of them has anything open.
async fn nobody_is_in_a_transaction(connection: &mut PgConnection) {
    let open = "select pid from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    let began = Instant::now();
    while !rows(connection, open).await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "a connection stays in its transaction");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every good event is a metric, counters are their sums, and the books are right.
async fn check_books(connection: &mut PgConnection, all: &[Vec<Sent>]) {
    let (events, used) = expected(all);
    let metrics = "select count(*) from usage_metrics where metric_type <> 'minutes_transcribed'";
    assert_eq!(rows(connection, metrics).await, [format!("({events})")]);
    let counted: Vec<(String, String, i64)> = sqlx::query_as(
        "select o.slug, c.feature, (4 * sum(c.used))::bigint from usage_counters c
         join organizations o on o.id = c.org_id
         where c.feature <> 'minutes_transcribed' group by 1, 2",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("counters");
    let counted: HashMap<_, _> =
        counted.into_iter().map(|(org, feature, quarters)| ((org, feature), quarters)).collect();
    assert_eq!(counted, used);
    for (name, query) in invariants() {
        let broken = rows(connection, query.trim_end().trim_end_matches(';')).await;
        assert!(broken.is_empty(), "{name}: {broken:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_sent_by_three_clients_count_once_though_daemon_and_database_are_killed() {
    let place = Place::new();
    let config = place.embedded(
        "[http]\nenabled = true\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [schedule.sync]\ncron = \"* * * * * *\"\njitter = \"0s\"\n",
    );
    periodd(&config, &["db", "migrate"]);
    let settings = place.settings();
    let cluster = tokio::task::spawn_blocking(move || Cluster::open(&settings)).await;
    let cluster = cluster.expect("a task").expect("a server");
    let url = cluster.url();
    let mut connection = PgConnection::connect(&url).await.expect("it serves");
    // Two months: the first is closed, and late events are of it.
    let seed = format!(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', now() - interval '40 days', now() - interval '10 days'
         from generate_series(0, {ORGS} - 1) i;
         insert into users (id, organization_id, email)
         select ('00000000-0000-4000-8000-' || lpad(ltrim(slug, 'org-'), 12, '0'))::uuid, id,
                slug || '@example.com' from organizations"
    );
    sqlx::raw_sql(AssertSqlSafe(seed)).execute(&mut connection).await.expect("orgs");
    periodd(&config, &["rollover"]);
    let token = periodd(&config, &["tokens", "add", "all", "--scope", "record"]);
    let taken = "select record_usage(id, 'minutes_transcribed', 9, p_idempotency_key => 'taken')
                 from organizations";
    sqlx::raw_sql(taken).execute(&mut connection).await.expect("keys");
    let late =
        "to_char(now() at time zone 'UTC' - interval '15 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let late_at: String = sqlx::query_scalar(AssertSqlSafe(format!("select {late}")))
        .fetch_one(&mut connection)
        .await
        .expect("a time");
    drop(connection);

    let all: Vec<Vec<Sent>> = (0..batches()).map(|number| batch(number, &late_at)).collect();
    let (mut running, at) = daemon(&config).await;
    let (moved, address) = watch::channel(at);
    let answered = Arc::new(AtomicUsize::new(0));
    let sends = all.len() * CLIENTS;
    let clients = {
        let (all, answered) = (all.clone(), Arc::clone(&answered));
        tokio::spawn(async move {
            let mut clients = JoinSet::new();
            for (number, batch) in all.into_iter().enumerate() {
                for who in 0..CLIENTS {
                    while clients.len() >= AT_ONCE * CLIENTS {
                        clients.join_next().await.expect("a client").expect("a client");
                    }
                    let (address, token) = (address.clone(), token.clone());
                    let (batch, answered) = (batch.clone(), Arc::clone(&answered));
                    clients.spawn(async move {
                        client(address, token, number, who, batch).await;
                        answered.fetch_add(1, Ordering::Relaxed);
                    });
                }
            }
            while let Some(client) = clients.join_next().await {
                client.expect("a client");
            }
        })
    };
    // By turns the daemon and its database, always with requests on their way.
    let kills = all.len() / 2;
    for kill in 1..=kills {
        wait_until("more batches are answered", || {
            answered.load(Ordering::Relaxed) >= sends * kill / (kills + 2) || clients.is_finished()
        })
        .await;
        assert!(!clients.is_finished(), "nobody is left to meet kill {kill} of {kills}");
        if kill.is_multiple_of(2) {
            running.kill();
            let (again, at) = daemon(&config).await;
            running = again;
            moved.send_replace(at);
        } else {
            let said = running.said("not running; restarted");
            signal(place.postmaster().expect("a server"), "KILL");
            let is_back = || running.said("not running; restarted") > said;
            wait_until("the database is started again", is_back).await;
        }
    }
    clients.await.expect("every client has its answer");

    let mut connection = PgConnection::connect(&url).await.expect("it serves");
    nobody_is_in_a_transaction(&mut connection).await;
    periodd(&config, &["sync"]);
    check_books(&mut connection, &all).await;
    drop(connection);
    let log = std::fs::read_to_string(place.state().join("postgresql/server.log"));
    assert!(!log.expect("a log").contains("deadlock detected"), "somebody waited in a circle");
    assert_eq!(running.stop().await.code(), Some(0));
    tokio::task::spawn_blocking(move || drop(cluster)).await.expect("a task");
}
