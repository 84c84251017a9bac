//! Packs that expire with something left: one notice per org and local day, in the order in which
//! packs pay.

use uuid::Uuid;

use super::ahead::reached;
use super::{Decided, ExpiringPack, Kind, Notice, PacksExpire, Part, Seen, SeenState, is_told};
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, Quantity, Zone};

/// A pack that expires soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackAhead {
    pub pack: Uuid,
    pub feature: String,
    pub remaining: Quantity,
    pub purchased_at: Instant,
    pub expires_at: Instant,
    /// Usage above what is included that no pack has paid for yet, of its feature in its org.
    pub undrawn: Quantity,
}

/// What is to be told of an org's packs; `days` before they expire.
///
/// # Errors
/// [`Overflow`] for quantities at the end of their range.
pub fn decide(
    packs: &[PackAhead],
    days: &[u8],
    now: Instant,
    zone: &Zone,
    seen: &[Seen],
) -> Result<Vec<Decided>, Overflow> {
    let mut told: Vec<(ExpiringPack, String)> = Vec::new();
    let mut covered = Vec::new();
    for pack in left(packs)? {
        let mut is_nearest = true;
        for days in reached(days, pack.expires_at, now, zone) {
            // A pack that is given another end is told of anew.
            let key = format!("{}/{}/{days}", pack.pack, pack.expires_at);
            let is_new = !is_told(seen, Kind::PackExpires, &key);
            if is_new && is_nearest {
                told.push((pack.clone(), key));
            } else if is_new {
                covered.push(Decided {
                    kind: Kind::PackExpires,
                    key,
                    part: Part::Covered,
                    until: pack.expires_at,
                });
            }
            is_nearest = false;
        }
    }
    if was_told_today(seen, now, zone) {
        // One notice a day: the others go tomorrow, as long as there is a tomorrow.
        let tomorrow = zone.date(now).0.tomorrow().ok();
        let can_wait =
            |pack: &ExpiringPack| tomorrow.is_some_and(|t| zone.date(pack.expires_at).0 > t);
        told.retain(|(pack, _)| !can_wait(pack));
        if told.is_empty() {
            return Ok(Vec::new());
        }
    }
    let Some(until) = told.iter().map(|(pack, _)| pack.expires_at).max() else {
        return Ok(covered);
    };
    let packs = told.iter().map(|(pack, _)| pack.clone()).collect();
    let mut parts = std::iter::once(Part::Tells(Notice::PackExpires(PacksExpire { packs })));
    let decided = told.into_iter().map(|(_, key)| Decided {
        kind: Kind::PackExpires,
        key,
        part: parts.next().unwrap_or(Part::With),
        until,
    });
    Ok(decided.chain(covered).collect())
}

fn was_told_today(seen: &[Seen], now: Instant, zone: &Zone) -> bool {
    let is_of_today = |one: &Seen| {
        one.kind == Kind::PackExpires
            && one.state == SeenState::Told
            && zone.date(one.decided_at) == zone.date(now)
    };
    seen.iter().any(is_of_today)
}

/// The packs with something left, in the order in which they pay: what usage has claimed already
/// is taken from them in this order.
fn left(packs: &[PackAhead]) -> Result<Vec<ExpiringPack>, Overflow> {
    let mut packs: Vec<&PackAhead> = packs.iter().collect();
    packs.sort_by_key(|pack| (pack.expires_at, pack.purchased_at, pack.pack));
    let mut claimed: Vec<(&str, Quantity)> = Vec::new();
    let mut left = Vec::new();
    for pack in packs {
        let place = claimed.iter().position(|(feature, _)| *feature == pack.feature);
        let place = place.unwrap_or_else(|| {
            claimed.push((&pack.feature, pack.undrawn.or_zero()));
            claimed.len() - 1
        });
        let taken = claimed[place].1.min(pack.remaining.or_zero());
        claimed[place].1 = claimed[place].1.minus(taken)?;
        let rest = pack.remaining.minus(taken)?;
        if rest.is_positive() {
            left.push(ExpiringPack {
                pack: pack.pack,
                feature: pack.feature.clone(),
                left: rest,
                expires_at: pack.expires_at,
            });
        }
    }
    Ok(left)
}
