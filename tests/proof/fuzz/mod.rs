//! Texts and bytes from others, changed at random: whatever they hold, nothing panics and no rule
//! of the target is broken.
//!
//! The inputs begin as the files of `corpus/TARGET`. One that fails is written there by whoever
//! repairs what it found, and is tried first from then on; the panic's text holds it.
//! `make fuzz SECONDS=3600` tries each target for an hour.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use periodd::billing::{Calendar, Cycle, TimeOfDay};
use periodd::config::Config;
use periodd::config::values::CronLine;
use periodd::mail::{Envelope, Letter, Sender, Templates, render, samples};
use periodd::schedule::Timetable;
use periodd::tz::TzData;

use crate::proof::{figure, size};

/// What is done with an input.
type Target = fn(&Tools, &[u8]);

/// What is tried, by its name.
const TARGETS: [(&str, Target); 6] = [
    ("configuration", configuration),
    ("cron", cron),
    ("zone", zone),
    ("message", message),
    ("period", period),
    ("template", template),
];

struct Tools {
    tz: TzData,
    templates: Templates,
    directory: tempfile::TempDir,
}

/// Any text is a configuration, or is refused with a sentence.
fn configuration(tools: &Tools, input: &[u8]) {
    let file = tools.directory.path().join("periodd.toml");
    std::fs::write(&file, input).expect("a file");
    if let Err(error) = Config::load(Some(&file), std::iter::empty()) {
        assert!(!error.to_string().is_empty());
    }
}

/// Occurrences rise, whatever the line and the zone.
fn cron(tools: &Tools, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (line, zone) = text.split_once('\n').unwrap_or((&text, "UTC"));
    let (Ok(line), Ok(zone)) = (line.parse::<CronLine>(), tools.tz.zone(zone.trim())) else {
        return;
    };
    let table = Timetable::new(&line, zone);
    let from: periodd::billing::Instant = "2026-03-01T00:00:00Z".parse().expect("an instant");
    let mut last = from;
    for next in table.after(from).take(20) {
        assert!(next > last, "{next} follows {last}");
        last = next;
    }
    assert!(!table.words().is_empty());
}

/// A name is a zone that says its own name, or none.
fn zone(tools: &Tools, input: &[u8]) {
    let name = String::from_utf8_lossy(input);
    match tools.tz.zone(&name) {
        Ok(zone) => assert!(!zone.name().is_empty()),
        Err(unknown) => assert!(!unknown.to_string().is_empty()),
    }
}

/// Names and addresses make no header, and no second recipient.
fn message(tools: &Tools, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.splitn(4, '\0').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let letter = Letter { org_name: part(), ..samples::warning() };
    let sender =
        Sender { name: Some(part()), address: "a@example.com".into(), ..Sender::default() };
    let to = part();
    let to = if to.is_empty() { "b@example.com".to_owned() } else { to };
    let envelope = Envelope {
        to: to.clone(),
        message_id: "1@example.com".to_owned(),
        date: "2026-05-21T12:05:00Z".parse().expect("an instant"),
        unsubscribe: None,
    };
    let Ok(email) = render(&tools.templates, &letter, &envelope, &sender) else { return };
    let parsed = MessageParser::default().parse(&email.message).expect("a message");
    let head = String::from_utf8_lossy(&email.message);
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let names = ["From", "To", "Subject", "Date", "Message-ID"];
    for name in names {
        let lines = head.split("\r\n").filter(|line| line.starts_with(&format!("{name}: ")));
        assert_eq!(lines.count(), 1, "{name} in {head}");
    }
    let recipients = parsed.to().map_or(0, |to| to.iter().count());
    assert_eq!(recipients, 1, "{head}");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
}

