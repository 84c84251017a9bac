//! What is wrong with a configuration, and where: places, and the way problems are printed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::endpoints::end_of_host;
use super::values::{STARS, has_password};

/// How many problems of a file are told. Somebody who has a hundred begins with these; whoever
/// wrote a file with a million must not keep the program busy.
pub(super) const MOST_PROBLEMS: usize = 100;

/// A file that was read.
pub(super) struct SourceText {
    pub(super) name: String,
    pub(super) text: String,
}

/// Where a value stands. Comparing puts problems into the order of the file.
#[derive(Clone)]
pub(super) enum Place {
    /// In the shipped file, or worked out from the machine.
    Default,
    /// In the file that was named.
    File(Arc<SourceText>, Range<usize>),
    /// In this variable.
    Environment(String),
    /// In this file of systemd's credentials.
    Credential(String),
}

/// Where each value stands, by its path: `tiers[0].limits.scrapes`.
pub(super) type Places = BTreeMap<String, Place>;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The shipped defaults, or what the machine says about itself.
    Default,
    /// The configuration file.
    File {
        /// Its name.
        name: String,
        /// The line of the value, from 1.
        line: usize,
        /// The column of the value in characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A credential of systemd's.
    Credential {
        /// Its file.
        file: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Credential { file } => write!(f, "credential {file}"),
        }
    }
}

impl Place {
    /// The same place for people.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Default => Source::Default,
            Self::File(source, span) => {
                let before = &source.text[..span.start];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                Source::File { name: source.name.clone(), line, column }
            }
            Self::Environment(variable) => Source::Environment { variable: variable.clone() },
            Self::Credential(file) => Source::Credential { file: file.clone() },
        }
    }

    /// Did the operator put something here?
    pub(super) fn is_set(&self) -> bool {
        !matches!(self, Self::Default)
    }

    /// Where the file's problems are listed, before those of the environment.
    fn order(&self) -> (u8, usize) {
        match self {
            Self::Default => (0, 0),
            Self::File(_, span) => (1, span.start),
            Self::Environment(_) | Self::Credential(_) => (2, 0),
        }
    }
}

/// One thing that is wrong.
pub(super) struct Problem {
    place: Place,
    sentence: String,
}

impl Problem {
    pub(super) fn new(place: Place, sentence: impl Into<String>) -> Self {
        Self { place, sentence: sentence.into() }
    }

    fn fault(&self) -> Fault {
        Fault { source: self.place.source(), sentence: self.sentence.clone() }
    }

    /// The line it is on, for telling what follows from a syntax error on the same line.
    pub(super) fn line(&self) -> Option<usize> {
        match self.place.source() {
            Source::File { line, .. } => Some(line),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Default => f.write_str(&self.sentence),
            Place::Environment(_) | Place::Credential(_) => {
                write!(f, "{}: {}", self.place.source(), self.sentence)
            }
            Place::File(source, span) => {
                let (line, carets) = excerpt(&source.text, span);
                writeln!(f, "{}: {}", self.place.source(), self.sentence)?;
                write!(f, "    {line}\n    {carets}")
            }
        }
    }
}

/// The line that a span begins on, and carets beneath what the span covers of it.
fn excerpt(text: &str, span: &Range<usize>) -> (String, String) {
    let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let line = text[start..end].trim_end_matches('\r');
    let shown = masked(line);
    let marked = text[span.start..span.end.clamp(span.start, end)].chars().count();
    let before = text[start..span.start].chars().count();
    let width = shown.chars().count();
    let mut carets: String =
        shown.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    carets.push_str(&"^".repeat(marked.min(width.saturating_sub(before)).max(1)));
    (shown.chars().map(printable).collect(), carets)
}

fn printable(letter: char) -> char {
    if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter }
}

