//! Quotas: what is included, what packs pay for, in which order, and what stays uncovered.
//!
//! Included is used first, packs after. Packs are drawn at two kinds of moment, by the one
//! function [`Account::settle`]: when a pack expires, and when the period closes. Each moment
//! draws `max(0, usage so far − included) − already drawn in this period`; a negative difference
//! gives back, last drawn first.

pub mod level;

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
    pub const fn column(self) -> Option<Quantity> {
        match self {
            Self::Unlimited => None,
            Self::Quantity(quantity) => Some(quantity),
        }
    }

    /// This, and no less than what was used within another grant: what that one allowed stays
    /// covered.
    pub fn covering(self, other: Self, used: Quantity) -> Self {
        let within = match other {
            Self::Unlimited => used,
            Self::Quantity(included) => included.min(used),
        };
        match self {
            Self::Unlimited => Self::Unlimited,
            Self::Quantity(included) => Self::Quantity(included.max(within)),
        }
    }

    /// The limit of a level: what is included, and what packs hold that raise it.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn raised_by(self, packs: Quantity) -> Result<Self, Overflow> {
        match self {
            Self::Unlimited => Ok(self),
            Self::Quantity(included) => Ok(Self::Quantity(included.plus(packs)?)),
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

/// What a counter keeps of the limits that held in its period: one that falls does not reach back.
/// The database's `periodd_at_least` and `periodd_kept` say the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// What had been used within limits whose fall somebody has seen.
    pub at_least: Quantity,
    /// What was granted when somebody last looked, the largest number for unlimited; `None`: nobody
    /// has.
    pub seen: Option<Quantity>,
}

impl Kept {
    /// What is included where this much is granted now, and that much was used: never less than
    /// what had been used within a limit that has fallen.
    pub fn included(self, granted: Included, used: Quantity) -> Included {
        match granted {
            Included::Unlimited => Included::Unlimited,
            Included::Quantity(granted) => {
                let fallen = self.seen.map_or(Quantity::ZERO, |seen| seen.min(used));
                Included::Quantity(granted.max(self.at_least).max(fallen))
            }
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
    /// Packs expire at this instant, in this period.
    Expiry(Instant, Period),
    /// The period closes at its end.
    Close(Period),
    /// Usage of the closed period comes to light at this instant.
    Late(Instant, Period),
}

impl Moment {
    /// When it is.
    pub const fn at(self) -> Instant {
        match self {
            Self::Expiry(at, _) | Self::Late(at, _) => at,
            Self::Close(period) => period.end,
        }
    }

    /// The period that pays.
    pub const fn period(self) -> Period {
        match self {
            Self::Expiry(_, period) | Self::Close(period) | Self::Late(_, period) => period,
        }
    }

    /// May this pack pay at this moment? It must have been bought before the period's end; at an
    /// expiry it must exist by then, and the expiring pack itself still pays; at a close it must
    /// have outlived the period's start. What comes late finds only packs that have not expired
    /// since: what those still hold is the open period's until it is written off.
    fn lets_pay(self, pack: &Pack) -> bool {
        let bought_in_time = pack.purchased_at < self.period().end;
        bought_in_time
            && match self {
                Self::Expiry(at, _) => {
                    pack.purchased_at <= at && (!pack.expired(at) || pack.expires_at == Some(at))
                }
                Self::Close(period) => !pack.expired(period.start),
                Self::Late(at, period) => !pack.expired(period.start) && !pack.expired(at),
            }
    }
}

/// What an entry in the ledger of packs says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The pack paid for overage; a negative quantity gives back.
    Drawn,
    /// The rest was written off at the pack's expiry.
    Expired,
}

impl EntryKind {
    /// The word in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Expired => "expired",
        }
    }
}

/// One line of the append-only ledger of packs.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
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
    pub pack: Uuid,
    pub quantity: Quantity,
    /// When it was drawn, in business time.
    pub at: Instant,
}

/// The packs of one org and feature while a rollover is planned.
#[derive(Debug)]
pub struct Account {
    packs: Vec<Pack>,
    /// Index into `packs` and quantity, in the order drawn, for the period under way.
    drawn: Vec<(usize, Quantity)>,
    /// The latest moment at which the period under way has drawn.
    last_draw: Option<Instant>,
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
    pub fn new(mut packs: Vec<Pack>, mut ledger: Vec<Draw>) -> Self {
        packs.sort_by_key(Pack::drawing_order);
        let position = |pack: Uuid| packs.iter().position(|candidate| candidate.id == pack);
        // Within one moment packs are drawn in their order, so (moment, order) is the order drawn.
        ledger.sort_by_key(|draw| (draw.at, position(draw.pack)));
        ledger.retain(|draw| position(draw.pack).is_some());
        let last_draw = ledger.iter().map(|draw| draw.at).max();
        let mut drawn: Vec<(usize, Quantity)> = Vec::new();
        for Draw { pack, quantity, .. } in ledger {
            let Some(index) = position(pack) else { continue };
            if quantity.is_negative() {
                take_back(&mut drawn, index, quantity);
            } else {
                drawn.push((index, quantity));
            }
        }
        drawn.retain(|(_, quantity)| quantity.is_positive());
        Self { packs, drawn, last_draw }
    }

