//! Refunds: how much of a pack may go back to the buyer.
//!
//! At most what is purchased remaining: what usage has already claimed above the included quantity
//! is spent, although it is drawn from the packs only when the period closes.

use uuid::Uuid;

use super::derived::PurchasedColumn;
use super::instant::Instant;
use super::quantity::{Overflow, Quantity};
use super::quota::{Included, Pack, purchased_remaining};
use super::when::shown_in_utc;

/// What a refund depends on: one pack, and the account of its feature in the open period.
#[derive(Clone, Debug)]
pub struct Claim {
    pub pack: Pack,
    pub included: Included,
    /// What was used in the open period, whether it is counted yet or not.
    pub used: Quantity,
    /// What packs have paid for in it.
    pub drawn: Quantity,
    /// What the usable packs of the feature hold, this one among them.
    pub usable: Quantity,
    /// When the open period ends; `None`: none is open.
    pub period_end: Option<Instant>,
    /// The derived column that shows what is left, where it shows this feature.
    pub shown: Option<PurchasedColumn>,
}

/// What is refunded: a value that leaves nothing to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub pack: Uuid,
    pub quantity: Quantity,
    /// What the pack held before.
    pub before: Quantity,
    pub remaining: Quantity,
    /// The place in the pack's ledger.
    pub seq: i32,
    pub at: Instant,
    /// What the derived column should hold afterwards: in all, and by periodd's own account.
    pub shown: Option<(Quantity, Quantity)>,
}

/// Why nothing is refunded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pack is empty, or all of it is claimed.
    #[error("the pack cannot be refunded: {0}")]
    Nothing(Spent),
    /// Less can go back than was asked for.
    #[error("at most {most} of the requested {asked} can be refunded: {why}")]
    TooMuch {
        /// What was asked for.
        asked: Quantity,
        /// What can go back.
        most: Quantity,
        /// Why not more.
        why: Spent,
    },
    /// A refund of nothing, or less.
    #[error("a refund must be greater than zero")]
    NotPositive,
    /// An ended period comes first: it may draw on the pack.
    #[error(
        "the org's period ended at {} and is not closed yet; closing it may draw on the pack",
        shown_in_utc(*.0)
    )]
    Due(Instant),
    /// Nothing is known about usage yet.
    #[error("the org has no open period yet")]
    Unopened,
    /// Not usable before.
    #[error("the pack is valid, and can be refunded, only from {}", shown_in_utc(*.0))]
    NotYet(Instant),
    /// Not usable any more.
    #[error("the pack expired at {}", shown_in_utc(*.0))]
    Expired(Instant),
    /// The numbers are too large.
    #[error("{0}")]
    Overflow(#[from] Overflow),
}

/// What has become of the part of a pack that cannot go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The pack holds no more.
    Gone,
    /// Usage above the included quantity has claimed it.
    Claimed,
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "the pack is used up",
            Self::Claimed => "the rest is claimed by usage above the included quantity",
        })
    }
}

/// Decides a refund of `asked`, or of all that can go back.
///
/// # Errors
/// The [`Refusal`], a sentence each.
pub fn refund(claim: &Claim, asked: Option<Quantity>, now: Instant) -> Result<Refund, Refusal> {
    let Claim { pack, included, used, drawn, usable, .. } = claim;
    if asked.is_some_and(|asked| !asked.is_positive()) {
        return Err(Refusal::NotPositive);
    }
    match claim.period_end {
        None => return Err(Refusal::Unopened),
        Some(end) if end <= now => return Err(Refusal::Due(end)),
        Some(_) => {}
    }
    if pack.purchased_at > now {
        return Err(Refusal::NotYet(pack.purchased_at));
    }
    if let Some(at) = pack.expires_at.filter(|at| *at <= now) {
        return Err(Refusal::Expired(at));
    }
    let left = purchased_remaining(*included, *drawn, *usable, *used)?;
    let most = pack.remaining.min(left).or_zero();
    let why = if most < pack.remaining { Spent::Claimed } else { Spent::Gone };
    if !most.is_positive() {
        return Err(Refusal::Nothing(why));
    }
    let quantity = asked.unwrap_or(most);
    if quantity > most {
        return Err(Refusal::TooMuch { asked: quantity, most, why });
    }
    let shown = match claim.shown {
        Some(shown) => Some(shown_after(shown, left, quantity)?),
        None => None,
    };
    Ok(Refund {
        pack: pack.id,
        quantity,
        before: pack.remaining,
        remaining: pack.remaining.minus(quantity)?,
        seq: pack.entries + 1,
        at: now,
        shown,
    })
}

