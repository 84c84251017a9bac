//! Rows for others, in the order in which they were inserted: pages by their positions, how far
//! rows are final, and which rows were handed over by name.
//!
//! Rows are numbered when they are inserted, and transactions commit in another order. Pages are
//! read up to a position that [`settled`] returned, below which nothing comes any more.
//!
//! Never: a row below a position that was settled before; a hand-over that overlaps another.

pub mod adjustments;
pub mod closes;
pub mod hand_overs;
pub mod ledger;
pub mod packs;
pub mod settled;

use settled::Numbered;

/// What is exported: a table with a position in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Closed periods.
    Closes,
    /// Purchased packs.
    Packs,
    /// Entries of the ledger of packs.
    Ledger,
    /// Adjustments of closed periods.
    Adjustments,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Closes, Self::Packs, Self::Ledger, Self::Adjustments];

    /// As it is typed and stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closes => "closes",
            Self::Packs => "packs",
            Self::Ledger => "ledger",
            Self::Adjustments => "adjustments",
        }
    }

    /// Its rows.
    pub const fn rows(self) -> Numbered {
        let table = match self {
            Self::Closes => "billing_periods",
            Self::Packs => "overage_packs",
            Self::Ledger => "overage_entries",
            Self::Adjustments => "billing_adjustments",
        };
        Numbered { table, column: "export_position" }
    }
}

/// Rows to be read: those after one position, up to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub after: i64,
    pub up_to: i64,
}
