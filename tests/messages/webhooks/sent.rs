//! What is sent: verified elsewhere, once by id, and to whom it concerns.

use std::collections::BTreeSet;

use periodd::config::Config;
use serde_json::json;

use super::receiver::{OTHER_SECRET, Receiver, Request, SECRET};
use super::{Queue, endpoint};

#[tokio::test]
async fn every_message_is_verified_elsewhere_and_no_copy_of_it() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 30).await;
    let report = queue.deliver().await;
    assert_eq!((report.webhooks.sent, report.sent), (30, 0), "{report:?}");
    let received = receiver.received();
    assert!(received.iter().all(Request::is_genuine), "{received:#?}");
    let ids: BTreeSet<&str> = received.iter().map(Request::id).collect();
    let kept = queue.test.rows("select id from periodd_webhook_outbox order by 1").await;
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), kept, "each once, by the id of its row");
    let bodies: BTreeSet<&str> = received.iter().map(|request| &*request.body).collect();
    let kept = queue.test.rows("select body from periodd_webhook_outbox order by 1").await;
    let kept: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    assert_eq!(bodies, kept, "byte for byte");
    let body = received[0].json();
    assert_eq!(
        (&body["type"], &body["data"]["feature"]),
        (&json!("pack.granted"), &json!("scrapes"))
    );
    assert_eq!(received[0].path, "/hooks");
    assert_eq!(received[0].headers["content-type"], "application/json");
    // Nothing is left to do.
    assert_eq!(queue.deliver().await.webhooks.sent, 0);
}

#[tokio::test]
async fn an_endpoint_hears_what_it_asked_for() {
    let receiver = Receiver::start();
    let all = endpoint("all", &receiver.url(), "");
    let closes = endpoint("closes", &receiver.url(), "kinds = [\"period.closed\"]");
    let queue = Queue::new(2, &format!("{all}{closes}")).await;
    let messages = "select endpoint, kind, count(*) from periodd_webhook_outbox group by 1, 2";
    assert_eq!(queue.test.rows(messages).await, ["all pack.granted 2"]);
    // An org of its own, from now on.
    queue.test.configure(&endpoint("one", &receiver.url(), "org = \"org-1\""));
    queue.apply();
    queue
        .test
        .sql(
            "select grant_overage_pack(md5('org ' || i)::uuid, 'scrapes', 1, 'more-' || i)
             from generate_series(1, 2) i",
        )
        .await;
    let messages = "select m.endpoint, o.slug, count(*) from periodd_webhook_outbox m
                    join organizations o on o.id = m.org_id group by 1, 2 order by 1, 2";
    assert_eq!(queue.test.rows(messages).await, ["all org-1 2", "all org-2 2", "one org-1 1"]);
}

#[tokio::test]
async fn an_endpoint_of_an_unknown_org_keeps_no_other_from_being_applied() {
    let receiver = Receiver::start();
    let all = endpoint("B", &receiver.url(), "") + &endpoint("a", &receiver.url(), "");
    let lost = endpoint("lost", &receiver.url(), "org = \"nobody\"");
    let queue = Queue::new(0, "").await;
    // In most collations a comes before B.
    let sorts = "alter table periodd_listeners alter column name type text collate \"en-x-icu\"";
    queue.test.sql(sorts).await;
    queue.test.configure(&format!("{all}{lost}"));
    for changed in [true, false] {
        let applied = queue.test.periodd(&["webhooks", "apply", "--format", "json"]).exits(78);
        let applied = applied.json();
        assert_eq!(
            (&applied["changed"], &applied["webhooks"]),
            (&changed.into(), &json!(["B", "a"]))
        );
        let fault = &applied["left_out"][0];
        assert_eq!(fault["endpoint"], "lost");
        assert!(fault["reason"].as_str().expect("a reason").contains("nobody"), "{fault}");
    }
    let names = "select name from periodd_listeners order by name collate \"C\"";
    assert_eq!(queue.test.rows(names).await, ["B", "a"]);
    let status = queue.test.periodd(&["status", "--format", "json"]).json();
    let findings = status["findings"].as_array().expect("findings").iter();
    let about: Vec<_> = findings.filter(|finding| finding["check"] == "listeners").collect();
    assert_eq!(about.len(), 1, "{status}");
    assert!(about[0].to_string().contains("the webhook lost cannot be applied"), "{status}");
}

#[tokio::test]
async fn a_secret_is_replaced_without_a_lost_message() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 1).await;
    let with = |secret: &str| {
        let secrets = [("SECRET".to_owned(), secret.to_owned())];
        Config::load(Some(&queue.test.config()), secrets.into_iter()).expect("a configuration")
    };
    let grant = async |n: usize| {
        let sql = format!("select grant_overage_pack(md5('org 1')::uuid, 'scrapes', 1, 'n-{n}')");
        queue.test.sql(&sql).await;
    };
    // Both sign; the receiver takes the new one at some time in between; then the old one goes.
    let steps = [
        (SECRET.to_owned(), SECRET),
        (format!("{SECRET} {OTHER_SECRET}"), SECRET),
        (format!("{SECRET} {OTHER_SECRET}"), OTHER_SECRET),
        (OTHER_SECRET.to_owned(), OTHER_SECRET),
    ];
    for (n, (signs, trusts)) in steps.iter().enumerate() {
        receiver.trusts(trusts);
        grant(n).await;
        assert!(queue.deliver_as(&with(signs)).await.webhooks.sent > 0);
    }
    let received = receiver.received();
    assert_eq!(received.len(), 5);
    assert!(received.iter().all(Request::is_genuine), "{received:#?}");
    // And one that is not trusted is not verified: the receiver can tell.
    grant(9).await;
    queue.deliver_as(&with(SECRET)).await;
    assert!(!receiver.received().last().expect("a request").is_genuine());
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_answer_or_a_page() {
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, 3).await;
    // What the endpoint was sent comes back, and is kept.
    receiver.answers("echo");
    let key = SECRET.trim_start_matches("whsec_");
    for arguments in [
        &["-vv", "alerts", "run"][..],
        &["alerts", "list"],
        &["alerts", "list", "--format", "json"],
        &["webhooks", "list", "--format", "json"],
        &["webhooks", "ping", "app"],
        &["config", "show"],
        &["config", "check"],
        &["status"],
        &["doctor"],
    ] {
        let mut command = queue.test.command(arguments);
        let answer = command.env("SECRET", SECRET).output().expect("the binary runs");
        for text in [answer.stdout, answer.stderr] {
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(key), "{arguments:?}: {text}");
        }
    }
    let kept = queue.test.contents().await.concat();
    assert!(!kept.contains(key), "{kept}");
    // Its settings are in nobody's sentence either.
    let mut command = queue.test.command(&["webhooks", "ping", "app"]);
    let bad = command.env("SECRET", "whsec_canary").output().expect("the binary runs");
    let text = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(bad.status.code() == Some(78) && !text.contains("canary"), "{text}");
}
