//! What servers do, each to one email of three: it is accepted at least once, under one
//! Message-ID, or listed with the reason; and nothing else is held up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use periodd::config::Config;
use tokio::net::TcpListener;

use crate::deliver::outbox::Outbox;
use crate::proof::{figure, size};
use crate::smtp::{Act, Certificates, RealServer, Received, ScriptedServer, Security, Verb};
use crate::webhooks::endpoint;
use crate::webhooks::receiver::{Receiver, SECRET};

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

/// Whatever a server does once, at whichever step: every email arrives, as one message.
#[tokio::test]
async fn whatever_happens_once_at_any_step_every_email_arrives_as_one_message() {
    let verbs =
        [Verb::Connect, Verb::Ehlo, Verb::Mail, Verb::Rcpt, Verb::Data, Verb::Dot, Verb::Quit];
    let acts = [
        Act::Reply("421 4.3.2 closing"),
        Act::Reply("451 4.3.0 later"),
        Act::Cut,
        Act::Silence,
        Act::Flood,
    ];
    let each = verbs.iter().flat_map(|verb| acts.iter().map(|act| (*verb, act.clone())));
    let ambiguous = [
        (Verb::Dot, Act::KeepAndCut),
        (Verb::Data, Act::CutAfterBytes(0)),
        (Verb::Data, Act::CutAfterBytes(1_000)),
    ];
    let stages: Vec<(Verb, Act)> = each.chain(ambiguous).step_by(size(6, 1)).collect();
    for (verb, act) in &stages {
        let server = ScriptedServer::start().await;
        let outbox = three(&server).await;
        server.once(*verb, act.clone());
        let mut sent = 0;
        for _ in 0..12 {
            sent += outbox.deliver().await.sent;
            if sent == 3 {
                break;
            }
            outbox.wait().await;
        }
        assert_eq!(sent, 3, "{verb:?} {act:?}: {:?}", outbox.states().await);
        assert_all_arrived(&server, 3);
    }
    let stages = stages.len();
    figure("SMTP stages", &format!("{stages} stages without TLS; 0 lost, each one Message-ID"));
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
    assert!(listed.contains("suppressed") && listed.contains("no such user"), "{listed}");
    // A person who knows better sends it again, and that lifts the suppression.
    let id = "select id from periodd_outbox where state = 'suppressed'";
    let id = outbox.test.rows(id).await.pop().unwrap();
    outbox.test.periodd(&["--at", crate::deliver::outbox::NOON, "alerts", "resend", &id]).exits(0);
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
    let shipped = include_str!("../../../config/periodd.toml");
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
    let early =
        ["--at", crate::deliver::outbox::NOON, "--yes", "rollover", "--early", "--org", "org-1"];
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
            "alter table usage_metrics drop constraint usage_metrics_metric_value_range;
             update organizations set time_zone = 'Mars/Olympus' where slug = 'org-1';
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'minutes_transcribed', 1e30, '2026-05-10Z' from organizations
             where slug = 'org-2'",
        )
        .await;
    let report = outbox.deliver().await;
    // An org's zone can be corrected, and its email waits for that.
    let counts = (report.sent, report.postponed, report.given_up);
    assert_eq!(counts, (1, 1, 1), "{report:?}");
    let why = "select answer from periodd_outbox where state <> 'sent' order by recipient";
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
            "alter table usage_metrics drop constraint usage_metrics_metric_value_range;
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
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
async fn an_email_that_takes_long_holds_up_no_webhook_that_becomes_due() {
    let (mail, receiver) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Receiver::start());
    let port = mail.local_addr().unwrap().port();
    let block = endpoint("app", &receiver.url(), "");
    let outbox = Outbox::queued(1, &format!("port = {port}\n{block}")).await;
    outbox.configured("timeout = \"1s\"", "timeout = \"10m\"");
    outbox.test.periodd(&["webhooks", "apply"]).exits(0);
    let secrets = [("SECRET".to_owned(), SECRET.to_owned())].into_iter();
    let config = Config::load(Some(&outbox.test.config()), secrets).expect("a configuration");
    let meanwhile = async {
        // The mail server says nothing, for as long as it is there.
        let (_held, _) = mail.accept().await.expect("a client");
        let grant = "select grant_overage_pack(id, 'scrapes', 1, 'order-1') from organizations";
        outbox.test.sql(grant).await;
        let begun = Instant::now();
        while receiver.received().is_empty() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it waits for the email");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(mail);
    };
    let (report, ()) = tokio::join!(outbox.deliver_as(&config), meanwhile);
    assert_eq!((report.webhooks.sent, report.sent), (1, 0), "{report:?}");
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

#[tokio::test]
async fn what_nobody_wants_any_more_is_not_sent() {
    let server = ScriptedServer::start().await;
    let outbox = Outbox::queued(4, &format!("port = {}", server.port)).await;
    outbox
        .test
        .sql(
            "update org_contacts set opted_out_at = now() where email = 'org-1@example.org';
             delete from org_contacts where email = 'org-2@example.org';
             insert into periodd_suppressions (org_id, email, reason)
             select org_id, email, '550' from org_contacts where email = 'org-3@example.org'",
        )
        .await;
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.suppressed, report.given_up), (1, 0, 0));
    let to: Vec<_> = server.received().into_iter().flat_map(|email| email.to).collect();
    assert_eq!(to, ["org-4@example.org"]);
    let states = "select state, count(*) from periodd_outbox group by 1 order by 1";
    assert_eq!(outbox.test.rows(states).await, ["sent 1", "suppressed 3"]);
    let dead = "select count(*) from periodd_suppressions";
    assert_eq!(outbox.test.rows(dead).await, ["1"], "nobody is called dead who is not");
}

