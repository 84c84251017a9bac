//! Late usage: what a closed period's counter holds beyond what was closed and adjusted.
//!
//! The closed rows are never touched. Each difference becomes one adjustment beside them: within
//! the grace it is paid for as at the close, from what is left now in packs that were usable then;
//! a negative one first lowers what is uncovered, and the rest goes back to the packs that paid,
//! last drawn first. After the grace it is set aside, and nobody pays.
//!
//! What changes the level of a closed period changes the level now: a metric of that size is
//! recorded in the open period, whenever it comes.

use jiff::SignedDuration;
use uuid::Uuid;

use super::instant::{Instant, OutOfRange};
use super::period::Period;
use super::quantity::{Overflow, Quantity};
use super::quota::{Account, Draw, Entry, Included, Pack};

/// What becomes of usage that comes after the grace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterGrace {
    /// It is recorded beside the closed period, and nobody pays.
    SetAside,
    /// The same, and a metric of that size counts in the open period.
    OpenPeriod,
}

/// By which rules late usage is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long after a close late usage is still charged to the closed period.
    pub grace: SignedDuration,
    pub after: AfterGrace,
}

/// One feature of a closed period, as it stands with all adjustments so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub period: Period,
    /// When it closed, in business time.
    pub closed_at: Instant,
    pub included: Included,
    /// The feature is a level.
    pub is_level: bool,
    /// The org was paused in it.
    pub is_paused: bool,
    /// What was charged for: used at the close, and late within the grace.
    pub charged: Quantity,
    pub set_aside: Quantity,
    pub drawn: Quantity,
    pub uncovered: Quantity,
    /// How many adjustments there are.
    pub adjustments: i32,
    /// What the counter holds now.
    pub counted: Quantity,
}

/// Whether late usage is charged or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Within the grace period: packs pay.
    Late,
    /// After it: nothing is drawn.
    SetAside,
}

impl Kind {
    /// The word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::SetAside => "set_aside",
        }
    }
}

/// A line beside a closed period.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adjustment {
    /// Its place, from 1 on.
    pub seq: i32,
    pub kind: Kind,
    /// Usage that came late; negative for a correction.
    pub used: Quantity,
    /// What packs paid for it; negative when it went back.
    pub drawn: Quantity,
    /// What nobody paid for; negative when less is uncovered.
    pub uncovered: Quantity,
    pub reason: String,
    pub entries: Vec<Entry>,
    /// What each of them held before.
    pub packs_before: Vec<(Uuid, Quantity)>,
    /// A metric of that size is to be recorded in the open period.
    pub in_open_period: bool,
}

