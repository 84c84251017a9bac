//! What the tests of emails share.

use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use periodd::mail::{Email, Envelope, Letter, Sender, Templates, render as try_render, samples};

/// Runs one of the repository's scripts that find or install a tool, and returns what it prints.
pub(crate) fn tool(script: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
    let output = Command::new(path).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// Chromium, found or installed once.
pub(crate) fn browser() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| tool("chromium"))
}

pub(crate) fn sender() -> Sender {
    Sender {
        name: Some("Example Billing".to_owned()),
        address: "billing@example.com".to_owned(),
        unsubscribe_url: Some("https://example.com/unsubscribe?t={token}".to_owned()),
        ..Sender::default()
    }
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        to: "anna@acme.example".to_owned(),
        message_id: "0f3c8a52-1f0e-4a57-9c1d-2b1f3e4d5a6b@example.com".to_owned(),
        date: "2026-05-21T12:05:00Z".parse().expect("an instant"),
        unsubscribe: Some("dG9rZW4".to_owned()),
    }
}

/// The embedded templates; tried once, which takes its time without optimisation.
pub(crate) static TEMPLATES: LazyLock<Templates> =
    LazyLock::new(|| Templates::load(None).expect("the embedded templates"));

/// The most usual email, as one message of several.
pub(crate) fn numbered(number: usize) -> Email {
    let envelope = Envelope { message_id: format!("{number}@example.com"), ..envelope() };
    try_render(&TEMPLATES, &samples::warning(), &envelope, &sender()).expect("it renders")
}

pub(crate) fn render(templates: &Templates, letter: &Letter) -> Email {
    try_render(templates, letter, &envelope(), &sender()).expect("it renders")
}
