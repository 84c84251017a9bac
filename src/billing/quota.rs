//! Quotas: what is included, what packs pay for, in which order, and what stays uncovered.
//!
//! Included is used first, packs after. Packs are drawn at two kinds of moment, by the one
//! function [`Account::settle`]: when a pack expires, and when the period closes. Each moment
//! draws `max(0, usage so far − included) − already drawn in this period`; a negative difference
//! gives back, last drawn first.

use std::sync::Arc;

use uuid::Uuid;

use super::instant::Instant;
use super::period::Period;
use super::quantity::{Overflow, Quantity};

/// The name of something metered, in lower case.
pub type Feature = Arc<str>;

/// What a tier or an override grants of one feature per period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Included {
    /// No limit; nothing is ever overage.
    Unlimited,
    /// This much.
    Quantity(Quantity),
}

impl Included {
    /// Nothing is granted: no row says otherwise.
    pub const NONE: Self = Self::Quantity(Quantity::ZERO);

    /// The column that says so: `None` is unlimited.
    #[must_use]
    pub const fn column(self) -> Option<Quantity> {
        match self {
            Self::Unlimited => None,
            Self::Quantity(quantity) => Some(quantity),
        }
    }

    /// Overage: how much of `used` lies above what is included.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn overage(self, used: Quantity) -> Result<Quantity, Overflow> {
        match self {
            Self::Unlimited => Ok(Quantity::ZERO),
            Self::Quantity(included) => Ok(used.minus(included)?.or_zero()),
        }
    }
}

impl From<Option<Quantity>> for Included {
    fn from(column: Option<Quantity>) -> Self {
        column.map_or(Self::Unlimited, Self::Quantity)
    }
}

impl serde::Serialize for Included {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.column().serialize(serializer)
    }
}

/// Overage that an org bought, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The pack's id, which is also the last word in the drawing order.
    pub id: Uuid,
    /// What it pays for.
    pub feature: Feature,
    /// What is left of it.
    pub remaining: Quantity,
    /// From when it is usable.
    pub purchased_at: Instant,
    /// Until when it is usable; `None` never expires.
    pub expires_at: Option<Instant>,
    /// How many entries its ledger has.
    pub entries: i32,
}

impl Pack {
    /// The order in which packs are drawn: soonest expiry, then oldest purchase, then id.
    fn drawing_order(&self) -> (bool, Option<Instant>, Instant, Uuid) {
        (self.expires_at.is_none(), self.expires_at, self.purchased_at, self.id)
    }

    fn expired(&self, at: Instant) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= at)
    }
}

/// A moment at which packs pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Packs expire at this instant.
    Expiry(Instant),
    /// Packs expire at the very end of this period.
    ExpiryAtEnd(Period),
    /// The period closes at its end.
    Close(Period),
}

impl Moment {
    /// When it is.
    #[must_use]
    pub const fn at(self) -> Instant {
        match self {
            Self::Expiry(at) => at,
            Self::ExpiryAtEnd(period) | Self::Close(period) => period.end,
        }
    }

    /// May this pack pay at this moment? At an expiry it must exist by then, and the expiring
    /// pack itself still pays; at a close it must overlap the period that closes. A pack bought
    /// at the end of a period never pays for it.
    fn lets_pay(self, pack: &Pack) -> bool {
        let outlives = |at: Instant| pack.expires_at.is_none_or(|expires_at| expires_at > at);
        match self {
            Self::Expiry(at) => {
                pack.purchased_at <= at && (outlives(at) || pack.expires_at == Some(at))
            }
            Self::ExpiryAtEnd(Period { end, .. }) => {
                pack.purchased_at < end && (outlives(end) || pack.expires_at == Some(end))
            }
            Self::Close(period) => pack.purchased_at < period.end && outlives(period.start),
        }
    }
}

/// What an entry in the ledger of packs says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The pack paid for overage; a negative quantity gives back.
    Drawn,
    /// The rest was written off at the pack's expiry.
    Expired,
}

impl EntryKind {
    /// The word in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Expired => "expired",
        }
    }
}

