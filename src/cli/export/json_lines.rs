//! Exports as JSON lines: an object on each line, with the columns as its fields.

use std::fmt::Write as _;
use std::io;

use crate::jobs::export::lines::{Column, Lines, Value};

/// Writes lines as JSON.
pub(super) struct JsonLines<'a, W: io::Write> {
    to: W,
    columns: &'a [Column],
    line: String,
}

impl<'a, W: io::Write> JsonLines<'a, W> {
    /// Each line is written to `to` at once.
    pub(super) fn new(to: W, columns: &'a [Column]) -> Self {
        Self { to, columns, line: String::new() }
    }
}

impl<W: io::Write> Lines for JsonLines<'_, W> {
    fn line(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        self.line.clear();
        for ((name, _), value) in self.columns.iter().zip(values) {
            let sign = if self.line.is_empty() { '{' } else { ',' };
            match value {
                Value::Null => write!(self.line, "{sign}\"{name}\":null"),
                Value::Text(text) => {
                    let text = serde_json::to_string(text)?;
                    write!(self.line, "{sign}\"{name}\":{text}")
                }
                Value::Id(id) => write!(self.line, "{sign}\"{name}\":\"{id}\""),
                Value::Cursor(cursor) => write!(self.line, "{sign}\"{name}\":\"{cursor}\""),
                Value::Whole(number) => write!(self.line, "{sign}\"{name}\":{number}"),
                Value::Exact(quantity) => write!(self.line, "{sign}\"{name}\":{quantity}"),
                Value::At(at) => write!(self.line, "{sign}\"{name}\":\"{at}\""),
            }
            .map_err(io::Error::other)?;
        }
        self.line.push_str("}\n");
        self.to.write_all(self.line.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
