//! What servers do, each to one email of three: it is accepted at least once, under one
//! Message-ID, or listed with the reason; and nothing else is held up.

use std::collections::BTreeSet;

use crate::outbox::Outbox;
use crate::smtp::{Act, Certificates, RealServer, Received, ScriptedServer, Security, Verb};

async fn three(server: &ScriptedServer) -> Outbox {
    // One after the other, so that it is the first one that meets the fault.
    Outbox::queued(3, &format!("port = {}\nmax_connections = 1", server.port)).await
}

/// Everybody got one message, however often.
fn assert_all_arrived(server: &ScriptedServer, emails: usize) {
    let received = server.received();
    let messages: BTreeSet<&str> = received.iter().map(|email| email.data.as_str()).collect();
    assert_eq!(messages.len(), emails, "a message that comes twice is the same, byte for byte");
    let ids: BTreeSet<&str> = received.iter().map(Received::message_id).collect();
    let recipients: BTreeSet<&str> =
        received.iter().flat_map(|email| email.to.iter().map(String::as_str)).collect();
    assert_eq!((ids.len(), recipients.len()), (emails, emails));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let faults = [
        (Verb::Mail, Act::Reply("451 4.3.0 later")),
        (Verb::Rcpt, Act::Reply("450 4.2.0 greylisted")),
        (Verb::Data, Act::Reply("452 4.3.1 no room")),
        (Verb::Dot, Act::Reply("451 4.3.0 later")),
        (Verb::Dot, Act::Silence),
        (Verb::Dot, Act::Cut),
        (Verb::Dot, Act::KeepAndCut),
        (Verb::Data, Act::CutAfterBytes(100)),
    ];
    for (verb, act) in faults {
        let server = ScriptedServer::start().await;
        let outbox = three(&server).await;
        server.once(verb, act.clone());
        let report = outbox.deliver().await;
        assert_eq!((report.sent, report.postponed), (2, 1), "{verb:?} {act:?}: {report:?}");
        assert_eq!(outbox.deliver().await.sent, 0, "it is not due yet");
        outbox.wait().await;
        assert_eq!(outbox.deliver().await.sent, 1, "{verb:?} {act:?}");
        assert_all_arrived(&server, 3);
        let mut states = outbox.states().await;
        states.sort();
        assert_eq!(states, ["sent 0", "sent 0", "sent 1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_exist_is_suppressed_and_listed() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.once(Verb::Rcpt, Act::Reply("550 5.1.1 no such user"));
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.suppressed), (2, 1));
    let reasons = outbox.test.rows("select reason from periodd_suppressions").await;
    assert!(reasons.len() == 1 && reasons[0].contains("no such user"), "{reasons:?}");
    let listed = outbox.test.periodd(&["alerts", "list"]).exits(0).stdout;
    assert!(listed.contains("no such address"), "{listed}");
    // A person who knows better sends it again, and that lifts the suppression.
    let id = "select id from periodd_outbox where state = 'suppressed'";
    let id = outbox.test.rows(id).await.pop().unwrap();
    outbox.test.periodd(&["--at", crate::outbox::NOON, "alerts", "resend", &id]).exits(0);
    assert!(outbox.test.rows("select email from periodd_suppressions").await.is_empty());
    assert_all_arrived(&server, 3);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_and_listed() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.once(Verb::Dot, Act::Reply("554 5.7.1 looks like spam"));
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.given_up), (2, 1));
    let arguments = ["alerts", "list", "--state", "given_up"];
    let listed = outbox.test.periodd(&arguments).exits(0).stdout;
    assert!(listed.contains("looks like spam"), "{listed}");
}

#[tokio::test]
async fn too_many_attempts_give_up_one_email_and_no_other() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    for attempt in 1..=4 {
        server.once(Verb::Rcpt, Act::Reply("450 4.2.0 later"));
        let report = outbox.deliver().await;
        assert_eq!(report.given_up, usize::from(attempt == 4), "attempt {attempt}");
        outbox.wait().await;
    }
    let mut states = outbox.states().await;
    states.sort();
    assert_eq!(states, ["given_up 4", "sent 0", "sent 0"]);
    assert_all_arrived(&server, 2);
}

#[tokio::test]
async fn no_email_is_given_up_for_a_wrong_password() {
    let server = ScriptedServer::start().await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "wrong").unwrap();
    let login = format!(
        "port = {}\nusername = \"periodd\"\npassword_file = \"{}\"",
        server.port,
        secret.path().display()
    );
    let outbox = Outbox::queued(3, &login).await;
    server.always(Verb::Auth, Act::Reply("535 5.7.8 wrong password"));
    for _ in 0..6 {
        let report = outbox.deliver().await;
        assert!(report.locked_out.is_some(), "{report:?}");
        outbox.wait().await;
    }
    assert_eq!(outbox.states().await, ["due 0"; 3]);
    server.relent();
    assert_eq!(outbox.deliver().await.sent, 3);
    assert_all_arrived(&server, 3);
}