/// What others had added to the column stays on top of what is left.
fn shown_after(
    column: PurchasedColumn,
    left: Quantity,
    refunded: Quantity,
) -> Result<(Quantity, Quantity), Overflow> {
    let added_by_others = column.added_by_others(left)?;
    let left = left.minus(refunded)?;
    Ok((left.plus(added_by_others)?, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn claim(remaining: i64, used: i64) -> Claim {
        Claim {
            pack: Pack {
                id: Uuid::nil(),
                feature: "sms_sent".into(),
                remaining: Quantity::units(remaining),
                purchased_at: at("2026-05-01T00:00:00Z"),
                expires_at: Some(at("2026-08-01T00:00:00Z")),
                entries: 3,
            },
            included: Included::Quantity(Quantity::units(100)),
            used: Quantity::units(used),
            drawn: Quantity::ZERO,
            usable: Quantity::units(remaining),
            period_end: Some(at("2026-06-01T00:00:00Z")),
            shown: None,
        }
    }

    fn now() -> Instant {
        at("2026-05-15T00:00:00Z")
    }

    #[test]
    fn what_usage_has_claimed_stays() {
        let all = refund(&claim(50, 100), None, now()).unwrap();
        assert_eq!(
            (all.quantity, all.remaining, all.seq),
            (Quantity::units(50), Quantity::ZERO, 4)
        );
        let rest = refund(&claim(50, 120), None, now()).unwrap();
        assert_eq!((rest.quantity, rest.remaining), (Quantity::units(30), Quantity::units(20)));
        assert_eq!(
            refund(&claim(50, 150), None, now()),
            Err(Refusal::Nothing(Spent::Claimed)),
            "all of it is claimed"
        );
        let asked = Some(Quantity::units(31));
        let refused = refund(&claim(50, 120), asked, now()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "at most 30 of the requested 31 can be refunded: the rest is claimed by usage above \
             the included quantity"
        );
        assert_eq!(refund(&claim(0, 0), None, now()), Err(Refusal::Nothing(Spent::Gone)));
    }

    #[test]
    fn other_packs_pay_for_the_overage_first() {
        let with_another = Claim { usable: Quantity::units(90), ..claim(50, 130) };
        assert_eq!(refund(&with_another, None, now()).unwrap().quantity, Quantity::units(50));
    }

    #[test]
    fn an_unlimited_feature_claims_nothing() {
        let unlimited = Claim { included: Included::Unlimited, ..claim(50, 1_000_000) };
        assert_eq!(refund(&unlimited, None, now()).unwrap().quantity, Quantity::units(50));
    }

    #[test]
    fn only_a_usable_pack_of_an_org_that_is_up_to_date_is_refunded() {
        let zero = Some(Quantity::ZERO);
        assert_eq!(refund(&claim(5, 0), zero, now()), Err(Refusal::NotPositive));
        let end = at("2026-06-01T00:00:00Z");
        assert_eq!(refund(&claim(5, 0), None, end), Err(Refusal::Due(end)));
        let unopened = Claim { period_end: None, ..claim(5, 0) };
        assert_eq!(refund(&unopened, None, now()), Err(Refusal::Unopened));
        let late = Claim { period_end: Some(at("2027-01-01T00:00:00Z")), ..claim(5, 0) };
        let expiry = at("2026-08-01T00:00:00Z");
        assert_eq!(refund(&late, None, expiry), Err(Refusal::Expired(expiry)));
        let early = at("2026-04-01T00:00:00Z");
        assert_eq!(
            refund(&claim(5, 0), None, early),
            Err(Refusal::NotYet(at("2026-05-01T00:00:00Z")))
        );
    }

    #[test]
    fn what_others_added_to_the_column_stays() {
        let (held, written) = (Quantity::units(70), Some(Quantity::units(30)));
        let column = PurchasedColumn { held, written, granted: Quantity::units(20) };
        let claim = Claim { shown: Some(column), ..claim(50, 0) };
        let refund = refund(&claim, Some(Quantity::units(10)), now()).unwrap();
        assert_eq!(refund.shown, Some((Quantity::units(60), Quantity::units(40))));
    }
}
