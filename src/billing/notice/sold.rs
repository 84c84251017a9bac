//! Units that somebody sold in a derived column, and that no pack stands for.

use jiff::SignedDuration;
use uuid::Uuid;

use super::{Decided, Kind, Notice, Part, Seen, WithoutPack};
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

impl Sold<'_> {
    /// The reference under which a pack is granted for it: however often that is done, the org gets
    /// one pack.
    pub fn reference(&self) -> String {
        let Self { column, row, quantity, granted, .. } = self;
        let id = Uuid::new_v5(row, format!("{column}/{granted}/{quantity}").as_bytes());
        format!("sold:{:08x}", id.as_fields().0)
    }
}

/// What operators hear of it. It is recorded once: its key names the column, the row, what packs
/// have granted by then, and the quantity. `None` where as much or more was recorded since the last
/// grant: an application that lowers the column by itself has sold nothing.
///
/// # Errors
/// [`OutOfRange`] at the very ends of the calendar.
pub fn decide(sold: &Sold<'_>, seen: &[Seen], now: Instant) -> Result<Option<Decided>, OutOfRange> {
    let Sold { column, row, feature, quantity, granted } = *sold;
    let since_grant = format!("{column}/{row}/{granted}/");
    let recorded = |one: &Seen| -> Option<Quantity> {
        let is_it = one.kind == Kind::PurchaseWithoutPack;
        one.key.strip_prefix(&since_grant).filter(|_| is_it)?.parse().ok()
    };
    if seen.iter().filter_map(recorded).any(|recorded| recorded >= quantity) {
        return Ok(None);
    }
    let notice = WithoutPack {
        column: column.to_owned(),
        feature: feature.to_owned(),
        quantity,
        reference: sold.reference(),
        found_at: now,
    };
    Ok(Some(Decided {
        kind: Kind::PurchaseWithoutPack,
        key: format!("{since_grant}{quantity}"),
        part: Part::Tells(Notice::PurchaseWithoutPack(notice)),
        until: now.plus(TOLD_FOR)?,
    }))
}
