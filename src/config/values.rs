//! What single keys can hold: text that means something, checked when it is read.
//!
//! Every kind is a type with a `FromStr` whose error is a whole sentence. Its name as a JSON
//! Schema `format` is what ties the schema of a key to that check.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::billing::Quantity;
use crate::mail::{address, vendor};
use crate::tz::TzData;

use super::duration::{Keep, Wait};
use super::endpoints::{EndpointUrl, EventKind, WebhookName};
use super::http::{HostName, Listen, Network, PublicUrl, WebOrigin};

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
                "unsubscribe-url" => check_unsubscribe_url(text),
                "template-folder" => check_folder(text),
                "link" => vendor::check_link(text),
                "colour" if vendor::is_colour(text) => Ok(()),
                "colour" => Err(format!("`{text}` is not a colour; write it as #1a2b3c")),
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
    Listen = "listen-address", "string";
    PublicUrl = "public-url", "string";
    HostName = "host-name", "string";
    Network = "network", "string";
    WebOrigin = "web-origin", "string";
    EventKind = "event-kind", "string";
    WebhookName = "webhook-name", "string";
    EndpointUrl = "endpoint-url", "string";
}

/// When a job runs: a cron line with the seconds first; five fields mean second 0.
///
/// Day of month and weekday are alternatives when both are given, as in every Unix cron.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CronLine {
    text: String,
    fields: String,
    cron: Cron,
}

impl CronLine {
    /// The line as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The fields that it stands for: those of a word, and steps with the range that they are of.
    pub fn fields(&self) -> &str {
        &self.fields
    }

    /// The parsed line, which knows its occurrences and its words.
    pub fn cron(&self) -> &Cron {
        &self.cron
    }
}

impl FromStr for CronLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (fields, cron) = parse_cron(text).map_err(|why| {
            format!("invalid cron expression `{text}`: {why}; write {}", CRON_FIELDS.join(" "))
        })?;
        // A leap year, so that February 29 is soon; only dates that never exist are not found.
        let start = civil::date(2024, 1, 1).to_zoned(jiff::tz::TimeZone::UTC);
        let found = start.map(|start| cron.find_next_occurrence(&start, true));
        match found {
            Ok(Ok(_)) => Ok(Self { text: text.to_owned(), fields, cron }),
            _ => Err(format!(
                "cron expression `{text}` never matches: no date has its day and month"
            )),
        }
    }
}

/// What the fields of a cron line are called.
const CRON_FIELDS: [&str; 6] = ["second", "minute", "hour", "day", "month", "weekday"];