/// Ends rise, and a period holds the instant that it was asked for.
fn period(tools: &Tools, input: &[u8]) {
    let number = |at: usize| i64::from(input.get(at).copied().unwrap_or(0));
    let zones = ["UTC", "Africa/Cairo", "Asia/Beirut", "America/Havana", "Pacific/Apia"];
    let zone = tools.tz.zone(zones[usize::try_from(number(0)).unwrap_or(0) % zones.len()]);
    let name = Cycle::NAMES[usize::try_from(number(1)).unwrap_or(0) % Cycle::NAMES.len()];
    let Ok(cycle) = Cycle::new(name, number(2), number(3)) else { return };
    let time: TimeOfDay =
        format!("{:02}:{:02}", number(4) % 24, number(5) % 60).parse().expect("a time of day");
    let calendar = Calendar { zone: zone.expect("a zone"), cycle, time };
    let bytes: [u8; 8] = std::array::from_fn(|at| input.get(6 + at).copied().unwrap_or(0));
    let micros = i64::from_le_bytes(bytes) >> 4;
    let Ok(at) = periodd::billing::Instant::from_microseconds(micros) else { return };
    let Ok((period, date)) = calendar.period_at(at) else { return };
    assert!(period.start <= at && at < period.end, "{at} in {period:?}");
    let mut last = period.end;
    let end = periodd::billing::Boundary { at: last, date };
    for next in calendar.following_ends(end).unwrap_or_default() {
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

/// A template of somebody's own works, or is refused with a sentence.
fn template(tools: &Tools, input: &[u8]) {
    let directory = tools.directory.path().join("templates");
    std::fs::create_dir_all(directory.join("alert")).expect("a directory");
    std::fs::write(directory.join("alert/body.txt"), input).expect("a file");
    if let Err(refused) = periodd::mail::templates::check(Some(&directory)) {
        assert!(!refused.is_empty());
    }
}

/// What stands in the repository for a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/proof/fuzz/corpus");
    let read = |directory: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).expect("a corpus");
        entries.map(|entry| entry.expect("a file").path()).collect()
    };
    let mut files = read(&root.join(target));
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    files.iter().map(|file| std::fs::read(file).expect("an input")).collect()
}

/// An input with a few changes: bytes, stretches that go or come twice, pieces of another one, and
/// what texts stumble over.
fn changed(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    const WORDS: [&str; 14] = [
        "\r\n",
        "\0",
        "\u{202e}",
        "\u{feff}",
        "\"",
        "<>",
        "{{",
        "%}",
        "=?utf-8?q?",
        "-1",
        "99999999",
        "é",
        "😀",
        "[[",
    ];
    let mut input = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        let end = random.usize(at..=input.len());
        match random.u32(..6) {
            0 if at < input.len() => input[at] = random.u8(..),
            1 => drop(input.drain(at..end)),
            2 => {
                let twice = input[at..end].to_vec();
                input.splice(at..at, twice.into_iter().take(4096));
            }
            3 => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                let word = WORDS[random.usize(..WORDS.len())];
                input.splice(at..at, word.bytes());
            }
        }
    }
    input.truncate(1 << 16);
    input
}

#[test]
fn nothing_that_others_write_breaks_anything() {
    let tools = Tools {
        tz: TzData::newest(),
        templates: Templates::load(None).expect("the embedded templates"),
        directory: tempfile::tempdir().expect("a directory"),
    };
    let seconds = std::env::var("PERIODD_FUZZ").ok().and_then(|text| text.parse().ok());
    let seconds: u64 = seconds.unwrap_or(size(1, 3_600) as u64);
    let only = std::env::var("PERIODD_CASE").ok();
    let mut random = fastrand::Rng::new();
    let (mut inputs, mut targets) = (0_u64, 0);
    for (name, target) in TARGETS {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        targets += 1;
        let corpus = corpus(name);
        let attempt = |input: &[u8]| {
            let done = catch_unwind(AssertUnwindSafe(|| target(&tools, input)));
            let shown = input.escape_ascii();
            assert!(done.is_ok(), "PERIODD_CASE={name}; keep it in corpus/{name}: b\"{shown}\"");
        };
        for input in &corpus {
            attempt(input);
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            attempt(&changed(&corpus, &mut random));
            inputs += 1;
        }
    }
    assert!(targets > 0, "nothing was tried: PERIODD_CASE names no target: {only:?}");
    if only.is_none() {
        figure("fuzzing", &format!("{targets} targets × {seconds} s, {inputs} inputs, 0 crashes"));
    }
}
