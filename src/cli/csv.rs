//! Lists as CSV (RFC 4180): the fields of the JSON as columns, in their order.
//!
//! Quantities and times are what the JSON says, exact and in UTC; what is a list or an object there
//! is JSON in its cell.

use std::io;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::text;

/// The answer as CSV. Commands whose answers are no lists are refused before they begin
/// (`Command::answers_with_a_list`).
///
/// # Errors
/// [`io::Error`] for an answer that is not a list of objects.
pub(super) fn document<T: Serialize + JsonSchema>(answer: &T) -> io::Result<Vec<u8>> {
    let rows = match serde_json::to_value(answer)? {
        Value::Array(rows) => rows,
        // Beside the list there may be remarks on it: the list comes first.
        Value::Object(fields) => fields
            .into_iter()
            .find_map(|(_, field)| if let Value::Array(rows) = field { Some(rows) } else { None })
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    let rows: Vec<Map<String, Value>> =
        rows.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    let columns = columns::<T>(&rows);
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns)?;
    for row in &rows {
        let cells = columns.iter().map(|column| row.get(column).map_or_else(String::new, cell));
        writer.write_record(cells)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// One line, whatever a name holds: see [`text`].
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text::visible(text).into_owned(),
        other => text::visible(&other.to_string()).into_owned(),
    }
}

/// The fields of the first row, and those that only others have; of an empty list, what its schema
/// says.
fn columns<T: JsonSchema>(rows: &[Map<String, Value>]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for column in rows.iter().flat_map(Map::keys) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    if !columns.is_empty() {
        return columns;
    }
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = Value::from(schema.into_root_schema_for::<T>());
    // The answer is the list, or its first list is.
    let of_list = |schema: &Value| {
        let name = schema["items"]["$ref"].as_str()?.rsplit('/').next()?;
        Some(name.to_owned())
    };
    let mut lists = schema["properties"].as_object().into_iter().flat_map(Map::values);
    let name = of_list(&schema).or_else(|| lists.find_map(of_list)).unwrap_or_default();
    let fields = schema["$defs"][&name]["properties"].as_object();
    fields.into_iter().flat_map(Map::keys).cloned().collect()
}
