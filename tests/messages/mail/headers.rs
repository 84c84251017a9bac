//! The outside of an email, read by a parser that shares no code with its writer.

use mail_parser::{HeaderValue, Message, MessageParser, MimeHeaders};
use periodd::mail::{Email, Envelope, Letter, RenderError, Sender, Templates, render, samples};

use super::support::{TEMPLATES, envelope, sender};

fn rendered(letter: &Letter) -> Vec<u8> {
    render(&TEMPLATES, letter, &envelope(), &sender()).unwrap().message
}

fn parsed(bytes: &[u8]) -> Message<'_> {
    MessageParser::default().parse(bytes).expect("a message")
}

fn raw<'a>(bytes: &'a [u8], name: &str) -> Vec<&'a str> {
    let text = std::str::from_utf8(bytes).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n");
    lines.filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect()
}

#[test]
fn every_header_is_there_and_says_what_it_should() {
    let bytes = rendered(&samples::warning());
    let message = parsed(&bytes);
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("billing@example.com"));
    assert_eq!(message.from().unwrap().first().unwrap().name(), Some("Example Billing"));
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("anna@acme.example"));
    assert_eq!(message.message_id(), Some("0f3c8a52-1f0e-4a57-9c1d-2b1f3e4d5a6b@example.com"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-05-21T12:05:00Z");
    assert_eq!(raw(&bytes, "Date"), ["Thu, 21 May 2026 12:05:00 +0000"]);
    assert_eq!(raw(&bytes, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!(raw(&bytes, "X-Periodd-Threshold"), ["90"]);
    assert_eq!(raw(&bytes, "MIME-Version"), ["1.0"]);
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("alternative")));
    assert_eq!((message.text_body_count(), message.html_body_count()), (1, 1));
    let html = message.body_html(0).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{html}");
    // The plain part comes first: programs show the last one that they understand.
    assert_eq!(message.parts[1].content_type().unwrap().subtype(), Some("plain"));
    assert_eq!(message.parts[2].content_type().unwrap().subtype(), Some("html"));
}

#[test]
fn lines_are_short_ascii_and_end_in_crlf() {
    for (letter, _) in samples::letters() {
        let letter = Letter { org_name: "Überfluß & Söhne 株式会社".to_owned(), ..letter };
        let bytes = rendered(&letter);
        assert!(bytes.is_ascii());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.split("\r\n").all(|line| line.len() < 998 && !line.contains(['\r', '\n'])));
    }
}

#[test]
fn the_same_letter_is_the_same_email() {
    let first = render(&TEMPLATES, &samples::warning(), &envelope(), &sender()).unwrap();
    let again = Templates::load(None).unwrap();
    assert_eq!(render(&again, &samples::warning(), &envelope(), &sender()).unwrap(), first);
    let other = Envelope { message_id: "another@example.com".to_owned(), ..envelope() };
    let other = render(&TEMPLATES, &samples::warning(), &other, &sender()).unwrap();
    let boundary = |email: &Email| {
        let message = parsed(&email.message);
        message.content_type().unwrap().attribute("boundary").unwrap().to_owned()
    };
    assert!(boundary(&first).starts_with("periodd-"));
    assert_ne!(boundary(&first), boundary(&other));
    assert_ne!(other.file_stem, first.file_stem);
}

#[test]
fn warnings_can_be_ended_with_one_click_and_the_limit_cannot() {
    let of = |threshold, sender: &Sender, envelope: &Envelope| {
        let letter = Letter { threshold, ..samples::warning() };
        render(&TEMPLATES, &letter, envelope, sender).unwrap()
    };
    let url = "https://example.com/unsubscribe?t=dG9rZW4";
    for threshold in [50, 80, 90] {
        let email = of(threshold, &sender(), &envelope());
        assert_eq!(raw(&email.message, "List-Unsubscribe"), [format!("<{url}>")]);
        let post = raw(&email.message, "List-Unsubscribe-Post");
        assert_eq!(post, ["List-Unsubscribe=One-Click"], "RFC 8058 fixes the value");
        assert!(email.text.contains(url) && email.html.contains("t=dG9rZW4\""));
    }
    let no_url = Sender { unsubscribe_url: None, ..sender() };
    let no_token = Envelope { unsubscribe: None, ..envelope() };
    for email in [
        of(100, &sender(), &envelope()),
        of(90, &no_url, &envelope()),
        of(90, &sender(), &no_token),
    ] {
        assert!(raw(&email.message, "List-Unsubscribe").is_empty());
        assert!(raw(&email.message, "List-Unsubscribe-Post").is_empty());
        assert!(!email.text.contains("No more warnings") && !email.html.contains("No more warn"));
    }
}