    /// The next expiry after `after` of a pack that holds something, up to and including `until`.
    /// Ask again after it is settled: settling one empties packs, and may give back to others.
    pub fn next_expiry(&self, after: Instant, until: Instant) -> Option<Instant> {
        let holding = self.packs.iter().filter(|pack| pack.remaining.is_positive());
        let expiries = holding.filter_map(|pack| pack.expires_at);
        expiries.filter(|at| after < *at && *at <= until).min()
    }

    /// Pays for `overage` (all of the period's so far) at `moment`, and appends what that does
    /// to `ledger`. At an expiry, the rest of the packs that expire is written off.
    ///
    /// A pack may come to light after its expiry, when later moments have drawn already: these
    /// draws are no surplus of the earlier moment, and nothing is given back at it.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn settle(
        &mut self,
        moment: Moment,
        overage: Quantity,
        ledger: &mut Vec<Entry>,
    ) -> Result<Settled, Overflow> {
        let period_start = moment.period().start;
        let mut book = Book { at: moment.at(), period_start, ledger };
        let due = overage.minus(self.drawn_so_far()?)?;
        let is_past = self.last_draw.is_some_and(|last| last > moment.at());
        if !due.is_negative() {
            self.draw(due, moment, &mut book)?;
        } else if !is_past {
            self.give_back(Quantity::ZERO.minus(due)?, &mut book)?;
        }
        if let Moment::Expiry(at, _) = moment {
            self.write_off(at, &mut book)?;
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

    /// Pays at `now` for overage that came late to a closed period, from what is left in the packs
    /// that were usable for it. Returns what they paid.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn pay_late(
        &mut self,
        period: Period,
        now: Instant,
        overage: Quantity,
        ledger: &mut Vec<Entry>,
    ) -> Result<Quantity, Overflow> {
        let before = self.drawn_so_far()?;
        let mut book = Book { at: now, period_start: period.start, ledger };
        self.draw(overage, Moment::Late(now, period), &mut book)?;
        self.drawn_so_far()?.minus(before)
    }

    /// Gives back at `now` what a closed period turns out not to have needed, last drawn first;
    /// what returns to an expired pack expires at once. Returns what went back.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn return_late(
        &mut self,
        period: Period,
        now: Instant,
        surplus: Quantity,
        ledger: &mut Vec<Entry>,
    ) -> Result<Quantity, Overflow> {
        let before = self.drawn_so_far()?;
        self.give_back(surplus, &mut Book { at: now, period_start: period.start, ledger })?;
        before.minus(self.drawn_so_far()?)
    }

    /// Begins the next period: what was drawn so far belongs to a closed one.
    pub fn next_period(&mut self) {
        self.drawn.clear();
        self.last_draw = None;
    }

    /// What the packs that may pay at `moment` still hold.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn usable(&self, moment: Moment) -> Result<Quantity, Overflow> {
        let usable = self.packs.iter().filter(|pack| moment.lets_pay(pack));
        Quantity::sum(usable.map(|pack| pack.remaining))
    }

    /// What the packs hold that are usable at an instant.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn usable_at(&self, at: Instant) -> Result<Quantity, Overflow> {
        let usable = |pack: &&Pack| pack.purchased_at <= at && !pack.expired(at);
        Quantity::sum(self.packs.iter().filter(usable).map(|pack| pack.remaining))
    }

    /// What was drawn in the period under way.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 units on.
    pub fn drawn_so_far(&self) -> Result<Quantity, Overflow> {
        Quantity::sum(self.drawn.iter().map(|(_, quantity)| *quantity))
    }

    /// The packs as they stand now.
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
                self.drawn.push((index, part));
                self.last_draw = self.last_draw.max(Some(book.at));
            }
        }
        Ok(())
    }

    /// Gives back to the packs, last drawn first. What returns to an expired pack expires at once.
    fn give_back(&mut self, surplus: Quantity, book: &mut Book<'_>) -> Result<(), Overflow> {
        let mut surplus = surplus;
        while surplus.is_positive() {
            let Some((index, drawn)) = self.drawn.pop() else { return Ok(()) };
            let part = surplus.min(drawn);
            surplus = surplus.minus(part)?;
            let rest = drawn.minus(part)?;
            if rest.is_positive() {
                self.drawn.push((index, rest));
            }
            let pack = &mut self.packs[index];
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

/// Lowers what was drawn from a pack by what the ledger says was given back, last drawn first.
fn take_back(drawn: &mut [(usize, Quantity)], pack: usize, given_back: Quantity) {
    let mut rest = given_back.millionths();
    for (_, held) in drawn.iter_mut().rev().filter(|(index, _)| *index == pack) {
        let left = held.millionths() + rest;
        rest = left.min(0);
        *held = Quantity::from_millionths(left.max(0)).unwrap_or_default();
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
