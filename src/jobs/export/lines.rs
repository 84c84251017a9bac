//! The lines of an export: its columns, and what each row says in them.

use std::io;

use uuid::Uuid;

use super::cursor::Cursor;
use crate::billing::price::amount;
use crate::billing::{Instant, Quantity};
use crate::store::exports::Kind;
use crate::store::exports::adjustments::AdjustmentRow;
use crate::store::exports::closes::CloseRow;
use crate::store::exports::hand_overs::HandOver;
use crate::store::exports::ledger::EntryRow;
use crate::store::exports::packs::PackRow;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    /// A whole number.
    Whole,
    /// An exact number with at most six decimals.
    Exact,
    /// An instant, in UTC.
    At,
}

/// A column by its name.
pub(crate) type Column = (&'static str, Type);

/// What a line says in a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Nothing.
    Null,
    Text(&'a str),
    Id(Uuid),
    Cursor(Cursor),
    Whole(i64),
    Exact(Quantity),
    At(Instant),
}

impl<'a> Value<'a> {
    fn of<T>(value: Option<T>, known: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, known)
    }

    fn text(value: Option<&'a str>) -> Self {
        Self::of(value, Self::Text)
    }

    fn exact(value: Option<Quantity>) -> Self {
        Self::of(value, Self::Exact)
    }
}

/// A line of an export: a row, and what goes with it.
struct Line<'a, R> {
    row: &'a R,
    cursor: Cursor,
    /// Which of the row's features it is about.
    place: usize,
    /// What uncovered usage costs, where it has a price.
    cost: Option<Quantity>,
    hand_over: Option<&'a HandOver>,
}

impl Line<'_, CloseRow> {
    fn of<T: Copy>(&self, list: &[T]) -> Option<T> {
        list.get(self.place).copied()
    }
}

/// A column, and what the lines of such rows say in it.
struct Field<R> {
    name: &'static str,
    holds: Type,
    says: for<'a> fn(&Line<'a, R>) -> Value<'a>,
}

impl<R> Field<R> {
    const CURSOR: Self = Self::of("cursor", Type::Text, |line| Value::Cursor(line.cursor));
    const HAND_OVER: Self = Self::of("hand_over", Type::Text, |line| {
        Value::text(line.hand_over.map(|one| one.name.as_str()))
    });
    const HANDED_OVER_AT: Self = Self::of("handed_over_at", Type::At, |line| {
        Value::of(line.hand_over.map(|one| one.handed_over_at), Value::At)
    });

    const fn of(
        name: &'static str,
        holds: Type,
        says: for<'a> fn(&Line<'a, R>) -> Value<'a>,
    ) -> Self {
        Self { name, holds, says }
    }
}

/// A row that is exported.
trait Row: Sized + 'static {
    /// What its lines say, column by column.
    const FIELDS: &'static [Field<Self>];

    fn position(&self) -> i64;

    /// How many lines it has.
    fn lines(&self) -> u32 {
        1
    }

    /// The cursor of a line, the first of which is 1.
    fn cursor(&self, _line: u32) -> Cursor {
        Cursor::row(self.position())
    }

    /// Uncovered usage and its price, of which the cost is made.
    fn uncovered(&self, _place: usize) -> Option<(Quantity, Quantity)> {
        None
    }
}

/// A line for each feature; one for a period without usage, so that each close is there.
impl Row for CloseRow {
    const FIELDS: &'static [Field<Self>] = &[
        Field::CURSOR,
        Field::of("org", Type::Text, |line| Value::Text(&line.row.org)),
        Field::of("org_id", Type::Text, |line| Value::Id(line.row.org_id)),
        Field::of("period_start", Type::At, |line| Value::At(line.row.period_start)),
        Field::of("period_end", Type::At, |line| Value::At(line.row.period_end)),
        Field::of("time_zone", Type::Text, |line| Value::text(line.row.time_zone.as_deref())),
        Field::of("tier", Type::Text, |line| Value::Text(&line.row.tier)),
        Field::of("closed_at", Type::At, |line| Value::At(line.row.closed_at)),
        Field::of("feature", Type::Text, |line| {
            Value::text(line.row.features.get(line.place).map(String::as_str))
        }),
        Field::of("used", Type::Exact, |line| Value::exact(line.of(&line.row.used))),
        Field::of("included", Type::Exact, |line| {
            Value::exact(line.of(&line.row.included).flatten())
        }),
        Field::of("drawn", Type::Exact, |line| Value::exact(line.of(&line.row.drawn))),
        Field::of("uncovered", Type::Exact, |line| Value::exact(line.of(&line.row.uncovered))),
        Field::of("uncovered_price_cents", Type::Exact, |line| {
            Value::exact(line.row.prices.as_deref().and_then(|prices| line.of(prices)).flatten())
        }),
        Field::of("uncovered_amount_cents", Type::Exact, |line| Value::exact(line.cost)),
        Field::of("currency", Type::Text, |line| Value::text(line.row.currency.as_deref())),
        Field::HAND_OVER,
        Field::HANDED_OVER_AT,
    ];

    fn position(&self) -> i64 {
        self.position
    }

    fn lines(&self) -> u32 {
        u32::try_from(self.features.len()).unwrap_or(u32::MAX).max(1)
    }

    fn cursor(&self, line: u32) -> Cursor {
        Cursor::line(self.position, line)
    }

    fn uncovered(&self, place: usize) -> Option<(Quantity, Quantity)> {
        let price = self.prices.as_deref()?.get(place).copied().flatten()?;
        Some((*self.uncovered.get(place)?, price))
    }
}

