//! Lists as CSV (RFC 4180): the fields of the JSON as columns, in their order.
//!
//! Quantities and times are what the JSON says, exact and in UTC; what is a list or an object there
//! is JSON in its cell. Names that a spreadsheet would take for a formula begin with an apostrophe.

use std::borrow::Cow;
use std::io;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::text;

/// A cell that begins so is computed by whoever opens the file in a spreadsheet.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The answer as CSV: the list that it is, or the first list in it.
///
/// # Errors
/// [`io::Error`] for an answer that is not a list of objects.
pub(crate) fn document<T: Serialize + JsonSchema>(answer: &T) -> io::Result<Vec<u8>> {
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
        Value::String(text) => text_cell(text).into_owned(),
        other => text::visible(&other.to_string()).into_owned(),
    }
}

/// A text as a cell: no formula, and one line.
pub(crate) fn text_cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) {
        return format!("'{}", text::visible(text)).into();
    }
    text::visible(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Row {
        name: &'static str,
        count: i32,
        none: Option<i32>,
    }

    fn csv(rows: &[(&'static str, i32)]) -> String {
        let row = |(name, count): &(&'static str, i32)| Row { name, count: *count, none: None };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        String::from_utf8(document(&rows).expect("a list")).expect("UTF-8")
    }

    #[test]
    fn names_are_no_formulas_and_numbers_stay_numbers() {
        let rows = [("=1+1", -1), ("-x", 2), ("@x", 3), ("+x", 4), ("\tx", 5), ("a=b", 6)];
        assert_eq!(
            csv(&rows),
            "name,count,none\n'=1+1,-1,\n'-x,2,\n'@x,3,\n'+x,4,\n'\\tx,5,\na=b,6,\n"
        );
        let rows = [("=cmd|' /C calc'!A0", 1), ("\t=1", 2), ("Acme = best", 3)];
        assert_eq!(
            csv(&rows),
            "name,count,none\n'=cmd|' /C calc'!A0,1,\n'\\t=1,2,\nAcme = best,3,\n"
        );
        assert_eq!(csv(&[("a \"b\", c", 1)]), "name,count,none\n\"a \"\"b\"\", c\",1,\n");
        assert_eq!(csv(&[]), "name,count,none\n", "the heading alone");
    }
}
