//! The lines of a file of usage, and what each of them says.

use std::collections::HashMap;
use std::io::{self, Read};

use csv::StringRecord;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::heading::{Column, Naming, Places};
use super::names::{Names, Org};
use super::text::{self, Opened, Text};
use crate::billing::instant::InvalidInstant;
use crate::billing::usage::{Key, check_time};
use crate::billing::{Instant, LocalDate, Quantity};
use crate::store::usage::NewUsage;

/// Why a file is not read at all.
pub(super) enum Unusable {
    Io(io::Error),
    Heading(String),
}

/// The lines of a file, in order.
pub(super) struct Lines<R> {
    reader: csv::Reader<Text<R>>,
    separator: u8,
    skipped: u64,
    places: Places,
    width: usize,
}

/// A line: what it says, or why nothing can be read from it.
pub(super) struct Line {
    number: u64,
    fields: Result<[String; Column::ALL.len()], String>,
    /// A comma may begin the decimals: it does not separate the fields.
    has_free_comma: bool,
}

impl<R: Read> Lines<R> {
    /// Reads the heading.
    pub(super) fn of(file: R, naming: &Naming) -> Result<Self, Unusable> {
        let Opened { text, separator, lines_before } = text::open(file).map_err(Unusable::Io)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(1 << 16)
            .from_reader(text);
        let line = lines_before + 1;
        let mut heading = StringRecord::new();
        reader.read_record(&mut heading).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(why) => Unusable::Io(why),
            _ => Unusable::Heading(format!("line {line} is not UTF-8 text")),
        })?;
        let places = naming.places(&heading);
        let places = places.map_err(|why| Unusable::Heading(format!("line {line}: {why}")))?;
        let (skipped, width) = (lines_before, heading.len());
        Ok(Self { reader, separator, skipped, places, width })
    }

    /// The columns that are passed over.
    pub(super) fn ignored(&self) -> &[String] {
        &self.places.ignored
    }

    /// Fills a batch; false at the end of the file.
    pub(super) fn fill(&mut self, batch: &mut Vec<Line>, most: usize) -> io::Result<bool> {
        batch.clear();
        let mut record = StringRecord::new();
        while batch.len() < most {
            let read = self.reader.read_record(&mut record);
            // The line after this one, but for a quote that is never closed.
            let after = self.skipped + self.reader.position().line();
            let (number, fields) = match read {
                Ok(false) => break,
                Ok(true) if record.iter().all(|field| field.trim().is_empty()) => continue,
                Ok(true) => {
                    let inside = record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n');
                    let begun = after.saturating_sub(inside.count() as u64);
                    if self.is_cut_off(&record) {
                        let why = "a quotation mark is not closed".to_owned();
                        (begun, Err(why))
                    } else {
                        (begun - 1, self.fields(&record))
                    }
                }
                Err(error) => match error.into_kind() {
                    csv::ErrorKind::Io(why) => return Err(why),
                    csv::ErrorKind::Utf8 { .. } => {
                        (after - 1, Err("it is not UTF-8 text".to_owned()))
                    }
                    other => (after - 1, Err(format!("it cannot be read: {other:?}"))),
                },
            };
            batch.push(Line { number, fields, has_free_comma: self.separator != b',' });
        }
        Ok(!batch.is_empty())
    }

    /// Did the file end within a quoted field? Its last line feed is in that field then.
    fn is_cut_off(&self, record: &StringRecord) -> bool {
        let has_ended = self.reader.get_ref().get_ref().1.get_ref().has_ended();
        has_ended && record.iter().next_back().is_some_and(|field| field.ends_with('\n'))
    }

    fn fields(&self, record: &StringRecord) -> Result<[String; Column::ALL.len()], String> {
        let beyond = record.iter().skip(self.width).any(|field| !field.trim().is_empty());
        if record.len() < self.width || beyond {
            let (fields, width) = (record.len(), self.width);
            return Err(format!("it has {fields} fields, but the header has {width}"));
        }
        let field = |place: usize| record.get(place).unwrap_or_default().trim().to_owned();
        Ok(self.places.of.map(|place| place.map(field).unwrap_or_default()))
    }
}

/// How lines are understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Nothing is used after this.
    pub(super) now: Instant,
    /// A negative quantity is a correction, in whatever line it stands.
    pub(super) takes_negative: bool,
}

/// What a line says.
pub(super) struct Said {
    /// Without its key.
    usage: NewUsage,
    key: Option<Key>,
    /// A digest of everything but the key, as it is written: the same in every spelling.
    contents: u128,
}

impl Line {
    /// The line's number, from 1 on.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The org that the line names, and the user, if it does.
    pub(super) fn named(&self) -> Option<(&str, Option<&str>)> {
        let [org, .., user, _, _] = self.fields.as_ref().ok()?;
        Some((org.as_str(), Some(user.as_str()).filter(|user| !user.is_empty())))
    }

    /// What the line says.
    pub(super) fn said(&self, names: &Names, rules: Rules) -> Result<Said, String> {
        let [org, feature, quantity, used_at, user, key, correction] =
            self.fields.as_ref().map_err(Clone::clone)?;
        let found = names.org(org).ok_or_else(|| format!("unknown org `{org}`"))?;
        let feature =
            names.feature(feature).ok_or_else(|| format!("unknown feature `{feature}`"))?;
        let quantity = self.quantity(quantity, is_yes(correction)?, rules)?;
        let used = Used::read(used_at)?;
        let at = used.at(found, rules.now)?;
        check_time(at, rules.now).map_err(|why| why.to_string())?;
        let user = match user.as_str() {
            "" => None,
            email => Some(
                names
                    .user(found.id, email)
                    .ok_or_else(|| format!("unknown user `{email}` in `{org}`"))?,
            ),
        };
        let key = match key.as_str() {
            "" => None,
            key if is_shortened(key) => {
                return Err(format!(
                    "the key `{key}` looks like a number that a spreadsheet has shortened; format \
                     the column as text"
                ));
            }
            key => Some(key.parse::<Key>().map_err(|why| why.to_string())?),
        };
        let contents = digest(&[
            found.id.as_bytes(),
            feature.as_bytes(),
            &quantity.millionths().to_be_bytes(),
            used.to_string().as_bytes(),
            user.as_ref().map_or(&[][..], |user| user.as_bytes()),
        ]);
        let usage = NewUsage { org: found.id, feature, quantity, user, used_at: at, key: None };
        Ok(Said { usage, key, contents })
    }