impl Row for PackRow {
    const FIELDS: &'static [Field<Self>] = &[
        Field::CURSOR,
        Field::of("org", Type::Text, |line| Value::Text(&line.row.org)),
        Field::of("org_id", Type::Text, |line| Value::Id(line.row.org_id)),
        Field::of("pack_id", Type::Text, |line| Value::Id(line.row.pack_id)),
        Field::of("reference", Type::Text, |line| Value::text(line.row.reference.as_deref())),
        Field::of("feature", Type::Text, |line| Value::Text(&line.row.feature)),
        Field::of("quantity", Type::Exact, |line| Value::Exact(line.row.quantity)),
        Field::of("price_cents", Type::Whole, |line| Value::of(line.row.price_cents, Value::Whole)),
        Field::of("currency", Type::Text, |line| Value::text(line.row.currency.as_deref())),
        Field::of("purchased_at", Type::At, |line| Value::At(line.row.purchased_at)),
        Field::of("expires_at", Type::At, |line| Value::of(line.row.expires_at, Value::At)),
        Field::of("moved_from", Type::Text, |line| Value::of(line.row.moved_from, Value::Id)),
        Field::HAND_OVER,
        Field::HANDED_OVER_AT,
    ];

    fn position(&self) -> i64 {
        self.position
    }
}

impl Row for EntryRow {
    const FIELDS: &'static [Field<Self>] = &[
        Field::CURSOR,
        Field::of("org", Type::Text, |line| Value::Text(&line.row.org)),
        Field::of("org_id", Type::Text, |line| Value::Id(line.row.org_id)),
        Field::of("pack_id", Type::Text, |line| Value::Id(line.row.pack_id)),
        Field::of("reference", Type::Text, |line| Value::text(line.row.reference.as_deref())),
        Field::of("feature", Type::Text, |line| Value::Text(&line.row.feature)),
        Field::of("seq", Type::Whole, |line| Value::Whole(line.row.seq.into())),
        Field::of("kind", Type::Text, |line| Value::Text(&line.row.kind)),
        Field::of("quantity", Type::Exact, |line| Value::Exact(line.row.quantity)),
        Field::of("remaining", Type::Exact, |line| Value::Exact(line.row.remaining)),
        Field::of("at", Type::At, |line| Value::At(line.row.at)),
        Field::of("period_start", Type::At, |line| Value::of(line.row.period_start, Value::At)),
        Field::HAND_OVER,
        Field::HANDED_OVER_AT,
    ];

    fn position(&self) -> i64 {
        self.position
    }
}

