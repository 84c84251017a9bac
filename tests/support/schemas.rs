//! The schemas of `docs/schemas`, and answers that are held to them.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas")
}

/// The schema of a command: `orgs add`.
pub fn of(command: &str) -> Value {
    let file = directory().join(format!("{}.json", command.replace(' ', "-")));
    let text = std::fs::read_to_string(&file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Asserts that a command's answer is what its schema says, and nothing besides. (Readers have to
/// put up with keys of later versions; this version has none that it does not describe.)
#[track_caller]
pub fn hold(command: &str, answer: &Value) {
    let mut schema = of(command);
    close(&mut schema);
    hold_to(&schema, command, answer);
}

/// The same for answers with variants that are put together of parts: no part can be closed.
#[track_caller]
pub fn hold_loosely(command: &str, answer: &Value) {
    hold_to(&of(command), command, answer);
}

#[track_caller]
fn hold_to(schema: &Value, command: &str, answer: &Value) {
    let validator = jsonschema::options().should_validate_formats(true).build(schema);
    let validator = validator.unwrap_or_else(|error| panic!("{command}: no schema: {error}"));
    let faults: Vec<String> = validator
        .iter_errors(answer)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{command}: {faults:#?}\nin {answer:#}");
}

/// No keys but those that are described.
fn close(schema: &mut Value) {
    close_as(schema, false);
}

/// A part of an object that is put together has not all of its keys: the whole is closed instead.
fn close_as(schema: &mut Value, is_part: bool) {
    match schema {
        Value::Object(keys) => {
            let is_object = keys.get("properties").is_some_and(Value::is_object)
                && keys.get("type").is_some_and(Value::is_string);
            if is_object && !is_part {
                keys.entry("unevaluatedProperties").or_insert(Value::Bool(false));
            }
            for (key, value) in keys.iter_mut() {
                let are_parts = ["allOf", "anyOf", "oneOf"].contains(&key.as_str());
                close_as(value, are_parts && (is_object || is_part));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| close_as(item, is_part)),
        _ => {}
    }
}