/// Late usage that cannot be decided: a number leaves its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A quantity.
    #[error("{0}")]
    Overflow(#[from] Overflow),
    /// An instant.
    #[error("{0}")]
    OutOfRange(#[from] OutOfRange),
}

/// Decides what becomes of the difference between a closed period's counter and its books; `None`
/// when there is none. `packs` are those that hold something or were drawn by this period, `draws`
/// what it has drawn from them.
///
/// # Errors
/// [`Undecided`] when a number leaves its range.
pub fn decide(
    closed: &Closed,
    packs: &[Pack],
    draws: Vec<Draw>,
    rules: Rules,
    now: Instant,
) -> Result<Option<Adjustment>, Undecided> {
    let used = closed.counted.minus(closed.charged)?.minus(closed.set_aside)?;
    if used.is_zero() {
        return Ok(None);
    }
    let seq = closed.adjustments + 1;
    let packs = if closed.is_level || closed.is_paused { &[] } else { packs };
    let (drawn, uncovered, entries) = (Quantity::ZERO, Quantity::ZERO, Vec::new());
    if now > closed.closed_at.plus(rules.grace)? {
        let in_open_period = closed.is_level || rules.after == AfterGrace::OpenPeriod;
        let charged = match (closed.is_level, in_open_period) {
            (true, _) => "; carried over to the open period",
            (false, true) => "; charged to the open period",
            (false, false) => "",
        };
        return Ok(Some(Adjustment {
            seq,
            kind: Kind::SetAside,
            used,
            drawn,
            uncovered,
            reason: format!("counted after the grace period{charged}"),
            entries,
            packs_before: Vec::new(),
            in_open_period,
        }));
    }
    let mut late = Adjustment {
        seq,
        kind: Kind::Late,
        used,
        drawn,
        uncovered,
        reason: "counted after the close, within the grace period".to_owned(),
        entries,
        packs_before: Vec::new(),
        in_open_period: closed.is_level,
    };
    let before = closed.drawn.plus(closed.uncovered)?;
    let due = closed.included.overage(closed.charged.plus(used)?)?.minus(before)?;
    let mut account = Account::new(packs.to_vec(), draws);
    if due.is_negative() {
        let surplus = Quantity::ZERO.minus(due)?;
        let lowered = surplus.min(closed.uncovered.or_zero());
        let rest = surplus.minus(lowered)?;
        let returned = account.return_late(closed.period, now, rest, &mut late.entries)?;
        late.drawn = Quantity::ZERO.minus(returned)?;
        late.uncovered = Quantity::ZERO.minus(surplus.minus(returned)?)?;
    } else {
        late.drawn = account.pay_late(closed.period, now, due, &mut late.entries)?;
        late.uncovered = due.minus(late.drawn)?;
    }
    let is_mentioned = |pack: &&Pack| late.entries.iter().any(|entry| entry.pack == pack.id);
    late.packs_before =
        packs.iter().filter(is_mentioned).map(|pack| (pack.id, pack.remaining)).collect();
    Ok(Some(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn units(number: i64) -> Quantity {
        Quantity::units(number)
    }

    /// May with 500 included, closed with some usage on June 1, and something in its counter.
    fn may(used: i64, drawn: i64, uncovered: i64, counted: i64) -> Closed {
        let (start, end) = (at("2026-05-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        Closed {
            period: Period { start, end },
            closed_at: end,
            included: Included::Quantity(units(500)),
            is_level: false,
            is_paused: false,
            charged: units(used),
            set_aside: Quantity::ZERO,
            drawn: units(drawn),
            uncovered: units(uncovered),
            adjustments: 0,
            counted: units(counted),
        }
    }

    fn pack(id: u128, remaining: i64, purchased: &str, expires: Option<&str>) -> Pack {
        Pack {
            id: Uuid::from_u128(id),
            feature: "minutes".into(),
            remaining: units(remaining),
            purchased_at: at(purchased),
            expires_at: expires.map(at),
            entries: 3,
        }
    }

    fn draw(id: u128, quantity: i64) -> Draw {
        let at = at("2026-06-01T00:00:00Z");
        Draw { pack: Uuid::from_u128(id), quantity: units(quantity), at }
    }

    fn rules(after: AfterGrace) -> Rules {
        Rules { grace: SignedDuration::from_hours(72), after }
    }

    fn decided(closed: &Closed, packs: &[Pack], draws: Vec<Draw>, now: &str) -> Adjustment {
        decide(closed, packs, draws, rules(AfterGrace::SetAside), at(now)).unwrap().unwrap()
    }

    const SOON: &str = "2026-06-02T00:00:00Z";

    #[test]
    fn late_usage_draws_on_what_is_left_in_packs_that_were_usable_then() {
        let packs = [
            pack(1, 20, "2026-05-10T00:00:00Z", None),
            pack(2, 900, "2026-06-01T00:00:00Z", None), // bought after the period
            pack(3, 900, "2026-05-01T00:00:00Z", Some("2026-06-01T12:00:00Z")), // expired since
        ];
        let late = decided(&may(480, 0, 0, 530), &packs, vec![], SOON);
        assert_eq!((late.kind, late.seq), (Kind::Late, 1));
        assert_eq!((late.used, late.drawn, late.uncovered), (units(50), units(20), units(10)));
        assert_eq!(late.packs_before, [(Uuid::from_u128(1), units(20))]);
        assert_eq!(late.entries.len(), 1);
        assert_eq!(late.entries[0].seq, 4);
        assert_eq!(late.entries[0].at, at(SOON));
    }

    #[test]
    fn what_was_uncovered_at_the_close_is_not_paid_later() {
        let packs = [pack(1, 100, "2026-05-10T00:00:00Z", None)];
        let late = decided(&may(600, 0, 100, 630), &packs, vec![], SOON);
        assert_eq!((late.drawn, late.uncovered), (units(30), Quantity::ZERO));
    }

    #[test]
    fn a_correction_lowers_uncovered_first_and_then_gives_back_last_drawn_first() {
        let packs = [
            pack(1, 0, "2026-05-01T00:00:00Z", Some("2026-06-01T12:00:00Z")),
            pack(2, 5, "2026-05-02T00:00:00Z", None),
        ];
        let drawn = || vec![draw(1, 40), draw(2, 30)];
        let late = decided(&may(580, 70, 10, 530), &packs, drawn(), SOON);
        assert_eq!((late.used, late.drawn, late.uncovered), (units(-50), units(-40), units(-10)));
        let entries: Vec<_> =
            late.entries.iter().map(|e| (e.pack.as_u128(), e.kind.name(), e.quantity)).collect();
        // Ten of them return to a pack that has expired meanwhile, and expire at once.
        let expected =
            [(2, "drawn", units(-30)), (1, "drawn", units(-10)), (1, "expired", units(10))];
        assert_eq!(entries, expected);
        let small = decided(&may(580, 70, 10, 575), &packs, drawn(), SOON);
        assert_eq!((small.drawn, small.uncovered), (Quantity::ZERO, units(-5)));
        assert!(small.entries.is_empty());
    }

    #[test]
    fn the_grace_ends_where_it_ends() {
        let late = |now| decided(&may(600, 0, 100, 650), &[], vec![], now);
        assert_eq!(late("2026-06-04T00:00:00Z").kind, Kind::Late);
        let aside = late("2026-06-04T00:00:00.000001Z");
        assert_eq!((aside.kind, aside.used), (Kind::SetAside, units(50)));
        assert_eq!((aside.drawn, aside.uncovered), (Quantity::ZERO, Quantity::ZERO));
        let open = rules(AfterGrace::OpenPeriod);
        let now = at("2026-06-20T00:00:00Z");
        let charged = decide(&may(600, 0, 100, 650), &[], vec![], open, now).unwrap().unwrap();
        assert!(charged.in_open_period && !aside.in_open_period);
    }

    #[test]
    fn packs_pay_neither_for_levels_nor_in_a_pause() {
        let packs = [pack(1, 20, "2026-05-10T00:00:00Z", None)];
        let level = Closed { is_level: true, ..may(480, 0, 0, 530) };
        let level = decided(&level, &packs, vec![], SOON);
        assert_eq!((level.used, level.drawn, level.uncovered), (units(50), units(0), units(30)));
        assert!(level.in_open_period && level.entries.is_empty());
        let long_after = Closed { is_level: true, ..may(480, 0, 0, 470) };
        let long_after = decided(&long_after, &packs, vec![], "2026-06-20T00:00:00Z");
        assert!(long_after.in_open_period, "the level now is another one");
        let paused = Closed { is_paused: true, included: Included::NONE, ..may(0, 0, 0, 7) };
        let paused = decided(&paused, &packs, vec![], SOON);
        assert_eq!((paused.drawn, paused.uncovered), (units(0), units(7)));
        assert!(!paused.in_open_period);
    }

    #[test]
    fn no_difference_is_no_adjustment() {
        let now = at(SOON);
        let none = decide(&may(600, 0, 100, 600), &[], vec![], rules(AfterGrace::SetAside), now);
        assert_eq!(none.unwrap(), None);
        let set_aside = Closed { set_aside: units(-20), ..may(600, 0, 100, 580) };
        let none = decide(&set_aside, &[], vec![], rules(AfterGrace::SetAside), now);
        assert_eq!(none.unwrap(), None);
    }
}