/// One line of the append-only ledger of packs.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Entry {
    /// Whose pack.
    pub pack: Uuid,
    /// Its place in the pack's ledger, from 1 on without a gap.
    pub seq: i32,
    /// What happened.
    pub kind: EntryKind,
    /// How much; negative for a draw that is given back.
    pub quantity: Quantity,
    /// The moment in business time: the expiry, or the end of the period that closed.
    pub at: Instant,
    /// The start of the period that it belongs to.
    pub period_start: Instant,
    /// What the pack holds afterwards.
    pub remaining: Quantity,
}

/// A draw that stands in the ledger already, in the period that is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draw {
    /// From which pack.
    pub pack: Uuid,
    /// How much, gives-back subtracted.
    pub quantity: Quantity,
    /// When it was drawn, in business time.
    pub at: Instant,
}

/// The packs of one org and feature while a rollover is planned.
#[derive(Debug)]
pub struct Account {
    packs: Vec<Pack>,
    /// What was drawn in the period under way and not given back, in the order drawn.
    drawn: Vec<Drawn>,
}

/// A part of what was drawn in the period under way.
#[derive(Debug)]
struct Drawn {
    /// Index into the account's packs.
    pack: usize,
    quantity: Quantity,
    at: Instant,
}

/// How one moment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What packs paid in this period, all moments together.
    pub drawn: Quantity,
    /// What no pack paid for.
    pub uncovered: Quantity,
}

impl Account {
    /// An account of these packs, with what the open period has drawn from them already.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn new(mut packs: Vec<Pack>, draws: &[Draw]) -> Result<Self, Overflow> {
        packs.sort_by_key(Pack::drawing_order);
        let position = |pack: Uuid| packs.iter().position(|candidate| candidate.id == pack);
        let placed = |draw: &Draw| {
            let (quantity, at) = (draw.quantity, draw.at);
            Some(Drawn { pack: position(draw.pack)?, quantity, at })
        };
        let mut draws: Vec<Drawn> = draws.iter().filter_map(placed).collect();
        // Within one moment packs are drawn in their order, so (moment, order) is the order drawn.
        draws.sort_by_key(|draw| (draw.at, draw.pack));
        let mut account = Self { packs, drawn: Vec::with_capacity(draws.len()) };
        for draw in draws {
            if draw.quantity.is_negative() {
                account.forget(draw.pack, Quantity::ZERO.minus(draw.quantity)?)?;
            } else {
                account.drawn.push(draw);
            }
        }
        Ok(account)
    }

    /// Takes what a pack was given back off what it paid, last first.
    fn forget(&mut self, pack: usize, returned: Quantity) -> Result<(), Overflow> {
        let mut returned = returned;
        for draw in self.drawn.iter_mut().rev().filter(|draw| draw.pack == pack) {
            let part = returned.min(draw.quantity);
            returned = returned.minus(part)?;
            draw.quantity = draw.quantity.minus(part)?;
        }
        self.drawn.retain(|draw| draw.quantity.is_positive());
        Ok(())
    }

    /// The next expiry of a pack that holds something, up to and including `until`. What was
    /// given back at one expiry may be settled at the next, so each is asked for in its turn.
    #[must_use]
    pub fn next_expiry(&self, after: Option<Instant>, until: Instant) -> Option<Instant> {
        let holding = self.packs.iter().filter(|pack| pack.remaining.is_positive());
        let expiries = holding.filter_map(|pack| pack.expires_at);
        expiries.filter(|at| after.is_none_or(|after| *at > after) && *at <= until).min()
    }

    /// Pays for `overage` (all of the period's so far) at `moment`, and appends what that does
    /// to `ledger`. At an expiry, the rest of the packs that expire is written off.
    ///
    /// A pack may come to light after its expiry, when later moments have drawn already: these
    /// draws are no surplus of an earlier moment, and nothing is given back then.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn settle(
        &mut self,
        moment: Moment,
        period_start: Instant,
        overage: Quantity,
        ledger: &mut Vec<Entry>,
    ) -> Result<Settled, Overflow> {
        let mut book = Book { at: moment.at(), period_start, ledger };
        let due = overage.minus(self.drawn_so_far()?)?;
        let is_past = self.drawn.last().is_some_and(|last| last.at > moment.at());
        if !due.is_negative() {
            self.draw(due, moment, &mut book)?;
        } else if !is_past {
            self.give_back(Quantity::ZERO.minus(due)?, &mut book)?;
        }
        if !matches!(moment, Moment::Close(_)) {
            self.write_off(moment.at(), &mut book)?;
        }
        let drawn = self.drawn_so_far()?;
        Ok(Settled { drawn, uncovered: overage.minus(drawn)?.or_zero() })
    }

    /// Writes off, without drawing, what packs hold that expired at or before `at`.
    ///
    /// # Errors
    /// [`Overflow`], which cannot happen for quantities that are in range.
    pub fn expire(
        &mut self,
        at: Instant,
        period_start: Instant,
        ledger: &mut Vec<Entry>,
    ) -> Result<(), Overflow> {
        self.write_off(at, &mut Book { at, period_start, ledger })
    }

    /// Begins the next period: what was drawn so far belongs to a closed one.
    pub fn next_period(&mut self) {
        self.drawn.clear();
    }

    /// What the packs that may pay at `moment` still hold.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn usable(&self, moment: Moment) -> Result<Quantity, Overflow> {
        let usable = self.packs.iter().filter(|pack| moment.lets_pay(pack));
        Quantity::sum(usable.map(|pack| pack.remaining))
    }

    /// What was drawn in the period under way.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn drawn_so_far(&self) -> Result<Quantity, Overflow> {
        Quantity::sum(self.drawn.iter().map(|draw| draw.quantity))
    }

    /// The packs as they stand now.
    #[must_use]
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    fn draw(&mut self, due: Quantity, moment: Moment, book: &mut Book<'_>) -> Result<(), Overflow> {
        let mut due = due;
        for (index, pack) in self.packs.iter_mut().enumerate() {
            let part = due.min(pack.remaining);
            if part.is_positive() && moment.lets_pay(pack) {
                due = due.minus(part)?;
                book.write(pack, EntryKind::Drawn, part)?;
                self.drawn.push(Drawn { pack: index, quantity: part, at: book.at });
            }
        }
        Ok(())
    }

    /// Gives back to the packs, last drawn first. What returns to an expired pack expires at once.
    fn give_back(&mut self, surplus: Quantity, book: &mut Book<'_>) -> Result<(), Overflow> {
        let mut surplus = surplus;
        while surplus.is_positive() {
            let Some(last) = self.drawn.pop() else { return Ok(()) };
            let part = surplus.min(last.quantity);
            surplus = surplus.minus(part)?;
            let pack = &mut self.packs[last.pack];
            let rest = last.quantity.minus(part)?;
            if rest.is_positive() {
                self.drawn.push(Drawn { quantity: rest, ..last });
            }
            book.write(pack, EntryKind::Drawn, Quantity::ZERO.minus(part)?)?;
            if pack.expired(book.at) {
                book.write(pack, EntryKind::Expired, pack.remaining)?;
            }
        }
        Ok(())
    }

    fn write_off(&mut self, at: Instant, book: &mut Book<'_>) -> Result<(), Overflow> {
        for pack in self.packs.iter_mut().filter(|pack| pack.expired(at)) {
            if pack.remaining.is_positive() {
                book.write(pack, EntryKind::Expired, pack.remaining)?;
            }
        }
        Ok(())
    }
}

