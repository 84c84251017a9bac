//! The strict reader: TOML with positions against the schema, all problems at once.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use config::{Map, Value, ValueKind};
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::keys::{file_key, variable};
use super::problem::{
    MOST_PROBLEMS, Place, Places, Problem, SourceText, alternatives, did_you_mean,
};
use super::schema::{self, accepts, is_environment_only, is_secret, words};
use super::values::{check_format, has_login, has_password};

/// What is being read.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The shipped file.
    Shipped,
    /// A file of the operator's, and the directory its relative paths start at.
    File(&'a Arc<SourceText>, &'a Path),
    /// The value of this variable.
    Environment(&'a str),
}

impl Origin<'_> {
    fn place(self, span: Range<usize>) -> Place {
        match self {
            Self::Shipped => Place::Default,
            Self::File(source, _) => Place::File(Arc::clone(source), span),
            Self::Environment(variable) => Place::Environment(variable.to_owned()),
        }
    }
}

/// Reads values of one origin, noting where each stands and what is wrong with it.
pub(super) struct Reader<'a> {
    origin: Origin<'a>,
    pub(super) places: Places,
    pub(super) problems: Vec<Problem>,
    /// Was the file no valid TOML, so that parts of it are missing?
    pub(super) is_broken: bool,
}

/// A value as TOML has it, with its position.
type Found<'i> = Spanned<DeValue<'i>>;

impl<'a> Reader<'a> {
    pub(super) fn new(origin: Origin<'a>) -> Self {
        Self { origin, places: Places::new(), problems: Vec::new(), is_broken: false }
    }