impl Row for AdjustmentRow {
    const FIELDS: &'static [Field<Self>] = &[
        Field::CURSOR,
        Field::of("org", Type::Text, |line| Value::Text(&line.row.org)),
        Field::of("org_id", Type::Text, |line| Value::Id(line.row.org_id)),
        Field::of("period_start", Type::At, |line| Value::At(line.row.period_start)),
        Field::of("feature", Type::Text, |line| Value::Text(&line.row.feature)),
        Field::of("seq", Type::Whole, |line| Value::Whole(line.row.seq.into())),
        Field::of("kind", Type::Text, |line| Value::Text(&line.row.kind)),
        Field::of("used", Type::Exact, |line| Value::Exact(line.row.used)),
        Field::of("drawn", Type::Exact, |line| Value::Exact(line.row.drawn)),
        Field::of("uncovered", Type::Exact, |line| Value::Exact(line.row.uncovered)),
        Field::of("uncovered_price_cents", Type::Exact, |line| Value::exact(line.row.price)),
        Field::of("uncovered_amount_cents", Type::Exact, |line| Value::exact(line.cost)),
        Field::of("currency", Type::Text, |line| Value::text(line.row.currency.as_deref())),
        Field::of("reason", Type::Text, |line| Value::text(line.row.reason.as_deref())),
        Field::of("decided_at", Type::At, |line| Value::At(line.row.decided_at)),
        Field::HAND_OVER,
        Field::HANDED_OVER_AT,
    ];

    fn position(&self) -> i64 {
        self.position
    }

    fn uncovered(&self, _place: usize) -> Option<(Quantity, Quantity)> {
        Some((self.uncovered, self.price?))
    }
}

/// The columns of an export, in their order.
pub(crate) fn columns(kind: Kind) -> Vec<Column> {
    fn of<R: Row>() -> Vec<Column> {
        R::FIELDS.iter().map(|field| (field.name, field.holds)).collect()
    }
    match kind {
        Kind::Closes => of::<CloseRow>(),
        Kind::Packs => of::<PackRow>(),
        Kind::Ledger => of::<EntryRow>(),
        Kind::Adjustments => of::<AdjustmentRow>(),
    }
}

/// Rows of one kind.
#[derive(Debug)]
pub(crate) enum Rows {
    Closes(Vec<CloseRow>),
    Packs(Vec<PackRow>),
    Ledger(Vec<EntryRow>),
    Adjustments(Vec<AdjustmentRow>),
}

impl Rows {
    /// The position of the last one.
    pub(crate) fn last_position(&self) -> Option<i64> {
        match self {
            Self::Closes(rows) => rows.last().map(Row::position),
            Self::Packs(rows) => rows.last().map(Row::position),
            Self::Ledger(rows) => rows.last().map(Row::position),
            Self::Adjustments(rows) => rows.last().map(Row::position),
        }
    }
}

/// Rows, and the hand-overs that they belong to.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Rows,
    pub(crate) hand_overs: Vec<HandOver>,
}

/// Takes the lines of an export, one by one.
pub(crate) trait Lines {
    /// Takes a line, with a value for each column.
    ///
    /// # Errors
    /// Of whatever it writes to.
    fn line(&mut self, values: &[Value<'_>]) -> io::Result<()>;

    /// Nothing comes any more.
    ///
    /// # Errors
    /// Of whatever it writes to.
    fn finish(&mut self) -> io::Result<()>;
}

impl Page {
    /// Hands the lines over that come after a cursor, and returns how many there are and the last
    /// one's cursor.
    ///
    /// # Errors
    /// Of the one who takes them, or for an amount beyond 10^22.
    pub(crate) fn write(
        &self,
        since: Cursor,
        to: &mut dyn Lines,
    ) -> io::Result<Option<(u64, Cursor)>> {
        match &self.rows {
            Rows::Closes(rows) => self.lines(rows, since, to),
            Rows::Packs(rows) => self.lines(rows, since, to),
            Rows::Ledger(rows) => self.lines(rows, since, to),
            Rows::Adjustments(rows) => self.lines(rows, since, to),
        }
    }

    fn lines<R: Row>(
        &self,
        rows: &[R],
        since: Cursor,
        to: &mut dyn Lines,
    ) -> io::Result<Option<(u64, Cursor)>> {
        let mut written = None;
        let mut values = Vec::with_capacity(R::FIELDS.len());
        for row in rows {
            let hand_over = self.hand_over(row.position());
            for (place, number) in (1..=row.lines()).enumerate() {
                // The consumer has it.
                if since.covers(row.position(), number) {
                    continue;
                }
                let cost = row.uncovered(place).map(|(uncovered, price)| amount(uncovered, price));
                let cost = cost.transpose().map_err(io::Error::other)?;
                let line = Line { row, cursor: row.cursor(number), place, cost, hand_over };
                values.clear();
                values.extend(R::FIELDS.iter().map(|field| (field.says)(&line)));
                to.line(&values)?;
                let before = written.map_or(0, |(lines, _)| lines);
                written = Some((before + 1, line.cursor));
            }
        }
        Ok(written)
    }

    /// The hand-over of a position.
    fn hand_over(&self, position: i64) -> Option<&HandOver> {
        self.hand_overs.iter().find(|one| one.after < position && position <= one.up_to)
    }
}
