//! `/live`: what browsers hear of pages that have changed.

use serde_json::json;

use crate::client::Request;
use crate::listener::{Listener, patiently};
use crate::pages::{Browser, PUBLIC};
use crate::served::{Served, token};

/// The next event that is not only a sign of life.
async fn changed(listener: &mut Listener) -> Option<String> {
    loop {
        let block = patiently("an event", listener.block()).await?;
        if let Some(page) = block.strip_prefix("event: changed\ndata: ") {
            return Some(page.to_owned());
        }
        assert!(block.starts_with("event: live\ndata: "), "{block}");
    }
}

async fn open(browser: &Browser<'_>, served: &Served, pages: &str) -> Listener {
    let request = browser.request(Request::get(&format!("/live?pages={pages}")));
    Listener::send(served, &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_names_the_pages_that_have_changed() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    served.customer("bolt").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 100)").await;
    let browser = Browser::with(&served, &served.token).await;
    let mut live = open(&browser, &served, "acme,bolt,nobody,all").await;
    assert!(live.head.contains("content-type: text/event-stream"), "{}", live.head);
    let first = patiently("an event", live.block()).await;
    assert_eq!(first.as_deref(), Some("event: live\ndata: acme bolt all"));
    // Usage by SQL, and through this process: the page of that org, and no other.
    served
        .test
        .sql("select record_usage(id, 'scrapes', 1) from organizations where slug = 'bolt'")
        .await;
    assert_eq!(changed(&mut live).await.as_deref(), Some("bolt"));
    let used = json!({ "feature": "scrapes" });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    assert_eq!(changed(&mut live).await.as_deref(), Some("acme"));
    // Whatever runs, and what is paused: the pages of all orgs.
    served.test.periodd(&["schedule", "pause", "audit", "--reason", "moving"]).exits(0);
    assert_eq!(changed(&mut live).await.as_deref(), Some("all"));
    served.test.periodd(&["sync"]).exits(0);
    assert_eq!(changed(&mut live).await.as_deref(), Some("all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_with_the_server() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    served.customer("bolt").await;
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let browser = Browser::with(&served, &own).await;
    // Of others, and of all, it hears nothing.
    let mut live = open(&browser, &served, "acme,bolt,all").await;
    let first = patiently("an event", live.block()).await;
    assert_eq!(first.as_deref(), Some("event: live\ndata: acme"));
    served.test.periodd(&["tokens", "revoke", "own"]).exits(0);
    assert_eq!(changed(&mut live).await, None);
    browser.is_let_go().await;
    browser.get("/live?pages=all").await.is(303);
    let browser = Browser::with(&served, &served.token).await;
    let mut live = open(&browser, &served, "acme").await;
    let drained = tokio::spawn(served.drain());
    while patiently("the end", live.block()).await.is_some() {}
    drained.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_listens_costs_nothing() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    let browser = Browser::with(&served, &served.token).await;
    let mut live = open(&browser, &served, "acme,all").await;
    patiently("an event", live.block()).await.expect("it lives");
    // Statements of the poller and of the pulse that were begun lately.
    let asked = "select count(*)::text from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()
                   and (query like '%periodd_schedules) as moves%' or query like '%as marks%'
                        or query like '%with ordinality%')
                   and query_start > clock_timestamp() - interval '3 seconds'";
    let becomes = async |is_asked: bool| {
        for _ in 0..200 {
            if (served.test.rows(asked).await != ["0"]) == is_asked {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("asked: {}", !is_asked);
    };
    becomes(true).await;
    drop(live);
    becomes(false).await;
}
