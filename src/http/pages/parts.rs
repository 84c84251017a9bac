//! What pages are made of: cells and tables, findings, and blocks that may not be known.

use std::fmt::Display;

use serde::Serialize;

use super::button::Button;
use super::clock::Moment;
use crate::command::Commands;
use crate::jobs::finding::{Finding, Mend, Severity};
use crate::store::StoreError;
use crate::store::messages::outbox::Progress;
use crate::text::{thousands_apart, visible, visible_lines};

/// Letters of one text that others chose, at most: what is longer is cut.
const LONGEST: usize = 300;

/// A filter that is a link, so that what it leaves can be sent to a colleague.
#[derive(Serialize)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_set: bool,
}

/// How a cell is meant; never by colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    Plain,
    Soft,
    Good,
    Warning,
    Bad,
}

/// A cell of a table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cell {
    text: String,
    /// An instant instead of the text.
    at: Option<Moment>,
    href: Option<String>,
    tone: Tone,
    is_number: bool,
}

impl Cell {
    pub(super) fn text(text: impl Display) -> Self {
        let (text, at, href) = (said(&text.to_string()), None, None);
        Self { text, at, href, tone: Tone::Plain, is_number: false }
    }

    pub(super) fn empty() -> Self {
        Self::text("")
    }

    /// A button.
    pub(super) fn button(button: &Button) -> Self {
        let (href, text) = button.parts();
        Self::text(text).link(href)
    }

    /// How far an email has come.
    pub(super) fn progress(progress: Progress) -> Self {
        Self::text(progress.words()).tone(match progress {
            Progress::Sent => Tone::Good,
            Progress::GivenUp | Progress::Suppressed => Tone::Bad,
            Progress::ToBeRetried => Tone::Warning,
            Progress::Due => Tone::Plain,
        })
    }

    /// A number, its thousands apart.
    pub(super) fn number(number: impl Display) -> Self {
        Self { is_number: true, ..Self::text(grouped(&number.to_string())) }
    }

    /// A number that may be without a limit.
    pub(super) fn limit(number: Option<impl Display>) -> Self {
        match number {
            Some(number) => Self::number(number),
            None => Self { is_number: true, ..Self::text("unlimited") },
        }
    }

    pub(super) fn at(moment: Moment) -> Self {
        Self { at: Some(moment), ..Self::empty() }
    }

    /// An instant, or a text where there is none.
    pub(super) fn at_or(moment: Option<Moment>, text: &str) -> Self {
        moment.map_or_else(|| Self::text(text), Self::at)
    }

    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    pub(super) fn link(self, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..self }
    }
}

/// A text that others chose: what cannot be seen is written out, what is too long is cut.
pub(super) fn said(text: &str) -> String {
    let shown = visible(text);
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}

/// A sentence that stands alone: with a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    let rest = chars.as_str().trim_end_matches('.');
    first.chain(rest.chars()).chain(std::iter::once('.')).collect()
}

/// A number with its thousands apart: `13,349.5`.
pub(super) fn grouped(number: &str) -> String {
    thousands_apart(number, '\u{2212}')
}

/// A heading of a column.
#[derive(Clone, Debug, Serialize)]
struct Heading {
    text: &'static str,
    is_number: bool,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Table {
    caption: &'static str,
    head: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
    /// How many further rows are not shown.
    more: usize,
}

impl Table {
    /// An empty one; a heading that ends in `#` is one of numbers.
    pub(super) fn new(caption: &'static str, head: &[&'static str]) -> Self {
        let head = head.iter().map(|text| Heading {
            text: text.trim_end_matches('#'),
            is_number: text.ends_with('#'),
        });
        Self { caption, head: head.collect(), rows: Vec::new(), more: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The first rows of it, which says how many more there are.
    pub(super) fn first(mut self, most: usize) -> Self {
        self.more = self.rows.len().saturating_sub(most);
        self.rows.truncate(most);
        self
    }
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Found {
    severity: &'static str,
    what: String,
    /// What a person does.
    advice: Option<String>,
    /// What is pasted into a shell.
    commands: Option<String>,
    /// What is pasted into SQL.
    sql: Option<String>,
    /// What does the same as the commands, one by one.
    acts: Vec<Button>,
}

impl From<&Finding> for Found {
    fn from(finding: &Finding) -> Self {
        let severity = match finding.severity {
            Severity::Problem => "problem",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let (mut advice, mut commands, mut sql) = (None, None, None);
        let of = |commands: &Commands| commands.0.iter().filter_map(Button::of).collect();
        let acts = match &finding.mend {
            Some(Mend::Command(commands)) => of(commands),
            Some(Mend::Advice(one)) => of(&one.then),
            Some(Mend::Sql(_)) | None => Vec::new(),
        };
        match &finding.mend {
            Some(Mend::Command(all)) => commands = Some(all.to_string()),
            Some(Mend::Sql(statement)) => sql = Some(statement.clone()),
            Some(Mend::Advice(one)) => {
                advice = Some(one.what.clone());
                commands = Some(one.then.to_string()).filter(|text| !text.is_empty());
            }
            None => {}
        }
        // What a person copies he has seen.
        let seen = |text: Option<String>| text.map(|text| visible_lines(&text));
        let [advice, commands, sql] = [advice, commands, sql].map(seen);
        let what = visible(&finding.what).into_owned();
        Self { severity, what, advice, commands, sql, acts }
    }
}

/// Why something is not known, as a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http) struct Unread(String);

impl Unread {
    pub(super) fn because(words: &str) -> Self {
        Self(sentence(words))
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        let sentence = match &error {
            StoreError::Held(_) | StoreError::Cancelled(_) => {
                "The database did not answer within 2 s."
            }
            StoreError::Unavailable(_) => "The database is unavailable.",
            _ => "It could not be read; the log has the reason.",
        };
        tracing::warn!(%error, "a block of a page cannot be read");
        Self(sentence.to_owned())
    }
}

/// A part of a page that may not be known; then it says why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Block<T> {
    value: Option<T>,
    failed: Option<String>,
}

impl<T> Block<T> {
    /// What was read, as the page shows it.
    pub(super) fn of<R>(read: &Result<R, Unread>, show: impl FnOnce(&R) -> T) -> Self {
        match read {
            Ok(read) => Self { value: Some(show(read)), failed: None },
            Err(Unread(sentence)) => Self { value: None, failed: Some(sentence.clone()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.25", "\u{2212}1,234,567.25"),
            ("0.000001", "0.000001"),
            ("1,000 or more", "1,000 or more"),
            ("", ""),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_text_of_others_is_cut_and_seen() {
        assert_eq!(said("a\u{202e}b\n"), "a\\u{202e}b\\n");
        let long = "é".repeat(10_000);
        assert_eq!(said(&long).chars().count(), LONGEST + 1);
    }
}
