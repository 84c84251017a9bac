//! Against a real mail server, which shares no code with ours: aiosmtpd.

use std::time::Duration;

use mail_parser::MessageParser;
use periodd::mail::transport::{Login, Settings, Tls};
use periodd::mail::{Email, SendError, Transport};

use super::support::numbered;
use crate::smtp::{Certificates, RealServer, Security};

fn settings(port: u16, tls: Tls) -> Settings {
    Settings {
        host: "localhost".to_owned(),
        port,
        tls,
        ca_file: None,
        login: None,
        max_connections: 4,
        rate_per_second: 1000,
        timeout: Duration::from_secs(20),
    }
}

fn login(password: &str) -> Login {
    Login { username: "periodd".to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn emails_arrive_over_starttls_with_a_login_as_they_were_rendered() {
    let certificates = Certificates::of("localhost");
    let login_there = Some(("periodd", "pass word"));
    let server = RealServer::start(Security::Starttls, Some(&certificates), login_there);
    let settings = Settings {
        ca_file: Some(certificates.ca_file()),
        login: Some(login("pass word")),
        ..settings(server.port, Tls::Starttls)
    };
    let transport = Transport::smtp(settings).unwrap();
    assert_eq!(transport.greet().await, Ok(format!("localhost:{}", server.port)));
    // The second one goes over the connection of the first.
    for number in 0..2 {
        let sent = transport.send(&numbered(number)).await.unwrap();
        assert_eq!(sent.note, "250 2.0.0 kept");
    }
    transport.rest().await;
    let received = server.received();
    assert_eq!(received.len(), 2);
    for (number, received) in received.iter().enumerate() {
        let email = numbered(number);
        assert_eq!(received.from, "billing@example.com");
        assert_eq!(received.to, ["anna@acme.example"]);
        assert_eq!((received.tls, received.user.as_deref()), (true, Some("periodd")));
        assert_eq!(received.message_id(), format!("{number}@example.com"));
        let message = MessageParser::default().parse(received.data.as_bytes()).unwrap();
        assert_eq!(message.subject(), Some(email.subject.as_str()));
        let text = message.body_text(0).unwrap().replace("\r\n", "\n");
        assert_eq!(text.trim_end(), email.text.trim_end());
        let html = message.body_html(0).unwrap().replace("\r\n", "\n");
        assert_eq!(html.trim_end(), email.html.trim_end());
    }
}

#[tokio::test]
async fn emails_arrive_over_tls_from_the_first_byte() {
    let certificates = Certificates::of("localhost");
    let server = RealServer::start(Security::Tls, Some(&certificates), None);
    let settings =
        Settings { ca_file: Some(certificates.ca_file()), ..settings(server.port, Tls::Tls) };
    Transport::smtp(settings).unwrap().send(&numbered(1)).await.unwrap();
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_the_configurations_fault_and_is_not_repeated_to_anybody() {
    let certificates = Certificates::of("localhost");
    let server = RealServer::start(Security::Starttls, Some(&certificates), Some(("periodd", "x")));
    let settings = Settings {
        ca_file: Some(certificates.ca_file()),
        login: Some(login("hunter2")),
        ..settings(server.port, Tls::Starttls)
    };
    assert!(!format!("{settings:?}").contains("hunter2"));
    let transport = Transport::smtp(settings.clone()).unwrap();
    let error = transport.send(&numbered(1)).await.unwrap_err();
    assert_eq!(transport.greet().await, Err(error.clone()));
    let SendError::Credentials(sentence) = error else { panic!("{error:?}") };
    assert!(sentence.contains("does not accept the login: 535"), "{sentence}");
    assert!(!sentence.contains("hunter2"), "{sentence}");
    let anonymous = Transport::smtp(Settings { login: None, ..settings }).unwrap();
    let error = anonymous.send(&numbered(1)).await.unwrap_err();
    assert!(matches!(error, SendError::Credentials(_)), "530: {error:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_certificate_for_somebody_else_or_from_nobody_known_is_refused() {
    for security in [Security::Starttls, Security::Tls] {
        let tls = if security == Security::Tls { Tls::Tls } else { Tls::Starttls };
        let certificates = Certificates::of("mail.example.com");
        let server = RealServer::start(security, Some(&certificates), None);
        let mismatch =
            Settings { ca_file: Some(certificates.ca_file()), ..settings(server.port, tls) };
        let unknown = settings(server.port, tls);
        for (settings, word) in [(mismatch, "not valid for name"), (unknown, "UnknownIssuer")] {
            let transport = Transport::smtp(settings).unwrap();
            let error = transport.send(&numbered(1)).await.unwrap_err();
            let SendError::Unreachable(sentence) = error else { panic!("{error:?}") };
            assert!(sentence.contains(word), "{sentence}");
        }
        assert!(server.received().is_empty());
    }
}

#[tokio::test]
async fn starttls_is_required_and_never_merely_tried() {
    let server = RealServer::open();
    let transport = Transport::smtp(settings(server.port, Tls::Starttls)).unwrap();
    let error = transport.send(&numbered(1)).await.unwrap_err();
    let SendError::Unreachable(sentence) = error else { panic!("{error:?}") };
    assert!(sentence.contains("STARTTLS"), "{sentence}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn nothing_travels_in_the_clear_beyond_this_machine() {
    let settings = Settings { host: "mail.example.com".to_owned(), ..settings(25, Tls::None) };
    let error = Transport::smtp(settings).unwrap_err();
    assert!(error.to_string().contains("in the clear"), "{error}");
}

#[tokio::test]
async fn a_file_without_authorities_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n"] {
        std::fs::write(file.path(), text).unwrap();
        let ca_file = Some(file.path().to_owned());
        let error = Transport::smtp(Settings { ca_file, ..settings(25, Tls::Tls) }).unwrap_err();
        let begin = format!("the certificates in {} cannot be used", file.path().display());
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_nobodys_fault_and_emails_arrive_when_it_is_back() {
    let mut server = RealServer::open();
    let transport = Transport::smtp(settings(server.port, Tls::None)).unwrap();
    transport.send(&numbered(1)).await.unwrap();
    // The connection is still there, and its server is gone.
    server.stop();
    let error = transport.send(&numbered(2)).await.unwrap_err();
    let SendError::Unreachable(sentence) = error else { panic!("{error:?}") };
    let begin = format!("localhost:{} cannot be reached", server.port);
    assert!(sentence.starts_with(&begin), "{sentence}");
    server.start_again();
    transport.send(&numbered(2)).await.unwrap();
    let received = server.received();
    let ids: Vec<_> = received.iter().map(crate::smtp::Received::message_id).collect();
    assert_eq!(ids, ["1@example.com", "2@example.com"]);
}

#[tokio::test]
async fn an_unknown_mailbox_is_refused_and_the_others_get_their_emails() {
    let server = RealServer::open();
    let transport = Transport::smtp(settings(server.port, Tls::None)).unwrap();
    for number in 0..6 {
        let mut email = numbered(number);
        if number % 2 == 1 {
            "unknown@acme.example".clone_into(&mut email.to);
        }
        let result = transport.send(&email).await;
        assert_eq!(result.is_ok(), number % 2 == 0, "{result:?}");
        if let Err(error) = result {
            assert!(matches!(error, SendError::Refused(_)), "{error:?}");
        }
    }
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_kept_under_tls_either() {
    let certificates = Certificates::of("localhost");
    for (security, tls) in [(Security::Starttls, Tls::Starttls), (Security::Tls, Tls::Tls)] {
        let server = RealServer::start(security, Some(&certificates), None);
        let settings =
            Settings { ca_file: Some(certificates.ca_file()), ..settings(server.port, tls) };
        let transport = Transport::smtp(settings).unwrap();
        let flooded = Email { to: "flood@acme.example".to_owned(), ..numbered(1) };
        let error = transport.send(&flooded).await.unwrap_err();
        assert!(matches!(error, SendError::Temporary(_)), "{error:?}");
        assert!(error.to_string().contains("more than 64 KiB at once"), "{tls:?}: {error}");
        transport.send(&numbered(2)).await.unwrap();
        assert_eq!(server.received().len(), 1);
    }
}