/// Words for lines that are common, as cron has them.
const NICKNAMES: [(&str, &str); 6] = [
    ("@hourly", "0 0 * * * *"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@monthly", "0 0 0 1 * *"),
    ("@yearly", "0 0 0 1 1 *"),
];

/// The last value of each field.
const LAST: [u32; 6] = [59, 59, 23, 31, 12, 7];

/// The steps of a field in words that every reader takes: `7/15` is `7-59/15`. What a step leads
/// beyond the field happens once in its range, and not at the pace that it seems to say.
fn stepped(field: &str, name: &str, last: u32) -> Result<String, String> {
    let part = |part: &str| {
        let Some((range, step)) = part.split_once('/') else { return Ok(part.to_owned()) };
        let is_too_long = step.parse::<u32>().is_ok_and(|step| step > last);
        if is_too_long {
            return Err(format!("the step of {name} `{field}` is longer than the field"));
        }
        let is_start = !range.is_empty() && range.chars().all(|c| c.is_ascii_digit());
        Ok(if is_start { format!("{range}-{last}/{step}") } else { part.to_owned() })
    };
    let parts: Result<Vec<String>, String> = field.split(',').map(part).collect();
    parts.map(|parts| parts.join(","))
}

/// The line in words that every reader takes, and what it means.
fn parse_cron(text: &str) -> Result<(String, Cron), String> {
    if text.contains("TZ=") {
        return Err("the zone has a key of its own, `time_zone`".to_owned());
    }
    if text.starts_with('@') {
        let known = NICKNAMES.iter().find(|(name, _)| *name == text);
        let names = NICKNAMES.map(|(name, _)| name).join(", ");
        let unknown = || format!("the words are {names}");
        return parse_cron(known.ok_or_else(unknown)?.1);
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let fields: Vec<_> = text.split_whitespace().collect();
    let names = match fields.len() {
        5 => &CRON_FIELDS[1..],
        6 => &CRON_FIELDS[..],
        count => return Err(format!("it has {count} fields")),
    };
    let last = &LAST[LAST.len() - fields.len()..];
    let stepped: Result<Vec<String>, String> = fields
        .iter()
        .zip(names.iter().zip(last))
        .map(|(field, (name, last))| stepped(field, name, *last))
        .collect();
    let stepped = stepped?;
    let fields: Vec<&str> = stepped.iter().map(String::as_str).collect();
    let text = fields.join(" ");
    // The parser does not say which field it means: the one that is wrong even by itself.
    let is_wrong = |at: usize| {
        let alone = fields.iter().enumerate().map(|(i, field)| if i == at { *field } else { "*" });
        parser.parse(&alone.collect::<Vec<_>>().join(" ")).is_err()
    };
    match parser.parse(&text) {
        Ok(cron) => Ok((text, cron)),
        Err(why) => Err(match (0..fields.len()).find(|at| is_wrong(*at)) {
            Some(at) => format!("invalid {} `{}`", names[at], fields[at]),
            None => why.to_string(),
        }),
    }
}

/// The name of a time zone that exists: `Area/Location` or `UTC`, spelt as the tz database does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneName(String);

impl ZoneName {
    /// The name; [`TzData::zone`] has its rules.
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
    pub address: String,
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "invalid email address `{text}`; write name@example.com or Some Name \
                 <name@example.com>"
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
        Err(format!("invalid table or column name `{text}`; use letters, digits and `_`"))
    }
}

/// A currency by its ISO 4217 code, such as `USD`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Currency(String);

impl Currency {
    /// The three letters.
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
        Err(format!(
            "invalid currency `{text}`; write a three-letter code in capitals, such as USD"
        ))
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
        is_some.then_some(Self(quantity)).ok_or_else(|| format!("`{text}` must be greater than 0"))
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
    let message = "a database URL starts with postgres:// or postgresql://";
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

/// An address with the recipient's token in it, fit for a header and for a link: what passes here
/// can be put into every email.
fn check_unsubscribe_url(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").map(|rest| rest.split(['/', '?']).next());
    if !host.flatten().is_some_and(|host| !host.is_empty() && !host.contains('@')) {
        return Err(format!(
            "`{text}` is not an https URL; one-click unsubscription requires https"
        ));
    }
    // What RFC 3986 allows in a URI; everything else has to be percent-encoded.
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    let without_token = text.replace("{token}", "");
    if let Some(odd) = without_token.chars().find(|c| !is_sound(*c)) {
        return Err(format!(
            "`{text}` contains `{odd}`, which is not allowed in a URL; percent-encode it, and \
             write the token as {{token}}"
        ));
    }
    if without_token == text {
        return Err(format!(
            "`{text}` has no placeholder for the recipient; put {{token}} where the recipient's \
             token belongs"
        ));
    }
    Ok(())
}

/// A folder's name, and no way out of the directory that it is in.
fn check_folder(text: &str) -> Result<(), String> {
    let is_sound =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_sound.then_some(()).ok_or_else(|| {
        format!("invalid template folder `{text}`; use letters, digits, `_` and `-`")
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
        assert!("0 0 0 30 2 *".parse::<CronLine>().unwrap_err().contains("never matches"));
        for refused in ["", "@noon", "* * * *", "61 * * * * *", "0 0 0 1 1 * 2030"] {
            assert!(refused.parse::<CronLine>().is_err(), "{refused}");
        }
    }

    #[test]
    fn words_and_steps_say_what_they_do() {
        let after = civil::date(2026, 5, 3).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let next = |line: &str| {
            let line: CronLine = line.parse().unwrap_or_else(|error| panic!("{error}"));
            let mut at = after.clone();
            let times: Vec<String> = (0..5)
                .map(|_| {
                    at = line.cron().find_next_occurrence(&at, false).unwrap();
                    at.datetime().to_string()
                })
                .collect();
            times
        };
        for (word, line) in [
            ("@hourly", "0 0 * * * *"),
            ("@daily", "0 0 0 * * *"),
            ("@weekly", "0 0 0 * * 0"),
            ("@monthly", "0 0 0 1 * *"),
            ("0 7/15 * * * *", "0 7,22,37,52 * * * *"),
            ("0/20 * * * *", "0 0,20,40 * * * *"),
            ("0 0 3,5/6 * * *", "0 0 3,5,11,17,23 * * *"),
        ] {
            assert_eq!(next(word), next(line), "{word}");
        }
        for (refused, why) in [
            ("0 */90 * * * *", "longer than the field"),
            ("*/61 * * * * *", "longer than the field"),
            ("0 0 */25 * * *", "longer than the field"),
            ("@fortnightly", "@hourly, @daily"),
            ("CRON_TZ=Europe/Berlin 0 3 * * * *", "`time_zone`"),
        ] {
            let error = refused.parse::<CronLine>().unwrap_err();
            assert!(error.contains(why), "{refused}: {error}");
        }
    }
}
