//! Against a server that does what mail servers do on bad days.

use std::sync::Arc;
use std::time::Duration;

use periodd::mail::transport::{Login, Settings, Tls};
use periodd::mail::{SendError, Transport};

use super::support::numbered;
use crate::smtp::{Act, ScriptedServer, Verb};

/// The deadline where a server keeps silent: long enough to get there on a busy machine, short
/// enough to wait for.
const PATIENCE: Duration = Duration::from_secs(4);

fn settings(server: &ScriptedServer) -> Settings {
    Settings {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        tls: Tls::None,
        ca_file: None,
        login: None,
        max_connections: 4,
        rate_per_second: 10_000,
        timeout: Duration::from_mins(1),
    }
}

fn to(server: &ScriptedServer) -> Transport {
    Transport::smtp(settings(server)).unwrap()
}

/// A transport whose patience ends within the test's.
fn impatient(server: &ScriptedServer) -> Transport {
    Transport::smtp(Settings { timeout: PATIENCE, ..settings(server) }).unwrap()
}

/// The variant, as a word.
fn kind(error: &SendError) -> &'static str {
    match error {
        SendError::Temporary(_) => "temporary",
        SendError::Unreachable(_) => "unreachable",
        SendError::Refused(_) => "refused",
        SendError::Rejected(_) => "rejected",
        SendError::Declined(_) => "declined",
        SendError::Barred(_) => "barred",
        SendError::Account(_) => "account",
        SendError::Credentials(_) => "credentials",
        SendError::Ambiguous(_) => "ambiguous",
    }
}

/// What each fault at each step means, and whether the server has the email all the same.
const FAULTS: [(Verb, Act, &str, usize); 32] = [
    (Verb::Connect, Act::Reply("421 4.3.2 shutting down"), "unreachable", 0),
    (Verb::Connect, Act::Reply("554 5.7.1 blocked"), "unreachable", 0),
    (Verb::Connect, Act::Cut, "unreachable", 0),
    (Verb::Connect, Act::Silence, "unreachable", 0),
    (Verb::Connect, Act::Reply("hello"), "unreachable", 0),
    (Verb::Connect, Act::Flood, "unreachable", 0),
    (Verb::Ehlo, Act::Flood, "unreachable", 0),
    (Verb::Rcpt, Act::Flood, "temporary", 0),
    (Verb::Ehlo, Act::Reply("502 no"), "unreachable", 0),
    (Verb::Ehlo, Act::Silence, "unreachable", 0),
    (Verb::Mail, Act::Reply("451 4.3.0 busy"), "temporary", 0),
    (Verb::Mail, Act::Reply("553 5.7.1 not your address"), "account", 0),
    (Verb::Mail, Act::Reply("530 5.7.0 log in first"), "credentials", 0),
    (Verb::Mail, Act::Cut, "temporary", 0),
    (Verb::Mail, Act::Silence, "temporary", 0),
    (Verb::Rcpt, Act::Reply("450 4.7.1 greylisted, come back in 5 minutes"), "temporary", 0),
    (Verb::Rcpt, Act::Reply("550-5.1.1 no such user\r\n550 5.1.1 really"), "refused", 0),
    (Verb::Rcpt, Act::Reply("554 5.7.1 relay access denied"), "barred", 0),
    (Verb::Rcpt, Act::Reply("550 no"), "declined", 0),
    (Verb::Dot, Act::Reply("550 not a verified Sender Identity"), "account", 0),
    (Verb::Rcpt, Act::Cut, "temporary", 0),
    (Verb::Data, Act::Reply("451 4.3.0 disk full"), "temporary", 0),
    (Verb::Data, Act::Reply("554 5.5.1 no valid recipients"), "rejected", 0),
    (Verb::Data, Act::Reply("250 2.0.0 what?"), "temporary", 0),
    (Verb::Data, Act::CutAfterBytes(100), "ambiguous", 0),
    (Verb::Dot, Act::Reply("452 4.3.1 out of memory"), "temporary", 0),
    (Verb::Dot, Act::Reply("554 5.7.1 looks like spam"), "rejected", 0),
    (Verb::Dot, Act::Reply("354 go on"), "temporary", 0),
    (Verb::Dot, Act::Cut, "ambiguous", 0),
    (Verb::Dot, Act::KeepAndCut, "ambiguous", 1),
    (Verb::Dot, Act::Silence, "ambiguous", 0),
    (Verb::Dot, Act::Reply("nonsense"), "ambiguous", 0),
];

