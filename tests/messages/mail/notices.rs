//! What emails about notices say, in every language, and their headers.

use std::path::Path;

use periodd::mail::notice::NoticeLetter;
use periodd::mail::{Email, render_notice, samples};

use super::support::{TEMPLATES, envelope, sender};

const LANGUAGES: [&str; 6] = ["en", "de", "fr", "es", "pt", "ja"];

fn render(letter: &NoticeLetter) -> Email {
    render_notice(&TEMPLATES, letter, &envelope(), &sender()).expect("it renders")
}

/// Every sample in every language, as they are kept: `UPDATE_TEXTS=1 cargo test --test messages
/// notices` writes them again, to be read in the diff.
#[test]
fn every_language_says_it_as_it_did() {
    for language in LANGUAGES {
        let said: Vec<String> = samples::notices()
            .into_iter()
            .map(|letter| {
                let letter = NoticeLetter { locale: language.to_owned(), ..letter };
                let email = render(&letter);
                format!("Subject: {}\n\n{}", email.subject, email.text)
            })
            .collect();
        let said = said.join("\n==========\n\n");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/mail/texts/notices");
        let file = file.join(format!("{language}.txt"));
        if std::env::var_os("UPDATE_TEXTS").is_some() {
            std::fs::write(&file, &said).unwrap();
        }
        assert_eq!(said, std::fs::read_to_string(&file).unwrap_or_default(), "{language}");
    }
}

#[test]
fn every_language_has_as_many_facts_as_english() {
    let facts = |email: &Email| email.text.lines().filter(|line| line.starts_with("  ")).count();
    for letter in samples::notices() {
        let english = render(&letter);
        for language in LANGUAGES {
            let letter = NoticeLetter { locale: language.to_owned(), ..letter.clone() };
            let email = render(&letter);
            assert_eq!(facts(&email), facts(&english), "{language} {}", letter.kind);
            let html = format!("<html lang=\"{language}\">");
            assert!(email.html.contains(&html), "{language} {}", letter.kind);
        }
    }
}

#[test]
fn a_notice_has_a_link_of_its_kind_where_one_may_opt_out() {
    for letter in samples::notices() {
        let message = String::from_utf8(render(&letter).message).expect("ASCII");
        let kind = letter.kind;
        assert!(message.contains(&format!("X-Periodd-Kind: {kind}\r\n")), "{kind}");
        let link = format!("unsubscribe?t=dG9rZW4.{kind}>");
        assert_eq!(message.contains(&link), letter.opt_out, "{kind}: {message}");
    }
}

#[test]
fn where_a_period_never_ends_nothing_is_said_of_its_end() {
    let never: Vec<NoticeLetter> =
        samples::notices().into_iter().filter(|letter| letter.never_renews).collect();
    assert_eq!(never.len(), 2);
    for letter in never {
        for language in LANGUAGES {
            let letter = NoticeLetter { locale: language.to_owned(), ..letter.clone() };
            let other = NoticeLetter { at: letter.composed_at, ..letter.clone() };
            assert_eq!(render(&letter).text, render(&other).text, "{language}");
            assert_eq!(render(&letter).html, render(&other).html, "{language}");
        }
    }
}
