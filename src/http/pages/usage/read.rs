//! What the page reads: what was kept of the last hour, and a sample of orgs.

use std::collections::HashMap;

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::offers::Offer;
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, LocalDate, Quantity};
use crate::http::pages::days::Days;
use crate::http::pages::overview::block;
use crate::http::pages::parts::{Cell, Tone, Unread, grouped};
use crate::http::problem::Problem;
use crate::http::turns::Turns;
use crate::store::messages::content;
use crate::store::overview::kept::{self, Kept, PARTS};
use crate::store::reports::overview::{self, MOST, Size};
use crate::store::reports::sample::{self, Named, OnDay, Packs};
use crate::text::url_part;

/// Days beside which as many earlier ones stand.
pub(super) const BACK: usize = 30;
/// A reading that is older than this is late: there is one an hour.
pub(super) const LATE: SignedDuration = SignedDuration::from_mins(125);
/// A month ago is any hour of two days.
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);
const WITHIN: SignedDuration = SignedDuration::from_hours(48);

/// What was kept of all orgs.
pub(super) struct Orgs {
    /// By feature.
    pub(super) kept: Vec<Kept>,
    /// How they stood a month ago, by feature.
    pub(super) then: Vec<(String, [u64; PARTS])>,
    pub(super) offers: Vec<(String, Offer)>,
    named: HashMap<Uuid, Named>,
}

impl Orgs {
    /// An org, as a link; one that is gone by its id.
    pub(super) fn name(&self, org: Uuid) -> Cell {
        match self.named.get(&org) {
            Some(named) => Cell::text(&named.slug).link(format!("/orgs/{}", url_part(&named.slug))),
            None => Cell::text(org).tone(Tone::Soft),
        }
    }

    /// The currency in which an org pays.
    pub(super) fn currency(&self, org: Uuid) -> &str {
        self.named.get(&org).map_or("", |named| &named.currency)
    }
}

pub(super) async fn kept(turns: &Turns, now: Instant) -> Result<Orgs, Unread> {
    block(turns, async |look| {
        let kept = kept::latest(look).await?;
        let month_ago = now.plus(-MONTH).unwrap_or(now);
        let from = month_ago.plus(-WITHIN).unwrap_or(month_ago);
        let then = kept::tenths_between(look, from, month_ago).await?;
        let figures = || kept.iter().map(|kept| &kept.figures);
        let most = figures().flat_map(|one| one.most.iter().map(|most| most.org));
        let ahead = figures().flat_map(|one| one.ahead.orgs.iter().map(|ahead| ahead.org));
        let ids: Vec<Uuid> = most.chain(ahead).collect();
        let named = sample::named(look, &ids).await?;
        let named = named.into_iter().map(|named| (named.id, named)).collect();
        Ok(Orgs { then, offers: content::offers(look).await?, named, kept })
    })
    .await
}

/// What was read of a sample.
pub(in crate::http) struct Sampled {
    pub(super) dates: Vec<LocalDate>,
    pub(super) days: Result<Vec<OnDay>, Unread>,
    pub(super) packs: Result<Vec<Packs>, Unread>,
    size: Result<Size, Unread>,
}

impl Sampled {
    /// How many orgs there are, where that is more than were read.
    fn all(&self) -> Option<i64> {
        let size = self.size.as_ref().ok().filter(|size| size.orgs >= MOST)?;
        size.estimate.filter(|estimate| *estimate > MOST)
    }

    /// What is so of the sample, for all orgs.
    pub(super) fn of_all(&self, quantity: Quantity) -> Quantity {
        let all = self.all().and_then(|all| scaled(quantity, all, MOST).ok());
        all.unwrap_or(quantity)
    }

    pub(super) fn sample(&self) -> Option<u64> {
        self.all().and_then(|_| u64::try_from(MOST).ok())
    }

    pub(super) fn estimated(&self) -> String {
        let most = grouped(&MOST.to_string());
        match (&self.size, self.all()) {
            (_, Some(all)) => {
                format!("estimated for {} orgs from {most} of them", grouped(&all.to_string()))
            }
            (Ok(size), None) if size.orgs >= MOST => format!("of {most} orgs"),
            (Ok(_), None) => String::new(),
            (Err(_), None) => format!("of {most} orgs at most"),
        }
    }
}

/// Reads a sample of orgs, in blocks.
///
/// # Errors
/// None: a block that fails says so.
pub(super) async fn sampled(turns: &Turns, now: Instant) -> Result<Sampled, Problem> {
    let days = Days::until(now, 2 * i64::try_from(BACK).unwrap_or_default());
    let since = days.boundaries.get(BACK).copied().unwrap_or(now);
    let size = block(turns, overview::size).await;
    let used = block(turns, async |look| sample::by_day(look, &days.boundaries).await).await;
    let packs = block(turns, async |look| sample::packs(look, since).await).await;
    Ok(Sampled { dates: days.dates, days: used, packs, size })
}

/// A quantity of the sample, as many times larger as there are more orgs.
fn scaled(used: Quantity, orgs: i64, of: i64) -> Result<Quantity, Overflow> {
    let (orgs, of) = (i128::from(orgs), i128::from(of.max(1)));
    let millionths = used.millionths().checked_mul(orgs).ok_or(Overflow)?;
    // An estimate has no parts of units.
    Quantity::from_millionths(millionths / of)?.rounded(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_as_many_times_larger_as_there_are_more_orgs() {
        let units = Quantity::units;
        assert_eq!(scaled(units(10), 25_000, 10_000), Ok(units(25)));
        assert_eq!(scaled(units(1), 15_000, 10_000), Ok(units(2)));
    }
}
