//! The schema of the file, derived from the types of the sections.
//!
//! It is a JSON Schema, because that serves everybody: our own strict reader walks it, `config
//! show` lists its keys, and editors complete and check with it.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;

/// The schema that files are read by. Draft 7 and without references: TOML editors know that.
pub(super) fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let settings = SchemaSettings::draft07().with(|s| s.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
        tidy(&mut schema);
        release_sections(&mut schema);
        schema
    })
}

/// The schema for editors: with the defaults, and without what belongs into no file.
pub(super) fn for_editors(defaults: &[(String, Value)]) -> Value {
    let mut schema = schema().clone();
    for (path, default) in defaults {
        if let Some(key) = schema.pointer_mut(&pointer(path)) {
            key["default"] = default.clone();
        }
    }
    drop_private(&mut schema);
    schema
}

/// Every key that holds a value, in the order of the types: `rollover.batch_size`.
pub(super) fn keys() -> Vec<(String, &'static Value)> {
    let mut keys = Vec::new();
    collect_keys("", schema(), &mut keys);
    keys
}

/// The words that a key accepts, when it accepts nothing else.
pub(super) fn words(schema: &Value) -> Option<Vec<&str>> {
    let listed = schema["enum"].as_array().map(|words| words.iter().filter_map(Value::as_str));
    let described = schema["oneOf"]
        .as_array()
        .map(|words| words.iter().filter_map(|word| word["const"].as_str()));
    listed.map(Iterator::collect).or_else(|| described.map(Iterator::collect))
}

/// Does a key accept values of that JSON type?
pub(super) fn accepts(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == wanted,
        Value::Array(kinds) => kinds.iter().any(|kind| kind == wanted),
        _ => wanted == "string" && words(schema).is_some(),
    }
}

/// Must the value of this key never be shown?
pub(super) fn is_secret(schema: &Value) -> bool {
    schema["writeOnly"] == json!(true)
}

/// Is this key one that a file must not hold?
pub(super) fn is_environment_only(schema: &Value) -> bool {
    schema["x-environment-only"] == json!(true)
}

/// A table of fixed keys, unlike a list, a value or a table with keys of its user's choice.
fn is_section(schema: &Value) -> bool {
    schema["properties"].is_object()
}

fn pointer(path: &str) -> String {
    format!("/properties/{}", path.replace('.', "/properties/"))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn collect_keys(prefix: &str, schema: &'static Value, keys: &mut Vec<(String, &'static Value)>) {
    for (name, key) in properties(schema) {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if is_section(key) {
            collect_keys(&path, key, keys);
        } else {
            keys.push((path, key));
        }
    }
}

/// TOML has no null: an optional key is simply left out. Formats of machine integers say nothing
/// that the bounds do not.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(tidy),
        Value::Object(parts) => {
            lift_optional(parts);
            let is_machine = |format: &Value| {
                format.as_str().is_some_and(|f| f.starts_with("int") || f.starts_with("uint"))
            };
            parts.retain(|name, value| name != "format" || !is_machine(value));
            parts.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// Turns "this or null" into "this", in each of the forms that it is written in.
fn lift_optional(parts: &mut Map<String, Value>) {
    let is_null = |kind: &Value| kind == "null" || kind["type"] == json!("null");
    if let Some(Value::Array(kinds)) = parts.get_mut("type") {
        kinds.retain(|kind| !is_null(kind));
        if let [only] = kinds.as_slice() {
            parts["type"] = only.clone();
        }
    }
    if let Some(Value::Array(mut choices)) = parts.remove("anyOf") {
        choices.retain(|choice| !is_null(choice));
        for choice in choices {
            let Value::Object(choice) = choice else { continue };
            for (name, value) in choice {
                parts.entry(name).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(choices)) = parts.get_mut("oneOf") {
        choices.retain(|choice| !is_null(choice));
    }
    parts.retain(|name, value| name != "default" || !value.is_null());
}

/// A file need not say anything; only blocks of lists must be complete.
fn release_sections(section: &mut Value) {
    if let Value::Object(parts) = section {
        parts.remove("required");
    }
    if let Some(Value::Object(properties)) = section.get_mut("properties") {
        properties.values_mut().filter(|key| is_section(key)).for_each(release_sections);
    }
}

/// Drops the keys that belong into no file, and our own notes on the others.
fn drop_private(section: &mut Value) {
    let Value::Object(parts) = section else { return };
    parts.retain(|name, _| !name.starts_with("x-"));
    if let Some(Value::Object(properties)) = parts.get_mut("properties") {
        properties.retain(|_, key| !is_environment_only(key));
        properties.values_mut().for_each(drop_private);
    }
}
