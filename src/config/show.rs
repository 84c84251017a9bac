//! `config show`: what is in force, and where each value comes from.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::endpoints::end_of_host;
use super::problem::{Places, Source};
use super::schema;
use super::values::STARS;

/// One key, what it is set to and by whom.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// The key with its section: `rollover.batch_size`.
    pub key: String,
    /// Its value, paths absolute and secrets as stars; `None` when it is not set.
    pub value: Option<Value>,
    /// Where the value comes from.
    pub source: Source,
    is_secret: bool,
}

/// How [`super::Config::show`] writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML that periodd would read again, sources as comments.
    Toml,
    /// A JSON list of `{"key", "value", "source"}`.
    Json,
}

/// Every key in the order of the sections.
pub(super) fn settings(merged: &config::Config, places: &Places) -> Vec<Setting> {
    let setting = |(key, schema): (String, &Value)| {
        let is_secret = schema::is_secret(schema);
        let value = merged.get::<Value>(&key).ok().filter(|value| !value.is_null());
        let shown = |value| if is_secret { STARS.into() } else { in_order(value, schema) };
        let value = value.map(shown);
        let source = places.get(&key).map_or(Source::Default, super::problem::Place::source);
        Setting { key, value, source, is_secret }
    };
    schema::keys().into_iter().map(setting).collect()
}

/// The entries of tables in the order of the types; the `config` crate keeps none. Of what may
/// hold a secret, the rest.
fn in_order(value: Value, schema: &Value) -> Value {
    match value {
        Value::Array(items) => {
            items.into_iter().map(|item| in_order(item, &schema["items"])).collect()
        }
        Value::Object(mut entries) => {
            let known = schema["properties"].as_object().into_iter().flatten();
            let known: Vec<_> = known
                .filter_map(|(name, key)| {
                    Some((name.clone(), in_order(entries.remove(name)?, key)))
                })
                .collect();
            entries.sort_keys();
            Value::Object(known.into_iter().chain(entries).collect())
        }
        // What its path holds may be a secret.
        Value::String(url) if schema["format"] == "endpoint-url" => match end_of_host(&url) {
            Some(end) => format!("{}/{STARS}", &url[..end]).into(),
            None => url.into(),
        },
        scalar => scalar,
    }
}

/// A key as programs are shown it.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Shown<'a> {
    /// The key with its section: `rollover.batch_size`.
    key: &'a str,
    /// Its value, secrets as stars; null when it is not set.
    value: Option<&'a Value>,
    /// Where the value comes from: `default`, a file with line and column, a variable.
    source: String,
}

pub(super) fn json(settings: &[Setting]) -> String {
    let rows = settings.iter().map(|Setting { key, value, source, .. }| {
        json!(Shown { key, value: value.as_ref(), source: source.to_string() })
    });
    let mut text = format!("{:#}", Value::Array(rows.collect()));
    text.push('\n');
    text
}

/// Lists outside every section come first, because TOML wants them before the first header.
pub(super) fn toml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut current = "";
    let (lists, keys): (Vec<_>, Vec<_>) = settings.iter().partition(|s| !s.key.contains('.'));
    for setting in lists.into_iter().chain(keys) {
        let (section, key) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if section != current {
            let _ = write!(text, "\n[{section}]\n");
            current = section;
        }
        let _ = writeln!(text, "{}", line(key, setting));
    }
    text
}

fn line(key: &str, setting: &Setting) -> String {
    let source = &setting.source;
    match &setting.value {
        None => format!("# {key} is not set"),
        Some(_) if setting.is_secret => format!("# {key} = \"{STARS}\"  # {source}"),
        Some(value) => format!("{:<40}  # {source}", format!("{key} = {}", literal(value, true))),
    }
}

/// A value as TOML writes it. Strings, numbers and booleans look the same in JSON.
fn literal(value: &Value, is_outermost: bool) -> String {
    match value {
        Value::Array(items) if is_outermost && items.iter().any(Value::is_object) => {
            let lines: Vec<_> =
                items.iter().map(|item| format!("    {},\n", literal(item, false))).collect();
            format!("[\n{}]", lines.concat())
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| literal(item, false)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{} = {}", bare_or_quoted(key), literal(value, false))
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_bare { key.to_owned() } else { Value::from(key).to_string() }
}