#[tokio::test]
async fn every_fault_is_told_for_what_it_is_and_the_next_email_goes_through() {
    let each = FAULTS
        .into_iter()
        .map(|(verb, act, expected, kept)| tokio::spawn(one_fault(verb, act, expected, kept)));
    for done in futures_util::future::join_all(each).await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_greeting_without_an_end_is_not_kept_before_starttls_either() {
    let server = ScriptedServer::start().await;
    server.always(Verb::Connect, Act::Flood);
    let settings = Settings { tls: Tls::Starttls, ..settings(&server) };
    let error = Transport::smtp(settings).unwrap().send(&numbered(1)).await.unwrap_err();
    assert_eq!(kind(&error), "unreachable", "{error}");
    assert!(error.to_string().contains("more than 64 KiB at once"), "{error}");
}

async fn one_fault(verb: Verb, act: Act, expected: &str, kept: usize) {
    let server = ScriptedServer::start().await;
    let is_silent = matches!(act, Act::Silence);
    let transport = if is_silent { impatient(&server) } else { to(&server) };
    server.once(verb, act.clone());
    let error = transport.send(&numbered(1)).await.unwrap_err();
    let sentence = error.to_string();
    assert_eq!(kind(&error), expected, "{verb:?} {act:?}: {sentence}");
    assert!(sentence.starts_with(&format!("127.0.0.1:{}", server.port)), "{sentence}");
    assert!(!sentence.contains(char::is_control), "{sentence:?}");
    assert_eq!(server.received().len(), kept, "{verb:?} {act:?}");
    // Whatever state that left the connection in, it is no burden to the next email …
    transport.send(&numbered(2)).await.unwrap_or_else(|e| panic!("{verb:?} {act:?}: {e}"));
    // … and the same email, sent again, is the same message.
    transport.send(&numbered(1)).await.unwrap();
    let ids: Vec<_> = server.received().iter().map(|e| e.message_id().to_owned()).collect();
    let expected = ["1@example.com", "2@example.com", "1@example.com"];
    assert_eq!(ids, expected[1 - kept..], "{verb:?} {act:?}");
}

#[tokio::test]
async fn faults_of_the_login_are_told_from_wrong_passwords() {
    for (act, expected) in [
        (Act::Reply("454 4.7.0 directory is down"), "unreachable"),
        (Act::Reply("535 5.7.8 wrong"), "credentials"),
        (Act::Reply("534 5.7.9 too weak"), "credentials"),
        (Act::Cut, "unreachable"),
        (Act::Silence, "unreachable"),
    ] {
        let server = ScriptedServer::start().await;
        let login = Login { username: "u".to_owned(), password: "secret".to_owned() };
        let timeout = if matches!(act, Act::Silence) { PATIENCE } else { PATIENCE * 10 };
        let settings = Settings { login: Some(login), timeout, ..settings(&server) };
        let transport = Transport::smtp(settings).unwrap();
        server.once(Verb::Auth, act.clone());
        let error = transport.send(&numbered(1)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{act:?}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        transport.send(&numbered(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_login_that_the_server_does_not_offer_is_the_configurations_fault() {
    let server = ScriptedServer::start().await;
    server.always(Verb::Ehlo, Act::Reply("250 mail.test"));
    let login = Login { username: "u".to_owned(), password: "p".to_owned() };
    let transport = Transport::smtp(Settings { login: Some(login), ..settings(&server) }).unwrap();
    let error = transport.send(&numbered(1)).await.unwrap_err();
    assert_eq!(kind(&error), "credentials", "{error}");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nothing() {
    for act in [Act::Cut, Act::Reply("421 4.4.2 idle for too long")] {
        let server = ScriptedServer::start().await;
        let transport = to(&server);
        transport.send(&numbered(1)).await.unwrap();
        server.once(Verb::Mail, act);
        transport.send(&numbered(2)).await.unwrap();
        assert_eq!((server.received().len(), server.connections()), (2, 2));
    }
}

#[tokio::test]
async fn connections_are_bounded_and_reused() {
    let server = ScriptedServer::start().await;
    let transport = Arc::new(to(&server));
    let sends = (0..60).map(|number| {
        let transport = Arc::clone(&transport);
        tokio::spawn(async move { transport.send(&numbered(number)).await })
    });
    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap().unwrap();
    }
    assert_eq!(server.received().len(), 60);
    assert_eq!(transport.concurrency(), 4);
    assert!(server.most_open() <= 4 && server.connections() <= 4, "{}", server.connections());
    transport.rest().await;
    assert_eq!(server.said().iter().filter(|line| *line == "QUIT").count(), server.connections());
}

#[tokio::test]
async fn a_connection_carries_a_hundred_emails_and_no_more() {
    let server = ScriptedServer::start().await;
    let transport = to(&server);
    for number in 0..101 {
        transport.send(&numbered(number)).await.unwrap();
    }
    assert_eq!((server.received().len(), server.connections()), (101, 2));
}

#[tokio::test]
async fn a_silent_server_holds_up_nobody_for_longer_than_the_deadline() {
    let server = ScriptedServer::start().await;
    server.always(Verb::Dot, Act::Silence);
    let transport = Arc::new(impatient(&server));
    let sends = (0..8).map(|number| {
        let transport = Arc::clone(&transport);
        tokio::spawn(async move { transport.send(&numbered(number)).await })
    });
    // Two rounds of four, each cut off by the deadline; ten minutes of silence would not end.
    let sends = tokio::time::timeout(PATIENCE * 10, futures_util::future::join_all(sends));
    for sent in sends.await.expect("the deadline cuts it") {
        assert_eq!(kind(&sent.unwrap().unwrap_err()), "ambiguous");
    }
    assert!(server.most_open() <= 4, "{}", server.most_open());
    server.relent();
    transport.send(&numbered(9)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_call_leaves_the_bound_and_the_connections_in_order() {
    let server = ScriptedServer::start().await;
    let transport = Arc::new(to(&server));
    server.always(Verb::Rcpt, Act::Silence);
    for number in 0..8 {
        let transport = Arc::clone(&transport);
        let call = tokio::spawn(async move { transport.send(&numbered(number)).await });
        let mut waited = 0;
        while server.said().iter().filter(|line| line.starts_with("RCPT")).count() <= number {
            tokio::time::sleep(Duration::from_millis(2)).await;
            waited += 1;
            assert!(waited < 5000, "the call never came to RCPT");
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    server.relent();
    for number in 0..8 {
        transport.send(&numbered(number)).await.unwrap();
    }
    assert_eq!(server.received().len(), 8);
}

/// Somebody between us and the server appends to the last word that is said in the clear, so
/// that it would be read as the first one that is said over TLS.
#[tokio::test]
async fn what_is_slipped_in_before_tls_is_not_believed() {
    let server = ScriptedServer::start().await;
    server.always(
        Verb::Starttls,
        Act::Reply("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 OK\r\n250 OK"),
    );
    let settings = Settings { tls: Tls::Starttls, ..settings(&server) };
    let error = Transport::smtp(settings).unwrap().send(&numbered(1)).await.unwrap_err();
    assert_eq!(kind(&error), "unreachable", "{error}");
    // It was handed to TLS, which saw through it at once; nobody waited for the deadline.
    assert!(error.to_string().contains("corrupt"), "{error}");
}

#[tokio::test]
async fn dots_at_the_beginning_of_lines_arrive() {
    let server = ScriptedServer::start().await;
    let mut email = numbered(1);
    email.message = b"Message-ID: <1@example.com>\r\n\r\n.\r\n..\r\nend\r\n".to_vec();
    to(&server).send(&email).await.unwrap();
    let data = server.received().remove(0).data;
    assert_eq!(data.trim_end(), "Message-ID: <1@example.com>\r\n\r\n.\r\n..\r\nend");
}
