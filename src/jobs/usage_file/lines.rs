//! The lines of a file of usage: comma-separated, with a heading.

use std::io::{self, Read};

use csv::StringRecord;
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::billing::{Instant, Quantity};
use crate::store::usage::NewUsage;

/// The columns that a heading may name; those that it must come first.
const COLUMNS: [&str; 6] = ["org", "feature", "quantity", "used_at", "user", "key"];
const REQUIRED: usize = 4;

/// Why a file is not read at all.
pub(super) enum Unusable {
    Io(io::Error),
    Heading(String),
}

/// A reader that adds up what goes through it.
pub(super) struct Digested<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Digested<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, digest: Sha256::new() }
    }
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

/// The lines of a file, in order.
pub(super) struct Lines<R> {
    reader: csv::Reader<R>,
    /// Where each of [`COLUMNS`] stands in a line.
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
}

/// A line: what it says, or why nothing can be read from it.
pub(super) struct Line {
    number: u64,
    fields: Result<[String; COLUMNS.len()], String>,
}

impl<R: Read> Lines<Digested<R>> {
    /// What all of the file adds up to, once it is read.
    pub(super) fn digest(&self) -> String {
        let sum = self.reader.get_ref().digest.clone().finalize();
        let half = sum.iter().take(16).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        format!("{half:032x}")
    }
}

impl<R: Read> Lines<R> {
    /// Reads the heading.
    pub(super) fn of(file: R) -> Result<Self, Unusable> {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .buffer_capacity(1 << 16)
            .trim(csv::Trim::All)
            .from_reader(file);
        let heading = reader.headers().map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(why) => Unusable::Io(why),
            _ => Unusable::Heading("line 1 is not text in UTF-8".to_owned()),
        })?;
        let places = places(heading).map_err(Unusable::Heading)?;
        let width = heading.len();
        Ok(Self { reader, places, width })
    }

    /// Fills a batch; false at the end of the file.
    pub(super) fn fill(&mut self, batch: &mut Vec<Line>, most: usize) -> io::Result<bool> {
        batch.clear();
        let mut record = StringRecord::new();
        while batch.len() < most {
            let number = self.reader.position().line();
            let fields = match self.reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) if record.len() == self.width => Ok(self.fields(&record)),
                Ok(true) => {
                    Err(format!("it has {} fields, and the heading {}", record.len(), self.width))
                }
                Err(error) => match error.into_kind() {
                    csv::ErrorKind::Io(why) => return Err(why),
                    csv::ErrorKind::Utf8 { .. } => Err("it is not text in UTF-8".to_owned()),
                    other => Err(format!("it cannot be read: {other:?}")),
                },
            };
            // Empty lines before this one were passed over.
            let number = record.position().map_or(number, csv::Position::line);
            batch.push(Line { number, fields });
        }
        Ok(!batch.is_empty())
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    fn fields(&self, record: &StringRecord) -> [String; COLUMNS.len()] {
        let field = |place: Option<usize>| place.and_then(|place| record.get(place));
        self.places.map(|place| field(place).unwrap_or_default().to_owned())
    }
}

fn places(heading: &StringRecord) -> Result<[Option<usize>; COLUMNS.len()], String> {
    let mut places = [None; COLUMNS.len()];
    for (place, name) in heading.iter().enumerate() {
        let name = name.trim_start_matches('\u{feff}').to_lowercase();
        let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
            let known = COLUMNS.join(", ");
            return Err(format!("line 1: there is no column `{name}`; there are {known}"));
        };
        if places[column].replace(place).is_some() {
            return Err(format!("line 1: the column `{name}` stands there twice"));
        }
    }
    match places[..REQUIRED].iter().position(Option::is_none) {
        Some(missing) => Err(format!(
            "line 1: the column `{}` is missing; a file begins with org,feature,quantity,used_at \
             and may have user and key, too",
            COLUMNS[missing]
        )),
        None => Ok(places),
    }
}

impl Line {
    /// The line's number, from 1 on.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The org that the line names.
    pub(super) fn org(&self) -> Option<&str> {
        self.fields.as_ref().ok().map(|[org, ..]| org.as_str())
    }

    /// The user that the line names, if it does.
    pub(super) fn user(&self) -> Option<&str> {
        let user = self.fields.as_ref().ok().map(|[.., user, _]| user.as_str());
        user.filter(|user| !user.is_empty())
    }

    /// What the line says; without a key of its own it gets one from the file's digest.
    pub(super) fn usage(
        &self,
        names: &Names,
        now: Instant,
        digest: &str,
    ) -> Result<NewUsage, String> {
        let [org, feature, quantity, used_at, user, key] =
            self.fields.as_ref().map_err(Clone::clone)?;
        let org_id = names.org(org).ok_or_else(|| format!("there is no org `{org}`"))?;
        let feature =
            names.feature(feature).ok_or_else(|| format!("there is no feature `{feature}`"))?;
        let quantity: Quantity = quantity.parse().map_err(|why| format!("{why}"))?;
        if quantity.is_zero() {
            return Err("a quantity of 0 says nothing".to_owned());
        }
        let used_at: Instant = used_at.parse().map_err(|why| format!("{why}"))?;
        if used_at > now {
            return Err(format!("{used_at} lies in the future"));
        }
        let user = match user.as_str() {
            "" => None,
            email => Some(
                names
                    .user(org_id, email)
                    .ok_or_else(|| format!("there is no user `{email}` in `{org}`"))?,
            ),
        };
        let key = match key.as_str() {
            "" => format!("import-{digest}-{}", self.number),
            key => key.to_owned(),
        };
        Ok(NewUsage { org: org_id, feature, quantity, user, used_at, key: Some(key) })
    }
}
