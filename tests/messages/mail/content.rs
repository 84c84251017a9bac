//! What emails say: the text of each kind, and that the HTML part says the same.

use std::collections::BTreeSet;
use std::path::Path;

use periodd::billing::Quantity;
use periodd::mail::{Email, Letter, render as try_render, samples};

use super::support::{TEMPLATES, envelope, render};

/// What the samples are about, in their order.
const NAMES: [&str; 11] = [
    "80 and enough",
    "90 by a limit change",
    "90 of included",
    "90 of packs too",
    "100 of included with packs left",
    "100 and over",
    "100 with an offer",
    "100 of nothing",
    "90",
    "100 of a level",
    "90 of a level",
];

/// Subject and text of every kind of letter, as they are kept beside this file. After a change
/// that is meant, `UPDATE_TEXTS=1 cargo test --test messages content` writes them again, to be read
/// in the diff.
#[test]
fn texts_are_as_they_were() {
    let letters = samples::letters();
    assert_eq!(letters.len(), NAMES.len());
    for (name, (letter, _)) in NAMES.iter().zip(letters) {
        is_as_kept(&name.replace(' ', "-"), &render(&TEMPLATES, &letter));
    }
}

fn is_as_kept(name: &str, email: &Email) {
    let said = format!("Subject: {}\n\n{}", email.subject, email.text);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages/mail/texts");
    let file = file.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_TEXTS").is_some() {
        std::fs::write(&file, &said).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(said, kept, "{name}");
}

/// The languages that periodd comes with, beside English.
const LANGUAGES: [&str; 5] = ["de", "fr", "es", "pt", "ja"];

/// Four letters of each language, which between them have most of its sentences, as they are kept.
#[test]
fn every_language_says_it_as_it_did() {
    let letters = samples::letters();
    for language in LANGUAGES {
        for (place, name) in [(3, "packs"), (5, "over"), (8, "90"), (10, "level")] {
            let letter = Letter { locale: language.to_owned(), ..letters[place].0.clone() };
            is_as_kept(&format!("{language}-{name}"), &render(&TEMPLATES, &letter));
        }
    }
}

#[test]
fn every_language_says_all_that_english_says() {
    for (name, (letter, _)) in NAMES.iter().zip(samples::letters()) {
        let lines =
            |email: &Email| email.text.lines().filter(|line| line.starts_with("  ")).count();
        let english = render(&TEMPLATES, &letter);
        for language in LANGUAGES {
            let letter = Letter { locale: format!("{language}-XX"), ..letter.clone() };
            let email = render(&TEMPLATES, &letter);
            let text = email.text.replace("https://example.com/unsubscribe?t=dG9rZW4", "");
            assert_eq!(lines(&email), lines(&english), "{language} {name}: {text}");
            assert!(email.html.contains(&format!("<html lang=\"{language}\">")), "{language}");
            let joined = |text: &str| text.replace("\u{a0}%", "%");
            let (text, mut html) = (facts(&joined(&text)), facts(&joined(&shown(&email.html))));
            html.retain(|fact| !fact.contains('%'));
            let text: BTreeSet<_> = text.into_iter().filter(|fact| !fact.contains('%')).collect();
            assert_eq!(text, html, "{language} {name}");
            for word in ["minutes", "Left in", "used", "Renews", "You "] {
                let is_own = language == "fr" && word == "minutes";
                let label = "Minutes transcribed";
                let text = email.text.replace(label, "").replace("minutes-", "");
                assert!(is_own || !text.contains(word), "{language} {name}: {word} in {text}");
            }
        }
    }
}

/// A language without templates reads English words with English numbers and dates.
#[test]
fn nobody_gets_two_languages_in_one_email() {
    let polish = Letter { locale: "pl-PL".to_owned(), ..samples::warning() };
    assert_eq!(render(&TEMPLATES, &polish).text, render(&TEMPLATES, &samples::warning()).text);
    let american = Letter { locale: "en-US".to_owned(), ..samples::warning() };
    assert!(render(&TEMPLATES, &american).text.contains("Monday, June 1, 2026"));
}