/// Names that a customer may choose, each with what its reader should see of it.
const HOSTILE: [(&str, &str); 10] = [
    ("Évil\r\nBcc: x@y", "Évil Bcc: x@y"),
    ("Évil\r\n\r\nNew body", "Évil New body"),
    ("Evil\nSubject: other", "Evil Subject: other"),
    ("Evil\u{2028}Bcc: x@y\u{85}\u{0}.", "Evil Bcc: x@y ."),
    ("p\u{ad}a\u{200b}y\u{feff}p\u{61c}al\u{e0041}", "paypal"),
    ("Z\u{341}\u{342}\u{343}\u{344}\u{345}algo", "Z\u{341}\u{342}\u{343}algo"),
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("\"><img src=x onerror=y>", "\"><img src=x onerror=y>"),
    ("=?utf-8?Q?Bcc:_x=40y?=", "= ?utf-8?Q?Bcc:_x=40y?="),
    ("{{ 7 * 6 }}{% include 'x' %}", "{{ 7 * 6 }}{% include 'x' %}"),
];

#[test]
fn a_name_makes_no_header_and_no_markup() {
    for (name, shown) in HOSTILE {
        let everywhere = name.to_owned();
        let letter = Letter {
            org_name: everywhere.clone(),
            org_slug: everywhere.clone(),
            feature: everywhere.clone(),
            unit: everywhere.clone(),
            time_zone: everywhere.clone(),
            locale: everywhere.clone(),
            template: Some(everywhere),
            ..samples::warning()
        };
        let bytes = rendered(&letter);
        let message = parsed(&bytes);
        assert!(
            message.subject().unwrap().contains(&format!("({shown})")),
            "{:?}",
            message.subject()
        );
        let names: Vec<_> = message.headers().iter().map(mail_parser::Header::name).collect();
        let known = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Periodd-Threshold",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Content-Type",
        ];
        assert_eq!(names, known, "{name:?}");
        assert_eq!(message.parts.len(), 3, "one text, one HTML, and what holds them");
        let html = message.body_html(0).unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
}

#[test]
fn directions_of_writing_end_with_the_name() {
    let letter = Letter { org_name: "abc\u{202e}def".to_owned(), ..samples::warning() };
    let email = render(&TEMPLATES, &letter, &envelope(), &sender()).unwrap();
    assert!(!email.subject.contains('\u{202e}') && !email.text.contains('\u{202e}'));
}

#[test]
fn long_names_are_cut_and_foreign_ones_arrive() {
    for name in ["é".repeat(5000), "x".repeat(5000), "株式会社".repeat(30)] {
        let bytes = rendered(&Letter { org_name: name.clone(), ..samples::warning() });
        let message = parsed(&bytes);
        let subject = message.subject().unwrap();
        let begin: String = name.chars().take(80).collect();
        assert!(subject.contains(&format!("({begin}…)")), "{subject}");
    }
    let sender = Sender { name: Some("Bücher\r\nBcc: x@y".to_owned()), ..sender() };
    let email = render(&TEMPLATES, &samples::warning(), &envelope(), &sender);
    let email = email.unwrap();
    let message = parsed(&email.message);
    assert_eq!(message.from().unwrap().first().unwrap().name(), Some("Bücher Bcc: x@y"));
    assert!(matches!(message.header("Bcc"), None | Some(HeaderValue::Empty)));
}

#[test]
fn what_cannot_stand_in_an_email_is_refused() {
    let fails = |envelope: Envelope, sender: Sender| {
        let error = render(&TEMPLATES, &samples::warning(), &envelope, &sender).unwrap_err();
        let sentence = error.to_string();
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
        (sentence, error)
    };
    let (_, error) = fails(Envelope { to: "a@b,c@d".to_owned(), ..envelope() }, sender());
    assert!(matches!(error, RenderError::Address(_)));
    for id in ["", "a", "a b@c", "a@b>\r\nBcc: x@y", "a@b@c", "<a@b>"] {
        let (sentence, _) = fails(Envelope { message_id: id.to_owned(), ..envelope() }, sender());
        assert!(sentence.contains("invalid Message-ID"), "{sentence}");
    }
    let token = Some("a>\r\nBcc: x".to_owned());
    let (sentence, _) = fails(Envelope { unsubscribe: token, ..envelope() }, sender());
    assert!(sentence.contains("token"), "{sentence}");
    let url = Some("https://example.com/\r\nBcc:".to_owned());
    let (sentence, _) = fails(envelope(), Sender { unsubscribe_url: url, ..sender() });
    assert!(sentence.contains("invalid unsubscribe URL"), "{sentence}");
    let date = "1969-12-31T23:59:59Z".parse().unwrap();
    let (sentence, _) = fails(Envelope { date, ..envelope() }, sender());
    assert!(sentence.contains("Date"), "{sentence}");
}