#[tokio::test]
async fn a_server_that_is_down_for_six_hours_gets_everything_afterwards() {
    let server = ScriptedServer::start().await;
    let mut outbox = three(&server).await;
    let shipped = include_str!("../../config/periodd.toml");
    assert!(shipped.contains("max_attempts = 12"));
    outbox.configured("max_attempts = 4", "max_attempts = 12");
    server.always(Verb::Connect, Act::Cut);
    let mut tried = 0;
    for passed in 1..=36 {
        outbox.at(&format!("2026-05-12T{}:{}0:00Z", 12 + passed / 6, passed % 6));
        let report = outbox.deliver().await;
        assert_eq!((report.sent, report.given_up, report.expired), (0, 0, 0), "{report:?}");
        // Nobody else's attempt is wasted on a server that is down.
        assert!(report.postponed <= 1, "{report:?}");
        assert_eq!(report.unreachable.is_some(), report.postponed == 1);
        tried += report.postponed;
        outbox.passes("10 minutes").await;
    }
    assert!(tried > 6, "{tried} attempts");
    server.relent();
    let (mut sent, mut hours) = (0, 0);
    while sent < 3 {
        assert!(hours < 24, "{sent} were sent within {hours} hours");
        outbox.passes("1 hour").await;
        sent += outbox.deliver().await.sent;
        hours += 1;
    }
    assert_all_arrived(&server, 3);
}

#[tokio::test]
async fn a_certificate_for_somebody_else_gets_no_email_and_costs_none() {
    let wrong = Certificates::of("mail.example.com");
    let impostor = RealServer::start(Security::Starttls, Some(&wrong), None);
    let outbox = Outbox::queued(3, &format!("port = {}", impostor.port)).await;
    let trusting = |certificates: &Certificates| {
        format!("tls = \"starttls\"\nca_file = \"{}\"", certificates.ca_file().display())
    };
    outbox.configured("tls = \"none\"", &trusting(&wrong));
    let report = outbox.deliver().await;
    let why = report.unreachable.clone().unwrap_or_default();
    assert!(why.contains("not valid for name"), "{report:?}");
    assert_eq!((report.sent, report.given_up), (0, 0));
    let listed = outbox.test.periodd(&["alerts", "list"]).exits(0).stdout;
    assert!(listed.contains("not valid for name"), "{listed}");

    let right = Certificates::of("127.0.0.1");
    let server = RealServer::start(Security::Starttls, Some(&right), None);
    outbox.configured(&trusting(&wrong), &trusting(&right));
    outbox.configured(&format!("port = {}", impostor.port), &format!("port = {}", server.port));
    outbox.wait().await;
    assert_eq!(outbox.deliver().await.sent, 3);
    assert_eq!((server.received().len(), impostor.received().len()), (3, 0));
    assert!(server.received().iter().all(|email| email.tls));
}

#[tokio::test]
async fn a_server_that_is_down_across_the_periods_end_gets_nothing_stale() {
    let server = ScriptedServer::start().await;
    let mut outbox = three(&server).await;
    server.always(Verb::Connect, Act::Cut);
    outbox.at("2026-05-31T20:00:00Z");
    assert!(outbox.deliver().await.unreachable.is_some());
    server.relent();
    outbox.wait().await;
    outbox.at("2026-05-31T22:00:00Z");
    let report = outbox.deliver().await;
    assert_eq!((report.expired, report.sent), (3, 0));
    let arguments = ["--format", "json", "alerts", "list", "--state", "given_up"];
    let listed = outbox.test.periodd(&arguments).exits(0).json();
    assert_eq!(listed["emails"].as_array().unwrap().len(), 3);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_period_that_was_closed_early_is_over() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    let early = ["--at", crate::outbox::NOON, "--yes", "rollover", "--early", "--org", "org-1"];
    outbox.test.periodd(&early).exits(0);
    let report = outbox.deliver().await;
    assert_eq!((report.expired, report.sent), (1, 2));
}

#[tokio::test]
async fn an_email_that_cannot_be_composed_holds_up_no_other() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    outbox
        .test
        .sql(
            "update organizations set time_zone = 'Mars/Olympus' where slug = 'org-1';
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'minutes_transcribed', 1e30, '2026-05-10Z' from organizations
             where slug = 'org-2'",
        )
        .await;
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.given_up), (1, 2), "{report:?}");
    let why = "select answer from periodd_outbox where state = 'given_up' order by recipient";
    let why = outbox.test.rows(why).await;
    assert!(why[0].contains("Mars/Olympus") && why[1].contains("10^22"), "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_workers_none_gives_up_an_email_for_one_that_another_has_in_hand() {
    let server = ScriptedServer::start().await;
    let outbox = Outbox::queued(40, &format!("port = {}\nmax_connections = 4", server.port)).await;
    outbox
        .test
        .sql(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'minutes_transcribed', 1e30, '2026-05-10Z' from organizations
             where slug like '%7' or slug like '%3'",
        )
        .await;
    let report = outbox.deliver().await;
    let given_up = "select recipient from periodd_outbox where state = 'given_up' order by 1";
    let given_up = outbox.test.rows(given_up).await;
    let bad = |recipient: &String| recipient.contains("7@") || recipient.contains("3@");
    assert!(given_up.iter().all(bad), "a healthy email was given up: {given_up:?}");
    assert_eq!((report.sent, report.given_up, given_up.len()), (32, 8, 8), "{report:?}");
    assert_all_arrived(&server, 32);
}

#[tokio::test]
async fn deliveries_at_once_send_each_email_once() {
    let server = ScriptedServer::start().await;
    let smtp = format!("port = {}\nmax_connections = 2", server.port);
    let outbox = std::sync::Arc::new(Outbox::queued(500, &smtp).await);
    let deliveries = (0..3).map(|_| {
        let outbox = std::sync::Arc::clone(&outbox);
        tokio::spawn(async move { outbox.deliver().await.sent })
    });
    let mut sent = 0;
    for delivery in deliveries.collect::<Vec<_>>() {
        sent += delivery.await.unwrap();
    }
    assert_eq!((sent, server.received().len()), (500, 500));
    assert_all_arrived(&server, 500);
}
