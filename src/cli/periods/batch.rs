//! `periodd periods --batch`: one question per line of stdin, one answer per line of stdout.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::{List, Schedule};
use crate::billing::{Calendar, Cycle, TimeOfDay, Zone};
use crate::cli::Failure;
use crate::cli::output::Screen;
use crate::tz::TzData;

/// Answers every line, in order, until the input ends or a line is bad.
///
/// The answers before a bad line are written: a stream has been consumed when its end is seen.
pub(super) fn run(tz: &TzData, screen: &Screen) -> Result<(), Failure> {
    let mut batch = Batch { tz, zones: HashMap::new() };
    let mut bad = None;
    screen.write(|stdout| {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            match stdin.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    let sentence = format!("cannot read standard input: {error}");
                    bad = Some(Failure::failed(sentence));
                    break;
                }
            }
            match batch.answer(&line) {
                Ok(list) => {
                    serde_json::to_writer(&mut *stdout, &list)?;
                    stdout.write_all(b"\n")?;
                }
                Err(error) => {
                    let sentence = format!("standard input, line {number}{error}");
                    bad = Some(Failure::usage(sentence));
                    break;
                }
            }
        }
        Ok(())
    })?;
    bad.map_or(Ok(()), Err)
}

/// What the lines share.
struct Batch<'a> {
    tz: &'a TzData,
    /// Zones by the name that a line wrote, because a lookup walks the tz database's index.
    zones: HashMap<String, Zone>,
}

impl Batch<'_> {
    fn answer(&mut self, line: &[u8]) -> Result<List, String> {
        if line.trim_ascii().is_empty() {
            return Err(": empty line; write one JSON object on every line".to_owned());
        }
        let question: Question<'_> = serde_json::from_slice(line).map_err(|error| place(&error))?;
        let schedule = question.schedule(self).map_err(|error| format!(": {error}"))?;
        schedule.list().map_err(|error| format!(": {error}"))
    }

    fn zone(&mut self, name: &str) -> Result<Zone, String> {
        if let Some(zone) = self.zones.get(name) {
            return Ok(zone.clone());
        }
        let zone = self.tz.zone(name).map_err(|error| error.to_string())?;
        self.zones.insert(name.to_owned(), zone.clone());
        Ok(zone)
    }
}

/// A parser's complaint, with its column. Its line is always 1 here; the caller says the real one.
fn place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let what = what.replace("expected i64", "expected a whole number");
    let what = if error.is_data() { what } else { format!("invalid JSON: {what}") };
    match error.column() {
        0 => format!(": {what}"),
        column => format!(", column {column}: {what}"),
    }
}

/// One line of the input.
#[derive(Default)]
struct Question<'a> {
    zone: Option<Cow<'a, str>>,
    cycle: Option<Cow<'a, str>>,
    at: Option<Cow<'a, str>>,
    anchor_day: Option<i64>,
    anchor_month: Option<i64>,
    anchor_time: Option<Cow<'a, str>>,
    count: Option<i64>,
}

/// The keys that a line may have.
const KEYS: [&str; 7] =
    ["zone", "cycle", "at", "anchor_day", "anchor_month", "anchor_time", "count"];

impl Question<'_> {
    fn schedule(&self, batch: &mut Batch<'_>) -> Result<Schedule, String> {
        fn present<'a>(key: &str, value: Option<&'a Cow<'_, str>>) -> Result<&'a str, String> {
            value.map(AsRef::as_ref).ok_or_else(|| format!("the key `{key}` is missing"))
        }
        let name = present("cycle", self.cycle.as_ref())?;
        let (day, month) = (self.anchor_day.unwrap_or(1), self.anchor_month.unwrap_or(1));
        let cycle = Cycle::new(name, day, month).map_err(|error| error.to_string())?;
        let at = present("at", self.at.as_ref())?;
        let at = at.parse().map_err(|error| format!("{error}"))?;
        let time = self.anchor_time.as_ref().map(|time| time.parse::<TimeOfDay>()).transpose();
        let time = time.map_err(|error| error.to_string())?.unwrap_or_default();
        let zone = batch.zone(present("zone", self.zone.as_ref())?)?;
        let calendar = Calendar { zone, cycle, time };
        Ok(Schedule { calendar, at, count: self.count.unwrap_or(1) })
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Question<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

/// Reads the keys of a line by hand: derived code either refuses every other key or lets a
/// misspelt one pass as if it had not been written.
struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Question<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the keys {}", KEYS.join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut question = Question::default();
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "zone" => question.zone = text(&mut map)?,
                "cycle" => question.cycle = text(&mut map)?,
                "at" => question.at = text(&mut map)?,
                "anchor_day" => question.anchor_day = map.next_value()?,
                "anchor_month" => question.anchor_month = map.next_value()?,
                "anchor_time" => question.anchor_time = text(&mut map)?,
                "count" => question.count = map.next_value()?,
                other => {
                    if let Some(meant) = misspelt(other) {
                        let sentence = format!("unknown key `{other}`; did you mean `{meant}`?");
                        return Err(A::Error::custom(sentence));
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(question)
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text))
}

/// The key that a foreign one was probably meant to be.
fn misspelt(key: &str) -> Option<&'static str> {
    let plain = key.to_lowercase().replace(['-', ' '], "_");
    // One slip of the finger in four letters: `cylce`, `anchorDay`, `anchor_dya`, `zones`.
    KEYS.into_iter().find(|known| strsim::osa_distance(&plain, known) <= known.len() / 4)
}

/// Text that borrows from the line where it has no escapes; `Cow` alone would always copy.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