/// A line of a file as it may be shown: values that look like secrets are stars.
///
/// A password that was written into the wrong place must not reach a log by way of the very
/// message that says so.
fn masked(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let after_secret_key = ["password", "passwd", "secret", "token", "api_key"]
        .iter()
        .flat_map(|word| lower.match_indices(word).map(|(at, _)| at))
        .filter_map(|at| value_after_key(&lower, at))
        .min();
    let after_url = line.find("://").filter(|at| has_password(&line[*at..])).map(|at| at + 3);
    let after_host = endpoint_path(line, &lower);
    match after_secret_key.into_iter().chain(after_url).chain(after_host).min() {
        Some(cut) => format!("{}{STARS}", &line[..cut]),
        None => line.to_owned(),
    }
}

/// Where the path of an endpoint begins, in the value of a key `url`.
fn endpoint_path(line: &str, lower: &str) -> Option<usize> {
    let keys = lower.match_indices("url").map(|(at, _)| at);
    let keys = keys.filter(|at| !lower[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let paths = keys.filter_map(|at| {
        let value = value_after_key(lower, at)?;
        let url = value + lower[value..].find("http")?;
        Some(url + end_of_host(&line[url..])? + 1)
    });
    paths.min()
}

/// Where the value begins, when `at` lies in a key that holds it itself and does not merely name
/// a file (`password_file`).
fn value_after_key(line: &str, at: usize) -> Option<usize> {
    let equals = at + line[at..].find(['=', ':'])?;
    let key = line[at..equals].trim_end().trim_end_matches(['"', '\'']);
    let is_key = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    (is_key && !key.ends_with("_file")).then_some(equals + 1)
}

/// Everything that is wrong with a configuration, ready to be read by a person.
///
/// Its text never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    problems: Vec<String>,
    faults: Vec<Fault>,
}

/// One problem in its parts, for programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub source: Source,
    /// What is wrong, and often what was meant.
    pub sentence: String,
}

impl ConfigError {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place.order());
        let is_cut = problems.len() >= MOST_PROBLEMS;
        problems.truncate(MOST_PROBLEMS);
        let mut faults: Vec<_> = problems.iter().map(Problem::fault).collect();
        let mut problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
        faults.dedup();
        problems.dedup();
        if is_cut {
            problems.push(format!("only the first {MOST_PROBLEMS} problems are shown"));
        }
        Self { problems, faults }
    }

    pub(super) fn one(place: Place, sentence: impl Into<String>) -> Self {
        Self::new(vec![Problem::new(place, sentence)])
    }

    /// The problems, each a sentence with its place and, for a file, the line with carets.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The same problems in their parts.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

/// ``; did you mean `x`?``, when one of the candidates resembles what was written.
pub(super) fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// "a", "b" or "c", in words of a sentence.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for (line, shown) in [
            ("url = \"postgres://u:hunter2@h/d\"", "url = \"postgres://***"),
            ("password = \"hunter2\"", "password =***"),
            (
                "smtp = { host = \"h\", password = \"hunter2\" }",
                "smtp = { host = \"h\", password =***",
            ),
            ("\"smtp password\" = \"x\"", "\"smtp password\" =***"),
            ("apiToken= 'x'", "apiToken=***"),
            ("url = \"https://h/s3cret\"", "url = \"https://h/***"),
            ("x = [{ url=\"http://h?s3cret\" }]", "x = [{ url=\"http://h?***"),
            ("public_url = \"https://h/x\"", "public_url = \"https://h/x\""),
            ("password_file = \"/etc/p\"", "password_file = \"/etc/p\""),
            ("from = \"a@b\" # no password here", "from = \"a@b\" # no password here"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    #[test]
    fn carets_stand_beneath_the_characters_they_mean() {
        let text = "a = 1\r\n\tümlaut = \"ß\" # x\r\nlast";
        let at = text.find("\"ß\"").unwrap();
        let (line, carets) = excerpt(text, &(at..at + 4));
        assert_eq!(line, "\tümlaut = \"ß\" # x");
        assert_eq!(carets, "\t         ^^^");
        assert_eq!(excerpt(text, &(text.len()..text.len())).1, "    ^");
    }
}
