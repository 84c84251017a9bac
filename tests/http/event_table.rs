//! The event table, read from a cursor: nothing is missed and nothing comes twice, whoever writes
//! at the same time; and a token of one org reads its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

use crate::client::Request;
use crate::served::{Served, token};

const ORGS: usize = 16;
const EACH: usize = 60;

async fn served() -> Served {
    let served = Served::new().await;
    served
        .test
        .sql(&format!(
            "insert into periodd_listeners (channel, name) values ('table', 'events');
             insert into organizations (id, slug, name, time_zone)
             select md5('org ' || i)::uuid, 'org-' || i, 'Org ' || i, 'UTC'
             from generate_series(1, {ORGS}) i"
        ))
        .await;
    served
}

fn grant(org: usize, n: usize) -> String {
    format!("select grant_overage_pack(md5('org {org}')::uuid, 'scrapes', 1, 'order-{n}')")
}

/// A consumer that remembers how far it has come, as one that is killed and restarted must.
async fn follow(served: &Served, cursor: &mut i64, seen: &mut Vec<(i64, String)>) {
    let path = format!("/api/v1/events?after={cursor}&limit=7");
    let page = served.get(&path).await.is(200).json();
    for event in page["events"].as_array().expect("events") {
        let cursor = event["cursor"].as_i64().expect("a cursor");
        seen.push((cursor, event["data"]["reference"].as_str().expect("a reference").to_owned()));
    }
    *cursor = page["next"].as_i64().expect("a cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_beside_sixteen_writers_misses_none_and_gets_none_twice() {
    let served = served().await;
    let url = served.test.url();
    let writers: Vec<_> = (1..=ORGS)
        .map(|org| {
            let url = url.clone();
            tokio::spawn(async move {
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("connected");
                for n in 0..EACH {
                    // Transactions of different lengths commit in another order than they draw
                    // their numbers in; and some do not commit.
                    let mut transaction = connection.begin().await.expect("a transaction");
                    for part in 0..=n % 3 {
                        let sql = grant(org, 3 * n + part);
                        let granted = sqlx::raw_sql(AssertSqlSafe(sql));
                        granted.execute(&mut *transaction).await.expect("granted");
                        let pause = "select pg_sleep(random() * 0.01)";
                        sqlx::raw_sql(pause).execute(&mut *transaction).await.expect("slept");
                    }
                    if n % 5 == 4 {
                        transaction.rollback().await.expect("rolled back");
                    } else {
                        transaction.commit().await.expect("committed");
                    }
                }
            })
        })
        .collect();
    let (mut cursor, mut seen) = (0, Vec::new());
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        follow(&served, &mut cursor, &mut seen).await;
    }
    for writer in writers {
        writer.await.expect("it wrote");
    }
    let mut before = -1;
    while before != cursor {
        before = cursor;
        follow(&served, &mut cursor, &mut seen).await;
    }
    let cursors: Vec<i64> = seen.iter().map(|(cursor, _)| *cursor).collect();
    assert!(cursors.is_sorted_by(|one, next| one < next), "in their order, none twice");
    let all = served.test.rows("select position from periodd_events order by 1").await;
    let all: Vec<i64> = all.iter().map(|position| position.parse().expect("a number")).collect();
    assert_eq!(cursors, all, "none is missed");
    let packs = served.test.rows("select count(*) from overage_packs").await;
    assert_eq!(packs, [all.len().to_string()], "an event for each pack, and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_and_a_token_of_one_org_reads_its_own() {
    let served = served().await;
    for org in 1..=3 {
        served.test.sql(&grant(org, org)).await;
    }
    let of = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().expect("events").iter();
        events.map(|event| event["data"]["org"].as_str().expect("a slug").to_owned()).collect()
    };
    let page = served.get("/api/v1/events").await.is(200).json();
    assert_eq!(of(&page), ["org-1", "org-2", "org-3"]);
    assert_eq!(page["has_more"], json!(false));
    let page = served.get("/api/v1/events?limit=2").await.is(200).json();
    assert_eq!((of(&page).len(), &page["has_more"]), (2, &json!(true)));
    let page = served.get("/api/v1/events?org=org-2&kinds=pack.granted").await.is(200).json();
    assert_eq!(of(&page), ["org-2"]);
    assert_eq!(of(&served.get("/api/v1/events?kinds=period.closed").await.is(200).json()), [""; 0]);
    let own = token(&served.test, "own", &["read"], &["--org", "org-3"]);
    let ask = async |path: &str| served.with_token(&own, Request::get(path)).await;
    let page = ask("/api/v1/events").await.is(200).json();
    assert_eq!(of(&page), ["org-3"]);
    ask("/api/v1/events?org=org-1").await.is(404).is_problem("unknown_org");
    for (query, word) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=99999", "another database"),
        ("kinds=period.close", "period.closed"),
    ] {
        let problem = served.get(&format!("/api/v1/events?{query}")).await.is(422);
        let detail = problem.is_problem("invalid");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    let ids: BTreeSet<String> =
        served.test.rows("select id from periodd_events").await.into_iter().collect();
    assert_eq!(ids.len(), 3);
}