    fn quantity(&self, text: &str, is_correction: bool, rules: Rules) -> Result<Quantity, String> {
        let text = match text.split_once(',') {
            Some((whole, decimals)) if self.has_free_comma => match decimals.len() {
                3 => {
                    return Err(format!(
                        "quantity {text} may mean {whole}.{decimals} or {whole}{decimals}; write \
                         one of them"
                    ));
                }
                _ => format!("{whole}.{decimals}"),
            },
            _ => text.to_owned(),
        };
        let quantity: Quantity = text.parse().map_err(|why| format!("{why}"))?;
        match (is_correction, quantity.is_negative()) {
            _ if quantity.is_zero() => Err("quantity must not be 0".to_owned()),
            (true, false) => Quantity::ZERO.minus(quantity).map_err(|why| why.to_string()),
            (false, true) if !rules.takes_negative => Err(format!(
                "quantity {quantity} is negative; mark corrections in a column `correction`, or \
                 accept them all with --correction"
            )),
            _ => Ok(quantity),
        }
    }
}

/// When something was used, as a line says it.
enum Used {
    At(Instant),
    /// Some time on that day.
    On(LocalDate),
}

/// Characters of a date: `2026-05-01`.
const DATE: usize = 10;

impl Used {
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if text.len() == DATE
            && let Ok(date) = text.parse()
        {
            return Ok(Self::On(date));
        }
        if text.len() >= DATE && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "used_at {text} looks like a Unix time; write it as RFC 3339, such as \
                 2026-05-01T00:00:00Z"
            ));
        }
        let invalid = InvalidInstant { text: text.to_owned() };
        Err(format!("{invalid}, or as a date such as 2026-05-01"))
    }

    /// A date is its midday in the org's zone, and today's is now until then.
    fn at(&self, org: &Org, now: Instant) -> Result<Instant, String> {
        match self {
            Self::At(at) => Ok(*at),
            Self::On(date) => {
                let zone = org.zone.as_ref().map_err(Clone::clone)?;
                let midday = zone.midday(*date).map_err(|why| why.to_string())?;
                Ok(if zone.date(now) == *date { midday.min(now) } else { midday })
            }
        }
    }
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(at) => write!(f, "{at}"),
            Self::On(date) => write!(f, "{date}"),
        }
    }
}

/// Does a field of the column `correction` say yes?
fn is_yes(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "yes" | "y" | "true" | "t" | "1" | "x" => Ok(true),
        "" | "no" | "n" | "false" | "f" | "0" => Ok(false),
        _ => Err(format!("correction `{text}` is neither yes nor no")),
    }
}

/// Is it what spreadsheets make of long numbers: `4.68769E+17`?
fn is_shortened(key: &str) -> bool {
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
    };
    let parts = key.split_once("E+").or_else(|| key.split_once("e+"));
    parts.is_some_and(|(mantissa, exponent)| {
        is_number(mantissa)
            && !exponent.is_empty()
            && exponent.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A digest of some parts, each of which has an end.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    sum.finalize().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// Usage of a line, with its key.
pub(super) struct Keyed {
    pub(super) line: u64,
    pub(super) usage: NewUsage,
    /// The file names the key; it could have been used before for something else.
    pub(super) is_named: bool,
}

/// What the lines of a file have said so far.
#[derive(Default)]
pub(super) struct Seen {
    /// Keys that lines name, each with the first line and what that said.
    keys: HashMap<u128, (u64, u128)>,
    /// How many lines without a key have said the same.
    lines: HashMap<u128, u32>,
}

impl Seen {
    /// Gives a line its key: its own, or one that is made of what it says and of how many lines
    /// before it say the same. So it is known again in whatever place of whatever file it stands.
    ///
    /// # Errors
    /// A sentence where another line names the same key for something else.
    pub(super) fn keyed(&mut self, said: Said, line: u64) -> Result<Keyed, String> {
        let Said { usage, key, contents } = said;
        let Some(key) = key else {
            let count = self.lines.entry(contents).or_default();
            *count += 1;
            let key = Some(format!("periodd:line:{contents:032x}:{count}"));
            return Ok(Keyed { line, usage: NewUsage { key, ..usage }, is_named: false });
        };
        let place = digest(&[usage.org.as_bytes(), key.as_str().as_bytes()]);
        let (first, before) = self.keys.entry(place).or_insert((line, contents));
        if *before != contents {
            return Err(format!(
                "the key `{key}` is in line {first}, too, and with other usage; each key stands \
                 for one use"
            ));
        }
        Ok(Keyed { line, usage: NewUsage { key: Some(key.to_string()), ..usage }, is_named: true })
    }
}

/// The org and the key of usage whose key a line names.
pub(super) fn place_of(keyed: &Keyed) -> Option<(Uuid, &str)> {
    Some((keyed.usage.org, keyed.usage.key.as_deref()?)).filter(|_| keyed.is_named)
}