    /// A whole file.
    pub(super) fn document(&mut self, text: &str) -> Map<String, Value> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let sections = self.entries("", schema::schema(), table.get_ref());
        let syntax: Vec<_> = errors
            .iter()
            .take(MOST_PROBLEMS)
            .map(|error| {
                let place = self.origin.place(error.span().unwrap_or_default());
                Problem::new(place, format!("invalid TOML: {}", error.message()))
            })
            .collect();
        let guessed = syntax.iter().filter_map(Problem::line).map(|line| guessed_lines(text, line));
        let guessed: Vec<_> = guessed.collect();
        let is_guess = |line: usize| guessed.iter().any(|lines| lines.contains(&line));
        self.problems.retain(|problem| !problem.line().is_some_and(is_guess));
        self.is_broken |= !syntax.is_empty();
        self.problems.extend(syntax);
        sections
    }

    /// The text of a variable: as it is for a key that holds text, TOML for every other.
    pub(super) fn variable(&mut self, path: &str, schema: &Json, text: &str) -> Option<Value> {
        let as_text = || Spanned::new(0..text.len(), DeValue::String(text.into()));
        let found = if accepts(schema, "string") {
            as_text()
        } else {
            DeValue::parse(text).unwrap_or_else(|_| as_text())
        };
        self.value(path, schema, &found)
    }

    /// One value, checked and noted; `None` when it is wrong.
    fn value(&mut self, path: &str, schema: &Json, found: &Found<'_>) -> Option<Value> {
        let place = self.origin.place(found.span());
        self.places.insert(path.to_owned(), place.clone());
        let read = match found.get_ref() {
            DeValue::Table(table) if accepts(schema, "object") => {
                Ok(self.table(path, schema, table, &place).into())
            }
            DeValue::Array(items) if accepts(schema, "array") => self.list(path, schema, items),
            DeValue::String(text) if accepts(schema, "string") => self.text(path, schema, text),
            DeValue::Integer(number) if accepts(schema, "integer") => integer(schema, number),
            DeValue::Boolean(flag) if accepts(schema, "boolean") => Ok((*flag).into()),
            number if accepts(schema, "number") => ratio(schema, number),
            _ => Err(None),
        };
        let wrong_type = || wrong_value(path, schema, found.get_ref());
        read.map(|kind: ValueKind| Value::new(None, kind))
            .map_err(|sentence| {
                let sentence = sentence.unwrap_or_else(wrong_type);
                self.problems.push(Problem::new(place, sentence));
            })
            .ok()
    }

    /// A table, complete where its schema demands keys.
    fn table(
        &mut self,
        path: &str,
        schema: &Json,
        table: &DeTable<'_>,
        place: &Place,
    ) -> Map<String, Value> {
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Json::as_str).filter(|key| !table.contains_key(*key)) {
            let block = header(path);
            let sentence = format!("{block} needs the key `{key}`");
            self.problems.push(Problem::new(place.clone(), sentence));
        }
        self.entries(path, schema, table)
    }

    /// The entries of a table, each under a key that the schema knows.
    fn entries(&mut self, path: &str, schema: &Json, table: &DeTable<'_>) -> Map<String, Value> {
        let mut entries = Map::new();
        for (key, found) in table {
            if self.has_enough() {
                break;
            }
            let name = key.get_ref().as_ref();
            let of_any_name = &schema["additionalProperties"];
            let known = schema["properties"].get(name);
            let entry = known.or_else(|| of_any_name.is_object().then_some(of_any_name));
            let Some(entry) = entry else {
                let place = self.origin.place(key.span());
                self.problems.push(Problem::new(place, unknown_key(path, schema, name)));
                continue;
            };
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            entries.extend(self.value(&path, entry, found).map(|value| (name.to_owned(), value)));
            if known.is_none() {
                // A name of the operator's choice is itself what may be wrong later.
                self.places.insert(path, self.origin.place(key.span()));
            }
        }
        entries
    }

    /// Are there so many problems that the rest of the text is not worth reading? What was not
    /// read is missing, as behind a syntax error.
    fn has_enough(&mut self) -> bool {
        let has_enough = self.problems.len() >= MOST_PROBLEMS;
        self.is_broken |= has_enough;
        has_enough
    }

    fn list(&mut self, path: &str, schema: &Json, items: &[Found<'_>]) -> Checked {
        let values: Vec<_> = items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| {
                if self.has_enough() {
                    return None;
                }
                self.value(&format!("{path}[{i}]"), &schema["items"], item)
            })
            .collect();
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| items.len() as u64 > *most) {
            let count = items.len();
            return Err(Some(format!(
                "`{}` has {count} entries; at most {most} are allowed",
                key(path)
            )));
        }
        if schema["format"] == "rising" {
            self.rising(path, items);
        }
        Ok(values.into())
    }

    /// Each number above the one before it.
    fn rising(&mut self, path: &str, items: &[Found<'_>]) {
        let number = |item: &Found<'_>| item.get_ref().as_integer().and_then(whole);
        for pair in items.windows(2) {
            if let (Some(before), Some(after)) = (number(&pair[0]), number(&pair[1]))
                && after <= before
            {
                let place = self.origin.place(pair[1].span());
                let name = key(path);
                let sentence =
                    format!("`{name}` must be in ascending order, but {after} follows {before}");
                self.problems.push(Problem::new(place, sentence));
            }
        }
    }

    fn text(&self, path: &str, schema: &Json, text: &str) -> Checked {
        let name = key(path);
        if text.is_empty() {
            return Err(Some(format!("`{name}` is empty; omit it instead")));
        }
        if text.contains(|c: char| c.is_control() || c == '\u{fffd}') {
            return Err(Some(format!("`{name}` contains a control character or is not UTF-8")));
        }
        if let Some(words) = words(schema) {
            return words.contains(&text).then(|| text.into()).ok_or(None);
        }
        let format = schema["format"].as_str().unwrap_or_default();
        if matches!(self.origin, Origin::File(..))
            && (is_environment_only(schema) || format == "database-url" && has_password(text))
        {
            return Err(Some(misplaced_secret(path, schema)));
        }
        if format != "database-url" && has_login(text) {
            return Err(Some(format!("`{name}` contains a password; remove it")));
        }
        check_format(format, text)?;
        match self.origin {
            Origin::File(_, directory) if format == "path" => {
                Ok(directory.join(text).to_string_lossy().into_owned().into())
            }
            _ => Ok(text.into()),
        }
    }
}

/// A value, or the sentence that refuses it; `None` stands for the sentence about its type.
type Checked = Result<ValueKind, Option<String>>;

fn integer(schema: &Json, number: &DeInteger<'_>) -> Checked {
    // A quantity may be written as either; from here on it is text, which is exact.
    if accepts(schema, "string") {
        let text = whole(number).ok_or(None)?.to_string();
        check_format(schema["format"].as_str().unwrap_or_default(), &text)?;
        return Ok(text.into());
    }
    let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
    let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
    let within = whole(number).filter(|number| (least..=most).contains(number));
    within.map(Into::into).ok_or(None)
}

fn ratio(schema: &Json, number: &DeValue<'_>) -> Checked {
    let number: f64 = match number {
        DeValue::Float(float) => float.as_str().parse().map_err(|_| None)?,
        DeValue::Integer(integer) => integer.as_str().parse().map_err(|_| None)?,
        _ => return Err(None),
    };
    let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
    let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
    // A number that is none is within no bounds.
    (least..=most).contains(&number).then(|| number.into()).ok_or(None)
}

fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The last key of a path, without the position in a list.
fn key(path: &str) -> &str {
    let path = path.rsplit('.').next().unwrap_or(path);
    path.split('[').next().unwrap_or(path)
}

/// The way a section or block is headed in a file.
fn header(path: &str) -> String {
    match path.split_once('[') {
        Some((list, rest)) if rest.ends_with(']') => format!("a [[{list}]] block"),
        _ => format!("[{path}]"),
    }
}