#[tokio::test]
async fn who_unsubscribes_while_others_are_served_gets_nothing_more() {
    let server = ScriptedServer::start().await;
    let outbox = Outbox::queued(5, &format!("port = {}\nmax_connections = 1", server.port)).await;
    outbox.configured("rate_per_second = 10000", "rate_per_second = 1");
    let unsubscribing = async {
        let began = std::time::Instant::now();
        while server.received().is_empty() {
            assert!(began.elapsed().as_secs() < 120, "nothing arrives");
            tokio::task::yield_now().await;
        }
        outbox.test.sql("update org_contacts set opted_out_at = now()").await;
    };
    // All five were claimed together, when everybody still wanted them.
    let (report, ()) = tokio::join!(outbox.deliver(), unsubscribing);
    assert!(report.sent <= 2, "{report:?}");
    let states = outbox.states().await;
    let left = states.iter().filter(|state| *state == "suppressed 0").count();
    assert_eq!(left, 5 - report.sent, "{states:?}");
}

/// What Exim, Postfix, Exchange and others say to a sender that they do not know; a relay that
/// takes none of ours refuses everybody with the same words.
#[tokio::test]
async fn a_relay_that_refuses_us_costs_no_email_and_no_address() {
    for (verb, words) in [
        (Verb::Rcpt, "550 relay not permitted"),
        (Verb::Rcpt, "554 Relay access denied"),
        (Verb::Rcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
        (Verb::Rcpt, "550 Administrative prohibition"),
        (Verb::Rcpt, "550 5.1.1 nobody is known here"),
        (Verb::Mail, "550 sender rejected"),
        (Verb::Dot, "554 Message rejected: Email address is not verified."),
        (Verb::Dot, "554 5.2.252 SendAsDenied; a not allowed to send as b"),
        (Verb::Dot, "554 Transaction failed"),
    ] {
        let server = ScriptedServer::start().await;
        let outbox = three(&server).await;
        server.always(verb, Act::Reply(words));
        for _ in 0..5 {
            let report = outbox.deliver().await;
            let told = report.refused.clone().unwrap_or_default();
            assert!(told.contains(words.trim_end_matches('.')), "{words}: {report:?}");
            assert_eq!((report.sent, report.given_up, report.suppressed), (0, 0, 0), "{words}");
            outbox.wait().await;
        }
        assert_eq!(outbox.states().await, ["due 0"; 3], "{words}");
        let dead = "select count(*) from periodd_suppressions";
        assert_eq!(outbox.test.rows(dead).await, ["0"], "{words}");
        // `status` has the server's words at once.
        let status = outbox
            .test
            .periodd(&["--at", crate::deliver::outbox::NOON, "--format", "json", "status"])
            .exits(3)
            .json();
        let findings = status["findings"].as_array().unwrap().iter();
        let found = findings.filter(|finding| finding["check"] == "mail_refused").count();
        assert!(found == 1 && status.to_string().contains("mail_refused"), "{words}: {status:#}");
        server.relent();
        assert_eq!(outbox.deliver().await.sent, 3, "{words}");
    }
}

#[tokio::test]
async fn once_the_server_is_well_again_nothing_waits_any_longer() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.always(Verb::Rcpt, Act::Reply("550 relay not permitted"));
    assert!(outbox.deliver().await.refused.is_some());
    server.relent();
    // The others wait for most of an hour; one that is tried makes them due.
    outbox
        .test
        .sql(
            "update periodd_outbox set next_attempt_at = now() + interval '3 hours';
             update periodd_outbox set next_attempt_at = now(), fault = null
             where recipient = 'org-3@example.org'",
        )
        .await;
    assert_eq!(outbox.deliver().await.sent, 1);
    let due = "select count(*) from periodd_outbox where next_attempt_at <= now()
               and state = 'due' and fault = 'refused'";
    let faulty = outbox.test.rows(due).await;
    assert_eq!(outbox.deliver().await.sent.to_string(), faulty[0]);
    assert_ne!(faulty, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_the_server_fails_is_recorded_as_failed() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.always(Verb::Connect, Act::Reply("421 4.3.2 closed for today"));
    outbox
        .test
        .periodd(&["--at", crate::deliver::outbox::NOON, "alerts", "run", "--now"])
        .exits(69);
    let runs = "select job, outcome, error like '%closed for today%' as words
                from periodd_runs order by id";
    assert_eq!(outbox.test.rows(runs).await, ["alerts done -", "deliver failed true"]);
    server.relent();
    outbox.test.periodd(&["--at", crate::deliver::outbox::NOON, "alerts", "run", "--now"]).exits(0);
    assert_eq!(outbox.states().await, ["sent 0", "sent 0", "sent 1"]);
    outbox.test.periodd(&["--at", crate::deliver::outbox::NOON, "status"]).exits(0);
}
