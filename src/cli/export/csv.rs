//! Exports as CSV (RFC 4180), by the rules of [`crate::csv`].

use std::fmt::Write as _;
use std::io;

use crate::csv::text_cell;
use crate::jobs::export::lines::{Column, Lines, Value};

/// Writes lines as CSV.
pub(super) struct Csv<W: io::Write> {
    writer: ::csv::Writer<W>,
    /// Where a value is spelled.
    cell: String,
}

impl<W: io::Write> Csv<W> {
    /// With the heading written.
    ///
    /// # Errors
    /// Of what it writes to.
    pub(super) fn new(to: W, columns: &[Column]) -> io::Result<Self> {
        let mut writer = ::csv::Writer::from_writer(to);
        writer.write_record(columns.iter().map(|(name, _)| name))?;
        Ok(Self { writer, cell: String::new() })
    }
}

impl<W: io::Write> Lines for Csv<W> {
    fn line(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        for value in values {
            self.cell.clear();
            match value {
                Value::Null => Ok(()),
                Value::Text(text) => {
                    self.writer.write_field(text_cell(text).as_bytes())?;
                    continue;
                }
                Value::Id(id) => write!(self.cell, "{id}"),
                Value::Cursor(cursor) => write!(self.cell, "{cursor}"),
                Value::Whole(number) => write!(self.cell, "{number}"),
                Value::Exact(quantity) => write!(self.cell, "{quantity}"),
                Value::At(at) => write!(self.cell, "{at}"),
            }
            .map_err(io::Error::other)?;
            self.writer.write_field(&self.cell)?;
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
