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
}

const CLOSES: [Column; 18] = [
    ("cursor", Type::Text),
    ("org", Type::Text),
    ("org_id", Type::Text),
    ("period_start", Type::At),
    ("period_end", Type::At),
    ("time_zone", Type::Text),
    ("tier", Type::Text),
    ("closed_at", Type::At),
    ("feature", Type::Text),
    ("used", Type::Exact),
    ("included", Type::Exact),
    ("drawn", Type::Exact),
    ("uncovered", Type::Exact),
    ("uncovered_price_cents", Type::Exact),
    ("uncovered_amount_cents", Type::Exact),
    ("currency", Type::Text),
    ("hand_over", Type::Text),
    ("handed_over_at", Type::At),
];
const PACKS: [Column; 14] = [
    ("cursor", Type::Text),
    ("org", Type::Text),
    ("org_id", Type::Text),
    ("pack_id", Type::Text),
    ("reference", Type::Text),
    ("feature", Type::Text),
    ("quantity", Type::Exact),
    ("price_cents", Type::Whole),
    ("currency", Type::Text),
    ("purchased_at", Type::At),
    ("expires_at", Type::At),
    ("moved_from", Type::Text),
    ("hand_over", Type::Text),
    ("handed_over_at", Type::At),
];
const LEDGER: [Column; 14] = [
    ("cursor", Type::Text),
    ("org", Type::Text),
    ("org_id", Type::Text),
    ("pack_id", Type::Text),
    ("reference", Type::Text),
    ("feature", Type::Text),
    ("seq", Type::Whole),
    ("kind", Type::Text),
    ("quantity", Type::Exact),
    ("remaining", Type::Exact),
    ("at", Type::At),
    ("period_start", Type::At),
    ("hand_over", Type::Text),
    ("handed_over_at", Type::At),
];
const ADJUSTMENTS: [Column; 17] = [
    ("cursor", Type::Text),
    ("org", Type::Text),
    ("org_id", Type::Text),
    ("period_start", Type::At),
    ("feature", Type::Text),
    ("seq", Type::Whole),
    ("kind", Type::Text),
    ("used", Type::Exact),
    ("drawn", Type::Exact),
    ("uncovered", Type::Exact),
    ("uncovered_price_cents", Type::Exact),
    ("uncovered_amount_cents", Type::Exact),
    ("currency", Type::Text),
    ("reason", Type::Text),
    ("decided_at", Type::At),
    ("hand_over", Type::Text),
    ("handed_over_at", Type::At),
];

