//! Exports as Apache Parquet: numbers as exact decimals, times as microseconds in UTC.
//!
//! Lines are held by column until a row group is full, and leave with it.

use std::io;
use std::sync::Arc;

use ::parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::Type as Schema;

use crate::jobs::export::lines::{Column, Lines, Type, Value};

/// Lines of a row group: enough for readers to skip by, few enough to hold.
const GROUP_LINES: usize = 16_384;
/// Digits of a quantity, those behind the point, and the bytes that hold them.
const DIGITS: i32 = 28;
const DECIMALS: i32 = 6;
const BYTES: usize = 12;

/// Writes lines as Parquet.
pub(super) struct Parquet<W: io::Write> {
    to: W,
    /// `None` once it is finished.
    file: Option<SerializedFileWriter<Vec<u8>>>,
    columns: Vec<Held>,
    lines: usize,
}

/// The values of a column that are held.
struct Held {
    /// Of each line, whether it says something (1) or not (0).
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Exact(Vec<::parquet::data_type::FixedLenByteArray>),
}

impl<W: io::Write> Parquet<W> {
    /// A file with these columns.
    ///
    /// # Errors
    /// Of what it writes to.
    pub(super) fn new(to: W, columns: &[Column]) -> io::Result<Self> {
        let fields = columns.iter().map(|(name, kind)| field(name, *kind).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Schema::group_type_builder("periodd").with_fields(fields).build();
        let schema = Arc::new(schema.map_err(failed)?);
        let properties = WriterProperties::builder()
            .set_created_by(concat!("periodd ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties));
        let held = |(_, kind): &Column| Held {
            levels: Vec::with_capacity(GROUP_LINES),
            values: match kind {
                Type::Text => Values::Text(Vec::new()),
                Type::Whole | Type::At => Values::Whole(Vec::new()),
                Type::Exact => Values::Exact(Vec::new()),
            },
        };
        let columns = columns.iter().map(held).collect();
        Ok(Self { to, file: Some(file.map_err(failed)?), columns, lines: 0 })
    }

    /// Writes the lines that are held as a row group.
    fn write_group(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.lines > 0) else { return Ok(()) };
        let mut group = file.next_row_group().map_err(failed)?;
        for column in &mut self.columns {
            column.write(&mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        self.lines = 0;
        file.flush()?;
        let bytes = file.inner_mut();
        self.to.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }
}

impl<W: io::Write> Lines for Parquet<W> {
    fn line(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value)?;
        }
        self.lines += 1;
        if self.lines == GROUP_LINES { self.write_group() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_group()?;
        if let Some(file) = self.file.take() {
            let rest = file.into_inner().map_err(failed)?;
            self.to.write_all(&rest)?;
        }
        self.to.flush()
    }
}

impl Held {
    fn push(&mut self, value: &Value<'_>) -> io::Result<()> {
        match (&mut self.values, value) {
            (_, Value::Null) => {
                self.levels.push(0);
                return Ok(());
            }
            (Values::Text(held), Value::Text(text)) => held.push(ByteArray::from(*text)),
            (Values::Text(held), Value::Id(id)) => held.push(id.to_string().into_bytes().into()),
            (Values::Text(held), Value::Cursor(cursor)) => {
                held.push(cursor.to_string().into_bytes().into());
            }
            (Values::Whole(held), Value::Whole(number)) => held.push(*number),
            (Values::Whole(held), Value::At(at)) => held.push(at.microseconds()),
            (Values::Exact(held), Value::Exact(quantity)) => {
                // Below 2^95: the first four of sixteen bytes only repeat the sign.
                let bytes = quantity.millionths().to_be_bytes();
                held.push(ByteArray::from(bytes[16 - BYTES..].to_vec()).into());
            }
            _ => return Err(io::Error::other("a value is not of its column's type")),
        }
        self.levels.push(1);
        Ok(())
    }

    fn write(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("a column is missing".to_owned()));
        };
        let levels = Some(&self.levels[..]);
        match &mut self.values {
            Values::Text(held) => {
                column.typed::<ByteArrayType>().write_batch(held, levels, None)?;
                held.clear();
            }
            Values::Whole(held) => {
                column.typed::<Int64Type>().write_batch(held, levels, None)?;
                held.clear();
            }
            Values::Exact(held) => {
                column.typed::<FixedLenByteArrayType>().write_batch(held, levels, None)?;
                held.clear();
            }
        }
        self.levels.clear();
        column.close()
    }
}

fn field(name: &str, kind: Type) -> Result<Schema, ParquetError> {
    let (physical, logical) = match kind {
        Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Type::Whole => (Physical::INT64, None),
        Type::At => {
            // Adjusted to UTC.
            (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
        }
        Type::Exact => {
            (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(DECIMALS, DIGITS)))
        }
    };
    let field = Schema::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    match kind {
        Type::Exact => field
            .with_length(i32::try_from(BYTES).unwrap_or_default())
            .with_precision(DIGITS)
            .with_scale(DECIMALS)
            .build(),
        _ => field.build(),
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => *inner,
            Err(inner) => io::Error::other(inner),
        },
        other => io::Error::other(other),
    }
}
