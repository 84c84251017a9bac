//! Who pays for what: included and packs as bands that lie on each other.
//!
//! Usage fills the bands from below. A pack is there from its purchase to its expiry; of one that
//! has expired inside the period, what usage had reached of it by then stays, because that is what
//! it pays.

use crate::billing::{Instant, Period, Quantity};

/// A pack that may pay in the period.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pack {
    /// Its reference, or the beginning of its id.
    pub name: String,
    /// What it holds, and what it has paid in this period.
    pub quantity: Quantity,
    /// From when it can be used.
    pub from: Instant,
    /// Until when; `None`: for good.
    pub until: Option<Instant>,
}

/// A band, from left to right.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Band {
    pub(super) pieces: Vec<Piece>,
}

/// A band while its height does not change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Piece {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) low: Quantity,
    pub(super) high: Quantity,
    /// Can more of it be used? Not of a pack that has expired.
    pub(super) is_open: bool,
}

impl Band {
    /// The piece at an instant; at the very end the last one.
    pub(super) fn at(&self, at: Instant) -> Option<&Piece> {
        let holds = |piece: &&Piece| piece.from <= at && at < piece.to;
        self.pieces.iter().find(holds).or_else(|| self.pieces.last().filter(|last| last.to <= at))
    }
}

/// The bands of a period from below: the first is what is included, then each pack in the order in
/// which they pay. `used` is what has been used, or will have been, by an instant.
pub(super) fn stack(
    period: Period,
    included: Quantity,
    packs: &[Pack],
    used: impl Fn(Instant) -> Quantity,
) -> Vec<Band> {
    let inside = |at: &Instant| period.start < *at && *at < period.end;
    let ends = packs.iter().flat_map(|pack| [Some(pack.from), pack.until]).flatten();
    let mut breaks: Vec<Instant> = ends.filter(inside).collect();
    breaks.extend([period.start, period.end]);
    breaks.sort_unstable();
    breaks.dedup();
    let mut bands = vec![Band { pieces: Vec::new() }; packs.len() + 1];
    // What packs that have expired paid.
    let mut paid: Vec<Option<Quantity>> = vec![None; packs.len()];
    for pair in breaks.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let mut low = Quantity::ZERO;
        let heights = std::iter::once((included, true)).chain(packs.iter().zip(&mut paid).map(
            |(pack, paid)| match pack.until {
                _ if pack.from > from => (Quantity::ZERO, false),
                Some(until) if until <= from => (paid.unwrap_or(Quantity::ZERO), false),
                _ => (pack.quantity.or_zero(), true),
            },
        ));
        let heights: Vec<(Quantity, bool)> = heights.collect();
        for (number, (height, is_open)) in heights.into_iter().enumerate() {
            let high = low.plus(height).unwrap_or(low);
            bands[number].pieces.push(Piece { from, to, low, high, is_open });
            let pack = number.checked_sub(1);
            if let Some(pack) = pack.filter(|pack| is_open && packs[*pack].until == Some(to)) {
                let reached = used(to).minus(low).unwrap_or_default().or_zero();
                paid[pack] = Some(reached.min(height));
            }
            low = high;
        }
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Instant {
        Instant::from_microseconds(day * 86_400_000_000).unwrap()
    }

    fn units(units: i64) -> Quantity {
        Quantity::units(units)
    }

    fn pack(quantity: i64, from: i64, until: Option<i64>) -> Pack {
        let quantity = units(quantity);
        Pack { name: String::new(), quantity, from: at(from), until: until.map(at) }
    }

    /// From, to, low, high.
    fn pieces(band: &Band) -> Vec<(i64, i64, i128, i128)> {
        let day = |at: Instant| at.microseconds() / 86_400_000_000;
        let unit = |quantity: Quantity| quantity.millionths() / 1_000_000;
        let of =
            |piece: &Piece| (day(piece.from), day(piece.to), unit(piece.low), unit(piece.high));
        band.pieces.iter().map(of).collect()
    }

    #[test]
    fn a_pack_that_expires_leaves_what_it_pays() {
        let period = Period { start: at(0), end: at(30) };
        // 4 a day: on day 20, 80 are used: all 50 included, and 30 of the pack that expires then.
        let used = |at: Instant| units(at.microseconds() / 86_400_000_000 * 4);
        let packs = [pack(100, -5, Some(20)), pack(40, 10, None)];
        let bands = stack(period, units(50), &packs, used);
        assert_eq!(pieces(&bands[0]), [(0, 10, 0, 50), (10, 20, 0, 50), (20, 30, 0, 50)]);
        assert_eq!(pieces(&bands[1]), [(0, 10, 50, 150), (10, 20, 50, 150), (20, 30, 50, 80)]);
        assert_eq!(pieces(&bands[2]), [(0, 10, 150, 150), (10, 20, 150, 190), (20, 30, 80, 120)]);
        let open: Vec<bool> = bands[1].pieces.iter().map(|piece| piece.is_open).collect();
        assert_eq!(open, [true, true, false]);
        assert_eq!(bands[2].at(at(30)).unwrap().high, units(120), "the end is its last piece");
    }
}