#[test]
fn the_vendor_has_a_name_a_button_and_links() {
    let letter = samples::warning();
    let letter = Letter { org_slug: "a&b".to_owned(), label: Some("Audio".to_owned()), ..letter };
    let email = try_render(&TEMPLATES, &letter, &envelope(), &samples::sender()).unwrap();
    let buy = "https://example.com/a%26b/packs?pack=minutes-300";
    assert!(email.text.starts_with("Example\n") && email.text.contains(buy), "{}", email.text);
    assert!(email.subject.starts_with("Audio: 95% used"), "{}", email.subject);
    let html = email.html.replace("&#x2f;", "/");
    assert!(html.contains(&format!("href=\"{buy}\"")), "{html}");
    assert!(html.contains("src=\"https://example.com/logo.png\" alt=\"Example\""), "{html}");
    assert!(html.contains("background:#0b6b53") && html.contains("color:#ffffff"), "{html}");
    assert!(html.contains("<h1"), "a heading");
}

/// The words of a text that carry facts: those with a digit in them.
fn facts(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || "<>(),;|。".contains(c));
    let words = words.map(|word| word.trim_matches(['.', ':', ' ']));
    words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).map(str::to_owned).collect()
}

/// What a browser shows of an HTML part, roughly: no head, no tags.
fn shown(html: &str) -> String {
    let body = &html[html.find("<body").unwrap()..];
    let mut text = String::new();
    for part in body.split('<') {
        let rest = part.split_once('>').map_or(part, |(_, rest)| rest);
        text.push_str(rest);
        text.push(' ');
    }
    text.replace("&nbsp;", " ").replace("&amp;", "&").replace("&#x2f;", "/")
}

#[test]
fn both_parts_say_the_same() {
    for (name, (letter, _)) in NAMES.iter().zip(samples::letters()) {
        let email = render(&TEMPLATES, &letter);
        let text = email.text.replace("https://example.com/unsubscribe?t=dG9rZW4", "");
        let (text, mut html) = (facts(&text), facts(&shown(&email.html)));
        // Beside the text's facts the HTML part has one of its own, the figure at its head.
        html.retain(|fact| !fact.ends_with('%'));
        let text: BTreeSet<_> = text.into_iter().filter(|fact| !fact.ends_with('%')).collect();
        assert_eq!(text, html, "{name}");
    }
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    for (letter, _) in samples::letters() {
        let html = render(&TEMPLATES, &letter).html;
        for word in ["src=", "url(", "@import", "<link", "<script", "<img", "http:"] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.len() < 30_000, "Gmail cuts off after 102 KB: {}", html.len());
    }
}

#[test]
fn numbers_and_dates_are_the_readers_own() {
    let letter = Letter {
        locale: "de-AT".to_owned(),
        used: "12345.5".parse().unwrap(),
        included: Quantity::units(13_000),
        allowance: Quantity::units(13_000),
        ..samples::warning()
    };
    let text = render(&TEMPLATES, &letter).text;
    for fact in ["12\u{a0}345,5 von 13\u{a0}000", "Montag, 1. Juni 2026, 00:00 (Europe/Berlin)"] {
        let text = text.replace(['\u{202f}', '.'], "\u{a0}");
        assert!(text.contains(&fact.replace('.', "\u{a0}")), "{fact}: {text}");
    }
}

#[test]
fn a_letter_survives_its_journey_through_json() {
    for (letter, _) in samples::letters() {
        let json = serde_json::to_string(&letter).unwrap();
        assert_eq!(serde_json::from_str::<Letter>(&json).unwrap(), letter, "{json}");
    }
    let json = serde_json::to_value(samples::warning()).unwrap();
    assert_eq!(json["period_end"], "2026-06-01T00:00:00+02:00");
    assert_eq!(json["used"], 570);
    assert_eq!(json["forecast"]["used_up_on"], "2026-05-23");
}