/// The columns of an export, in their order.
pub(crate) fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Closes => &CLOSES,
        Kind::Packs => &PACKS,
        Kind::Ledger => &LEDGER,
        Kind::Adjustments => &ADJUSTMENTS,
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
            Self::Closes(rows) => rows.last().map(|row| row.position),
            Self::Packs(rows) => rows.last().map(|row| row.position),
            Self::Ledger(rows) => rows.last().map(|row| row.position),
            Self::Adjustments(rows) => rows.last().map(|row| row.position),
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
        let mut written = Written { to, since, lines: 0, last: since };
        match &self.rows {
            Rows::Closes(rows) => {
                for row in rows {
                    self.close(row, &mut written)?;
                }
            }
            Rows::Packs(rows) => {
                for row in rows {
                    written.line(Cursor::row(row.position), &self.pack(row))?;
                }
            }
            Rows::Ledger(rows) => {
                for row in rows {
                    written.line(Cursor::row(row.position), &self.entry(row))?;
                }
            }
            Rows::Adjustments(rows) => {
                for row in rows {
                    written.line(Cursor::row(row.position), &self.adjustment(row)?)?;
                }
            }
        }
        Ok((written.lines > 0).then_some((written.lines, written.last)))
    }

    /// A line for each feature; one for a period without usage, so that each close is there.
    fn close(&self, row: &CloseRow, to: &mut Written<'_>) -> io::Result<()> {
        let [hand_over, handed_over_at] = self.handed_over(row.position);
        let places = (0..row.features.len()).map(Some);
        let lines = places.chain(row.features.is_empty().then_some(None));
        for (line, place) in (1_u32..).zip(lines) {
            if to.since.covers(row.position, line) {
                continue;
            }
            let of = |list: &[Quantity]| place.and_then(|place| list.get(place)).copied();
            let or_none = |list: &[Option<Quantity>]| {
                place.and_then(|place| list.get(place)).copied().flatten()
            };
            let (uncovered, price) = (of(&row.uncovered), row.prices.as_deref().and_then(or_none));
            let cursor = Cursor::line(row.position, line);
            to.take(
                cursor,
                &[
                    Value::Cursor(cursor),
                    Value::Text(&row.org),
                    Value::Id(row.org_id),
                    Value::At(row.period_start),
                    Value::At(row.period_end),
                    Value::text(row.time_zone.as_deref()),
                    Value::Text(&row.tier),
                    Value::At(row.closed_at),
                    Value::text(
                        place.and_then(|place| row.features.get(place)).map(String::as_str),
                    ),
                    Value::of(of(&row.used), Value::Exact),
                    Value::of(or_none(&row.included), Value::Exact),
                    Value::of(of(&row.drawn), Value::Exact),
                    Value::of(uncovered, Value::Exact),
                    Value::of(price, Value::Exact),
                    cost(uncovered, price)?,
                    Value::text(row.currency.as_deref()),
                    hand_over,
                    handed_over_at,
                ],
            )?;
        }
        Ok(())
    }

    fn pack<'a>(&'a self, row: &'a PackRow) -> [Value<'a>; 14] {
        let [hand_over, handed_over_at] = self.handed_over(row.position);
        [
            Value::Cursor(Cursor::row(row.position)),
            Value::Text(&row.org),
            Value::Id(row.org_id),
            Value::Id(row.pack_id),
            Value::text(row.reference.as_deref()),
            Value::Text(&row.feature),
            Value::Exact(row.quantity),
            Value::of(row.price_cents, Value::Whole),
            Value::text(row.currency.as_deref()),
            Value::At(row.purchased_at),
            Value::of(row.expires_at, Value::At),
            Value::of(row.moved_from, Value::Id),
            hand_over,
            handed_over_at,
        ]
    }

    fn entry<'a>(&'a self, row: &'a EntryRow) -> [Value<'a>; 14] {
        let [hand_over, handed_over_at] = self.handed_over(row.position);
        [
            Value::Cursor(Cursor::row(row.position)),
            Value::Text(&row.org),
            Value::Id(row.org_id),
            Value::Id(row.pack_id),
            Value::text(row.reference.as_deref()),
            Value::Text(&row.feature),
            Value::Whole(row.seq.into()),
            Value::Text(&row.kind),
            Value::Exact(row.quantity),
            Value::Exact(row.remaining),
            Value::At(row.at),
            Value::of(row.period_start, Value::At),
            hand_over,
            handed_over_at,
        ]
    }

    fn adjustment<'a>(&'a self, row: &'a AdjustmentRow) -> io::Result<[Value<'a>; 17]> {
        let [hand_over, handed_over_at] = self.handed_over(row.position);
        Ok([
            Value::Cursor(Cursor::row(row.position)),
            Value::Text(&row.org),
            Value::Id(row.org_id),
            Value::At(row.period_start),
            Value::Text(&row.feature),
            Value::Whole(row.seq.into()),
            Value::Text(&row.kind),
            Value::Exact(row.used),
            Value::Exact(row.drawn),
            Value::Exact(row.uncovered),
            Value::of(row.price, Value::Exact),
            cost(Some(row.uncovered), row.price)?,
            Value::text(row.currency.as_deref()),
            Value::text(row.reason.as_deref()),
            Value::At(row.decided_at),
            hand_over,
            handed_over_at,
        ])
    }

    /// The hand-over of a position.
    fn handed_over(&self, position: i64) -> [Value<'_>; 2] {
        let found =
            self.hand_overs.iter().find(|one| one.after < position && position <= one.up_to);
        let name = found.map(|one| one.name.as_str());
        [Value::text(name), Value::of(found.map(|one| one.handed_over_at), Value::At)]
    }
}

/// What uncovered usage costs, where it has a price.
fn cost<'a>(uncovered: Option<Quantity>, price: Option<Quantity>) -> io::Result<Value<'a>> {
    match uncovered.zip(price) {
        None => Ok(Value::Null),
        Some((uncovered, price)) => {
            amount(uncovered, price).map(Value::Exact).map_err(io::Error::other)
        }
    }
}

/// Counts what is taken, and leaves out what the consumer has.
struct Written<'a> {
    to: &'a mut dyn Lines,
    since: Cursor,
    lines: u64,
    last: Cursor,
}

impl Written<'_> {
    fn line(&mut self, cursor: Cursor, values: &[Value<'_>]) -> io::Result<()> {
        if self.since.covers(cursor.position(), 1) {
            return Ok(());
        }
        self.take(cursor, values)
    }

    fn take(&mut self, cursor: Cursor, values: &[Value<'_>]) -> io::Result<()> {
        self.to.line(values)?;
        self.lines += 1;
        self.last = cursor;
        Ok(())
    }
}
