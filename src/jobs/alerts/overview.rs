//! The overview: what all open counters say, read once an hour and kept for pages.
//!
//! It is read beside the passes of alerts, in one statement over sets; who runs out is then asked
//! of the forecast that emails go by, for those that come nearest.
//!
//! Never: a pass of alerts that fails for it; a forecast by another rule.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::jobs::outlook::Pace;
use crate::store::overview::kept::{self, Figures, Most, PARTS, RunsOut, Tier};
use crate::store::overview::taken::{self, Share, Taken};
use crate::store::reports::overview as look;
use crate::store::usage::usage_file;
use crate::store::{Connection, Database, LockTimeout, StoreError, begin_within};
use crate::tz::TzData;

/// The last of the parts: 120 % and more.
const LAST: usize = PARTS - 1;

/// Reads and keeps the overview where there is none of this hour yet, or `anyway`. A failure is
/// said in the log, and the next pass tries again.
pub async fn keep(database: &Database, tz: &TzData, at: Option<Instant>, anyway: bool) {
    if let Err(error) = keep_of_hour(database, tz, at, anyway).await {
        tracing::warn!(%error, "the overview of this hour could not be kept");
    }
}

async fn keep_of_hour(
    database: &Database,
    tz: &TzData,
    at: Option<Instant>,
    anyway: bool,
) -> Result<(), StoreError> {
    let now = match at {
        Some(at) => at,
        None => database.now().await?,
    };
    let hour = hour_of(now);
    let mut connection = database.connection().await?;
    if !anyway && kept::has(&mut connection, hour).await? {
        return Ok(());
    }
    let mut reading = taken::begin(&mut connection).await?;
    let taken = taken::take(&mut reading, now).await?;
    let features = usage_file::features(&mut reading).await?;
    reading.rollback().await.map_err(StoreError::from)?;
    let mut figures = figures(&taken);
    // That nobody has used a feature is known, too.
    for feature in features {
        let none = || Figures { feature: feature.clone(), ..Figures::default() };
        figures.entry(feature.clone()).or_insert_with(none);
    }
    look_ahead(&mut connection, tz, now, &taken.near, &mut figures).await?;
    let figures: Vec<Figures> = figures.into_values().collect();
    let mut writing = begin_within(&mut connection, LockTimeout::Short).await?;
    kept::keep(&mut writing, hour, now, &figures).await?;
    Ok(writing.commit().await?)
}

fn hour_of(at: Instant) -> Instant {
    let past = at.microseconds().rem_euclid(3_600_000_000);
    at.plus(-SignedDuration::from_micros(past)).unwrap_or(at)
}

/// By feature, without the outlook.
fn figures(taken: &Taken) -> BTreeMap<String, Figures> {
    let mut all: BTreeMap<String, Figures> = BTreeMap::new();
    let mut of = |feature: &str, change: &dyn Fn(&mut Figures)| {
        let figures = all
            .entry(feature.to_owned())
            .or_insert_with(|| Figures { feature: feature.to_owned(), ..Figures::default() });
        change(figures);
    };
    for group in &taken.groups {
        of(&group.feature, &|figures| {
            let orgs = u64::try_from(group.orgs).unwrap_or_default();
            if let Some(part) = group.tenth {
                figures.tenths[part.min(LAST)] += orgs;
            }
            let place = figures.tiers.iter().position(|tier| tier.tier == group.tier);
            let place = place.unwrap_or_else(|| {
                figures.tiers.push(Tier { tier: group.tier.clone(), ..Tier::default() });
                figures.tiers.len() - 1
            });
            let tier = &mut figures.tiers[place];
            tier.orgs += orgs;
            tier.unlimited += if group.tenth.is_none() { orgs } else { 0 };
            // At the end of their range sums stay where they are.
            tier.used = tier.used.plus(group.used).unwrap_or(tier.used);
            tier.included = tier.included.plus(group.included).unwrap_or(tier.included);
        });
    }
    for share in &taken.most {
        of(&share.feature, &|figures| {
            let Share { org, used, allowance, .. } = *share;
            figures.most.push(Most { org, used, allowance });
        });
    }
    all
}

/// Asks the forecast of each org, in a transaction that ends soon: what one has recorded may be
/// very much.
async fn look_ahead(
    connection: &mut Connection,
    tz: &TzData,
    now: Instant,
    near: &[Share],
    figures: &mut BTreeMap<String, Figures>,
) -> Result<(), StoreError> {
    let mut by_org: BTreeMap<Uuid, Vec<&Share>> = BTreeMap::new();
    for share in near {
        by_org.entry(share.org).or_default().push(share);
    }
    for (org, shares) in by_org {
        let zone = shares.first().and_then(|share| tz.zone(&share.time_zone).ok());
        let mut reading = look::begin(connection).await?;
        let features = shares.iter().map(|share| share.feature.as_str());
        let pace = Pace::read(&mut reading, org, zone.as_ref(), features, now).await;
        reading.rollback().await.map_err(StoreError::from)?;
        let pace = match pace {
            Ok(pace) => pace,
            Err(error) if error.may_concern_one_row() => None,
            Err(StoreError::Cancelled(_) | StoreError::Held(_)) => None,
            Err(other) => return Err(other),
        };
        for share in shares {
            let Some(figures) = figures.get_mut(&share.feature) else { continue };
            match &pace {
                None => figures.ahead.unread += 1,
                Some(pace) => {
                    figures.ahead.looked_at += 1;
                    figures.ahead.orgs.extend(runs_out(pace, share));
                }
            }
        }
    }
    for figures in figures.values_mut() {
        figures.ahead.orgs.sort_by_key(|one| (one.on, one.resets, one.org));
    }
    Ok(())
}

fn runs_out(pace: &Pace, share: &Share) -> Option<RunsOut> {
    let allowance: Quantity = share.allowance?;
    let ahead = pace.ahead(&share.feature, share.used, Some(allowance), share.period_end)?;
    Some(RunsOut {
        org: share.org,
        used: share.used,
        allowance,
        on: ahead.used_up_on?,
        at_end: ahead.at_end,
        resets: share.period_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::overview::taken::Group;

    #[test]
    fn an_hour_begins_at_its_first_instant() {
        for (at, hour) in [
            ("2026-05-16T12:59:59.999999Z", "2026-05-16T12:00:00Z"),
            ("2026-05-16T12:00:00Z", "2026-05-16T12:00:00Z"),
            ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
        ] {
            assert_eq!(hour_of(at.parse().unwrap()), hour.parse().unwrap(), "{at}");
        }
    }

    #[test]
    fn groups_are_summed_by_tenth_and_by_tier() {
        let group = |tier: &str, tenth, orgs, used| Group {
            feature: "minutes".to_owned(),
            tier: tier.to_owned(),
            tenth,
            orgs,
            used: Quantity::units(used),
            included: Quantity::units(10 * orgs),
        };
        let groups = vec![
            group("pro", Some(0), 3, 2),
            group("pro", Some(12), 1, 90),
            group("free", None, 2, 5),
        ];
        let all = figures(&Taken { groups, ..Taken::default() });
        let figures = &all["minutes"];
        assert_eq!((figures.tenths[0], figures.tenths[LAST]), (3, 1));
        let [pro, free] = &figures.tiers[..] else { panic!("{:?}", figures.tiers) };
        assert_eq!((pro.orgs, pro.unlimited, pro.used), (4, 0, Quantity::units(92)));
        assert_eq!((free.orgs, free.unlimited), (2, 2));
    }
}
