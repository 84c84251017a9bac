//! Units that somebody sold in a derived column, and that no pack stands for.

use jiff::SignedDuration;
use uuid::Uuid;

use super::{Decided, Kind, Notice, Part, WithoutPack};
use crate::billing::instant::OutOfRange;
use crate::billing::{Instant, Quantity};

/// For how long operators hear of it.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(72);

/// A column of purchased units that holds more than periodd and packs put there.
#[derive(Clone, Copy, Debug)]
pub struct Sold<'a> {
    pub column: &'a str,
    /// The row's key.
    pub row: Uuid,
    pub feature: &'a str,
    /// What no pack stands for.
    pub quantity: Quantity,
    /// What packs have granted in all: a sale after a grant is another one.
    pub granted: Quantity,
}

/// What operators hear of it. It is recorded once: its key names the column, the row, the
/// quantity and what packs have granted by then.
///
/// # Errors
/// [`OutOfRange`] at the very ends of the calendar.
pub fn decide(sold: &Sold<'_>, now: Instant) -> Result<Decided, OutOfRange> {
    let Sold { column, row, feature, quantity, granted } = *sold;
    let notice = WithoutPack {
        column: column.to_owned(),
        feature: feature.to_owned(),
        quantity,
        found_at: now,
    };
    Ok(Decided {
        kind: Kind::PurchaseWithoutPack,
        key: format!("{column}/{row}/{granted}/{quantity}"),
        part: Part::Tells(Notice::PurchaseWithoutPack(notice)),
        until: now.plus(TOLD_FOR)?,
    })
}