/// The lines that the parser guesses at behind a syntax error, where no problem is certain: the
/// line itself; behind a broken header, everything up to the next one.
fn guessed_lines(text: &str, line: usize) -> Range<usize> {
    let mut lines = text.lines().map(|line| line.trim_start().starts_with('[')).skip(line - 1);
    if lines.next() == Some(true) {
        return line..lines.position(|is_header| is_header).map_or(usize::MAX, |n| line + 1 + n);
    }
    line..line + 1
}

fn wrong_value(path: &str, schema: &Json, found: &DeValue<'_>) -> String {
    let each = if path.ends_with(']') && words(schema).is_none() { "each of " } else { "" };
    let name = key(path);
    let help = match found {
        DeValue::String(text) => match words(schema) {
            Some(words) => did_you_mean(text, words),
            None => is_quoted_needlessly(schema, text).then(|| "; remove the quotes".to_owned()),
        },
        DeValue::Float(_) if accepts(schema, "string") && accepts(schema, "integer") => {
            Some("; decimals need quotes to be exact".to_owned())
        }
        _ => None,
    };
    let expected = expected(path, schema);
    let found = if is_secret(schema) { "anything else".to_owned() } else { described(found) };
    format!("{each}`{name}` must be {expected}, not {found}{}", help.unwrap_or_default())
}

fn is_quoted_needlessly(schema: &Json, text: &str) -> bool {
    DeValue::parse(text).is_ok_and(|value| match value.get_ref() {
        DeValue::Boolean(_) => accepts(schema, "boolean"),
        DeValue::Integer(_) => accepts(schema, "integer") || accepts(schema, "number"),
        DeValue::Float(_) => accepts(schema, "number"),
        DeValue::Array(_) => accepts(schema, "array"),
        _ => false,
    })
}

/// What a key takes, in words.
fn expected(path: &str, schema: &Json) -> String {
    if let Some(words) = words(schema) {
        let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        return alternatives(quoted.iter().map(String::as_str));
    }
    let bounds = match (&schema["minimum"], &schema["maximum"]) {
        (Json::Number(least), Json::Number(most)) => {
            let plain = |number: &serde_json::Number| number.as_f64().unwrap_or_default();
            format!(" from {} to {}", plain(least), plain(most))
        }
        _ => String::new(),
    };
    match schema["format"].as_str() {
        Some("quantity") => return "a whole number, or a decimal in quotes (\"12.5\")".to_owned(),
        Some("limit") => {
            return "a whole number, a decimal in quotes (\"12.5\") or \"unlimited\"".to_owned();
        }
        _ => {}
    }
    if accepts(schema, "array") && accepts(&schema["items"], "object") {
        return format!("a list of tables ([[{path}]])");
    }
    if accepts(schema, "array") {
        return "a list in brackets".to_owned();
    }
    let kind = match schema["type"].as_str() {
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("object") => "a table",
        _ => "text in quotes",
    };
    format!("{kind}{bounds}")
}

/// What stands there instead.
fn described(found: &DeValue<'_>) -> String {
    match found {
        DeValue::String(text) => format!("the text {:?}", shortened(text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Enough of a text to know it again.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 60;
    let start: String = text.chars().take(ENOUGH).collect();
    if start.len() < text.len() { start + "…" } else { start }
}

fn unknown_key(path: &str, schema: &Json, name: &str) -> String {
    let keys = schema["properties"].as_object().into_iter().flatten();
    let known = keys.filter(|(_, key)| !is_environment_only(key)).map(|(name, _)| name.as_str());
    let known: Vec<_> = known.collect();
    let what = if path.is_empty() {
        format!("unknown section `{name}`")
    } else {
        format!("unknown key `{name}` in {}", header(path))
    };
    let help = elsewhere(path, name)
        .or_else(|| did_you_mean(name, known.iter().copied()))
        .unwrap_or_else(|| format!("; there are {}", known.join(", ")));
    what + &help
}

/// Where the key would be right, when it has only slipped into another section.
fn elsewhere(path: &str, name: &str) -> Option<String> {
    let homes = schema::keys().into_iter().filter_map(|(path, schema)| {
        let (section, key) = path.rsplit_once('.')?;
        (key == name && !is_environment_only(schema)).then(|| section.to_owned())
    });
    match homes.collect::<Vec<_>>().as_slice() {
        [home] if home != path => Some(format!("; it belongs to [{home}]")),
        _ => None,
    }
}

fn misplaced_secret(path: &str, schema: &Json) -> String {
    let name = key(path);
    let credential = schema["x-credential"].as_str().unwrap_or_default();
    let variable = variable(path);
    let what = if is_environment_only(schema) { name } else { "URL" };
    format!(
        "passwords must not be in this file; put the {what} in the file named by `{}`, in the \
         systemd credential {credential} or in {variable}",
        file_key(name)
    )
}
