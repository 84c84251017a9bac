//! What single keys can hold: text that means something, checked when it is read.
//!
//! Every kind is a type with a `FromStr` whose error is a whole sentence. Its name as a JSON
//! Schema `format` is what ties the schema of a key to that check.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::OnceLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::billing::Quantity;
use crate::mail::address;
use crate::tzdata::TzData;

use super::duration::{Keep, Wait};

/// Gives kinds of text their `Deserialize` and their schema, and lists them by format.
macro_rules! kinds {
    ($($kind:ident = $format:literal, $types:expr;)*) => {
        $(
            impl<'de> Deserialize<'de> for $kind {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    String::deserialize(from)?.parse().map_err(D::Error::custom)
                }
            }

            impl JsonSchema for $kind {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($kind).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": $types, "format": $format })
                }
            }
        )*

        /// Is `text` a value of that format? Formats that are none of ours accept everything.
        pub(super) fn check_format(format: &str, text: &str) -> Result<(), String> {
            match format {
                $($format => text.parse::<$kind>().map(drop),)*
                "database-url" => check_database_url(text),
                "https-url" => check_https_url(text),
                "template-folder" => check_folder(text),
                "socket-address" => text.parse::<SocketAddr>().map(drop).map_err(|_| format!(
                    "`{text}` is no address to listen on; write IP:PORT, such as 127.0.0.1:9464"
                )),
                _ => Ok(()),
            }
        }
    };
}

kinds! {
    CronLine = "cron", "string";
    ZoneName = "time-zone", "string";
    Wait = "duration", "string";
    Keep = "calendar-duration", "string";
    Mailbox = "mailbox", "string";
    Identifier = "sql-identifier", "string";
    Currency = "currency", "string";
    Amount = "quantity", ["integer", "string"];
    Limit = "limit", ["integer", "string"];
}

/// When a job runs: a cron line with the seconds first; five fields mean second 0.
///
/// Day of month and weekday are alternatives when both are given, as in every Unix cron.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CronLine {
    text: String,
    cron: Cron,
}

impl CronLine {
    /// The line as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed line, which knows its occurrences and its words.
    #[must_use]
    pub fn cron(&self) -> &Cron {
        &self.cron
    }
}

impl FromStr for CronLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cron = parse_cron(text).map_err(|why| {
            format!("`{text}` is no cron line: {why}; write {}", CRON_FIELDS.join(" "))
        })?;
        // A leap year, so that February 29 is soon; only dates that never exist are not found.
        let start = civil::date(2024, 1, 1).to_zoned(jiff::tz::TimeZone::UTC);
        let found = start.map(|start| cron.find_next_occurrence(&start, true));
        match found {
            Ok(Ok(_)) => Ok(Self { text: text.to_owned(), cron }),
            _ => Err(format!("`{text}` never happens: no date fits its day and month")),
        }
    }
}

/// What the fields of a cron line are called.
const CRON_FIELDS: [&str; 6] = ["second", "minute", "hour", "day", "month", "weekday"];

fn parse_cron(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let fields: Vec<_> = text.split_whitespace().collect();
    let names = match fields.len() {
        5 => &CRON_FIELDS[1..],
        6 => &CRON_FIELDS[..],
        count => return Err(format!("it has {count} fields")),
    };
    // The parser does not say which field it means: the one that is wrong even by itself.
    let is_wrong = |at: usize| {
        let alone = fields.iter().enumerate().map(|(i, field)| if i == at { *field } else { "*" });
        parser.parse(&alone.collect::<Vec<_>>().join(" ")).is_err()
    };
    parser.parse(text).map_err(|why| match (0..fields.len()).find(|at| is_wrong(*at)) {
        Some(at) => format!("`{}` is no {}", fields[at], names[at]),
        None => why.to_string(),
    })
}

/// The name of a time zone that exists: `Area/Location` or `UTC`, spelt as the tz database does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneName(String);

impl ZoneName {
    /// The name; [`TzData::zone`] has its rules.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// Opened once: only names are taken from it, which outlive every release.
        static TZDATA: OnceLock<TzData> = OnceLock::new();
        if text == "UTC" {
            return Ok(Self(text.to_owned()));
        }
        let zone = TZDATA.get_or_init(TzData::newest).zone(text).map_err(|e| e.to_string())?;
        Ok(Self(zone.name().to_owned()))
    }
}

/// A sender of emails: `billing@example.com` or `Example Billing <billing@example.com>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// The name that mail programs show.
    pub name: Option<String>,
    /// The bare address.
    pub address: String,
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is no email address; write name@example.com \
                 or Some Name <name@example.com>"
            )
        };
        let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, address)) => (Some(unquoted(name.trim())), address),
            None => (None, text),
        };
        let has_sound_name = !name.is_some_and(|n| n.contains(['<', '>', '"', '\\']));
        if !has_sound_name || address::check(address).is_err() || text.contains(char::is_control) {
            return Err(refused());
        }
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Self { name, address: address.to_owned() })
    }
}