/// Where entries are written: the ledger, with the moment and the period that they share.
struct Book<'a> {
    at: Instant,
    period_start: Instant,
    ledger: &'a mut Vec<Entry>,
}

impl Book<'_> {
    fn write(&mut self, pack: &mut Pack, kind: EntryKind, part: Quantity) -> Result<(), Overflow> {
        pack.remaining = pack.remaining.minus(part)?;
        pack.entries += 1;
        self.ledger.push(Entry {
            pack: pack.id,
            seq: pack.entries,
            kind,
            quantity: part,
            at: self.at,
            period_start: self.period_start,
            remaining: pack.remaining,
        });
        Ok(())
    }
}

/// Purchased remaining: `min(remaining of usable packs, max(0, allowance − used))`, where the
/// allowance is included + drawn in this period so far + remaining of the usable packs.
///
/// # Errors
/// [`Overflow`] from 10^22 units on.
pub fn purchased_remaining(
    included: Included,
    drawn: Quantity,
    usable: Quantity,
    used: Quantity,
) -> Result<Quantity, Overflow> {
    match included {
        Included::Unlimited => Ok(usable),
        Included::Quantity(included) => {
            let allowance = included.plus(drawn)?.plus(usable)?;
            Ok(usable.min(allowance.minus(used)?.or_zero()))
        }
    }
}