fn unquoted(name: &str) -> &str {
    name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(name)
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "\"{name}\" <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// The name of a table (`schema.table` too) or a column, to be looked up in the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identifier(String);

impl Identifier {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identifier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            (1..=63).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !word.starts_with(|c: char| c.is_ascii_digit())
        };
        if text.split('.').count() <= 2 && text.split('.').all(is_word) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is no name of a table or column; use letters, digits and `_`"))
    }
}

/// A currency by its ISO 4217 code, such as `USD`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Currency(String);

impl Currency {
    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("USD".to_owned())
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is no currency; write its three capital letters, such as USD"))
    }
}

/// A quantity of something to be had: more than nothing, with at most six decimals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount(pub Quantity);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let quantity: Quantity = text.parse().map_err(|why| format!("{why}"))?;
        let is_some = quantity.is_positive();
        is_some.then_some(Self(quantity)).ok_or_else(|| format!("`{text}` must be more than 0"))
    }
}

/// What a tier includes of a feature per period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// As much as one likes.
    Unlimited,
    /// This much, and nothing is possible.
    Included(Quantity),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let quantity: Quantity =
            text.parse().map_err(|why| format!("{why}; write a quantity or \"unlimited\""))?;
        let is_sound = !quantity.is_negative();
        is_sound
            .then_some(Self::Included(quantity))
            .ok_or_else(|| format!("`{text}` is negative; a limit is 0 or more"))
    }
}

/// The percentages of the allowance at which people are warned: whole, rising, from 1 to 100.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Thresholds(pub Vec<u8>);

impl JsonSchema for Thresholds {
    fn schema_name() -> Cow<'static, str> {
        "Thresholds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "format": "rising",
            "maxItems": 10,
            "uniqueItems": true,
            "items": { "type": "integer", "minimum": 1, "maximum": 100 }
        })
    }
}

/// Text that nobody is to see: it prints as stars.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What stands in a secret's place wherever something is printed.
pub(super) const STARS: &str = "***";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Never quotes the URL, which may hold a password.
fn check_database_url(text: &str) -> Result<(), String> {
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|s| text.starts_with(s));
    let message = "a database URL begins with postgres:// or postgresql://";
    is_postgres.then_some(()).ok_or_else(|| message.to_owned())
}

/// Does a database URL carry a password, before its host or among its parameters? Rather once too
/// often: a password with a `/` in it is none to a URL, and a secret all the same.
pub(super) fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let user = place.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':'))
        || parameters.to_ascii_lowercase().contains("password=")
}

/// Does any other URL carry a password before its host?
pub(super) fn has_login(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

fn check_https_url(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").map(|rest| rest.split(['/', '?']).next());
    let is_sound = host.flatten().is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && !text.contains(char::is_whitespace);
    is_sound.then_some(()).ok_or_else(|| {
        format!("`{text}` is no https address; one-click unsubscription works over https only")
    })
}

/// A folder's name, and no way out of the directory that it is in.
fn check_folder(text: &str) -> Result<(), String> {
    let is_sound =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_sound.then_some(()).ok_or_else(|| {
        format!("`{text}` is no folder of templates; use letters, digits, `_` and `-`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        let full: Mailbox = "Example, Inc. <billing@example.com>".parse().unwrap();
        assert_eq!(full.name.as_deref(), Some("Example, Inc."));
        assert_eq!(full.to_string(), "\"Example, Inc.\" <billing@example.com>");
        assert_eq!("<a@b>".parse::<Mailbox>().unwrap().to_string(), "a@b");
        for refused in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@-b",
            "a@b..c",
            "A <a@b",
            "A <a@b> x",
            "A\r\nBcc: x@y <a@b>",
            "a@b\n",
            "a\"b <a@b>",
            ".a@b",
        ] {
            assert!(refused.parse::<Mailbox>().is_err(), "{refused}");
        }
    }

    #[test]
    fn passwords_in_urls_are_seen_wherever_they_hide() {
        for with in [
            "postgres://u:p@h/d",
            "postgres://:p@h",
            "postgres://u:p@/d",
            "postgres://u:p/w@h/d",
            "postgres://h/d?password=x",
            "postgres://h/d?a=b&sslpassword=x",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "postgres://u@h:5432/d",
            "postgres:///d?host=/run",
            "postgres://h:1/d?application_name=a@b",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }

    #[test]
    fn five_fields_mean_second_zero_and_impossible_dates_are_refused() {
        let five: CronLine = "30 3 * * *".parse().unwrap();
        let six: CronLine = "0 30 3 * * *".parse().unwrap();
        let after = civil::date(2026, 5, 1).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let next = |line: &CronLine| line.cron().find_next_occurrence(&after, false).unwrap();
        assert_eq!(next(&five), next(&six));
        assert!("0 0 0 29 2 *".parse::<CronLine>().is_ok());
        assert!("0 0 0 30 2 *".parse::<CronLine>().unwrap_err().contains("never happens"));
        for refused in ["", "@daily", "* * * *", "61 * * * * *", "0 0 0 1 1 * 2030"] {
            assert!(refused.parse::<CronLine>().is_err(), "{refused}");
        }
    }
}
