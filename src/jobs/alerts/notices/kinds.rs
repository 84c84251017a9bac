//! What each kind asks of the orgs of a page, and what `billing` decides of it.

use std::collections::HashMap;

use jiff::SignedDuration;
use uuid::Uuid;

use super::{Asked, Decisions, OfOrg, Pass, Settings};
use crate::billing::forecast::backtest::Comparison;
use crate::billing::forecast::{self, Forecast, History, Window};
use crate::billing::late;
use crate::billing::notice::ahead::Subscribed;
use crate::billing::notice::packs::{self, PackAhead};
use crate::billing::notice::reached::{self, LimitReached};
use crate::billing::notice::runs_out::{self, CounterAhead, Outlook};
use crate::billing::notice::summary::{self, Closed};
use crate::billing::notice::user_limit::{self, OwnCounter};
use crate::billing::notice::{Kind, Notice, Seen, Used};
use crate::billing::{Instant, Quantity, Zone};
use crate::jobs::usage::backtest;
use crate::store::messages::content::{self, Days};
use crate::store::notices::{self, Changing, CounterAhead as Counter, PackOf};
use crate::store::reports::closed::{self, ClosedUsage};
use crate::store::reports::statement::{self, Adjustment, Keys, UsageRow};
use crate::store::{StoreError, Transaction};
use crate::tz::TzData;

/// Local days are up to so much longer than they look.
const SLACK: SignedDuration = SignedDuration::from_hours(48);
/// How far before the last look counters are looked for that moved: for clocks that are set.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);
/// Orgs that are asked about together whether they are heading out.
const AT_ONCE: usize = 10_000;
/// Closed periods whose forecasts are compared with what came.
const PERIODS: u32 = 3;
/// How far back orgs are looked for that were set aside.
const PARKED_FOR: SignedDuration = SignedDuration::from_hours(72);

/// What was recorded of an org.
fn of(seen: &HashMap<Uuid, Vec<Seen>>, org: Uuid) -> &[Seen] {
    seen.get(&org).map(Vec::as_slice).unwrap_or_default()
}

impl Pass<'_> {
    /// The orgs that a kind may concern.
    pub(super) async fn orgs(
        &self,
        reading: &mut Transaction<'_>,
        asked: Asked,
    ) -> Result<Vec<Uuid>, StoreError> {
        match asked {
            Asked::Packs => {
                let until = self.packs_until();
                notices::orgs_with_packs(reading, self.now, until).await
            }
            Asked::Changes => match self.settings.most_days() {
                Some(days) => notices::orgs_changing(reading, self.now, self.in_days(days)).await,
                None => Ok(Vec::new()),
            },
            Asked::Heading => self.heading_out(reading).await,
            Asked::Reached => notices::orgs_reached(reading, self.now).await,
            Asked::Closed => {
                let after = self.before(summary::TOLD_FOR);
                notices::orgs_closed(reading, after, self.now).await
            }
            Asked::UserLimits => {
                let thresholds = &self.settings.user_thresholds;
                let least = thresholds.iter().min().copied().unwrap_or(u8::MAX);
                notices::orgs_with_user_limits(reading, least, self.now).await
            }
            Asked::Parked => {
                let parked = notices::parked(reading, self.before(PARKED_FOR), self.now).await?;
                Ok(parked.into_iter().map(|parked| parked.org).collect())
            }
        }
    }

    /// The orgs that may run out, of those whose counters moved since the last look: usage that
    /// stands still runs out later than it was foreseen to.
    async fn heading_out(&self, reading: &mut Transaction<'_>) -> Result<Vec<Uuid>, StoreError> {
        let Some(last) = self.last else {
            return notices::orgs_heading_out(reading, self.now).await;
        };
        // Who syncs with another business time than the real one may stamp either.
        let since = last.real.min(last.now).plus(SignedDuration::ZERO - OVERLAP);
        let since = since.unwrap_or(Instant::MIN);
        let moved = notices::orgs_moved(reading, since, self.now).await?;
        let mut heading = Vec::new();
        for orgs in moved.chunks(AT_ONCE) {
            heading.extend(notices::heading_out_among(reading, orgs, self.now).await?);
        }
        Ok(heading)
    }

    fn in_days(&self, days: u8) -> Instant {
        let days = SignedDuration::from_hours(24 * i64::from(days));
        self.now.plus(days + SLACK).unwrap_or(Instant::NEVER)
    }

    fn packs_until(&self) -> Instant {
        self.in_days(self.settings.pack_days.iter().max().copied().unwrap_or_default())
    }

    fn before(&self, span: SignedDuration) -> Instant {
        self.now.plus(SignedDuration::ZERO - span).unwrap_or(Instant::MIN)
    }

    pub(super) async fn decide(
        &self,
        transaction: &mut Transaction<'_>,
        asked: Asked,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Decisions, StoreError> {
        let told = match asked {
            Asked::Packs => self.packs(transaction, orgs, seen).await?,
            Asked::Changes => self.changes(transaction, orgs, seen).await?,
            Asked::Heading => return self.heading(transaction, orgs, seen).await,
            Asked::Reached => self.reached(transaction, orgs, seen).await?,
            Asked::Closed => self.closed(transaction, orgs, seen).await?,
            Asked::UserLimits => return self.user_limits(transaction, orgs, seen).await,
            Asked::Parked => self.parked(transaction, orgs, seen).await?,
        };
        let told = told.into_iter().filter(|(_, decided)| !decided.is_empty()).collect();
        Ok(Decisions { told, ..Decisions::default() })
    }

    async fn packs(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<OfOrg>, StoreError> {
        let packs = notices::packs_of(transaction, orgs, self.now, self.packs_until()).await?;
        let mut told = Vec::new();
        for of_org in packs.chunk_by(|one, other| one.org == other.org) {
            let Some(PackOf { org, time_zone, .. }) = of_org.first() else { continue };
            // An unknown zone is the doctor's to find.
            let Ok(zone) = self.tz.zone(time_zone) else { continue };
            let ahead: Vec<PackAhead> = of_org
                .iter()
                .map(|pack| PackAhead {
                    pack: pack.pack,
                    feature: pack.feature.clone(),
                    remaining: pack.remaining,
                    purchased_at: pack.purchased_at,
                    expires_at: pack.expires_at,
                    undrawn: pack.undrawn,
                })
                .collect();
            let days = &self.settings.pack_days;
            if let Ok(decided) = packs::decide(&ahead, days, self.now, &zone, of(seen, *org)) {
                told.push((*org, decided));
            }
        }
        Ok(told)
    }

    async fn changes(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<OfOrg>, StoreError> {
        let changing = notices::changing_of(transaction, orgs, self.now).await?;
        let ended = notices::tier_name(transaction, &self.settings.ended_tier).await?;
        let mut told = Vec::new();
        for org in &changing {
            let Ok(zone) = self.tz.zone(&org.time_zone) else { continue };
            let ends = ends(org);
            let ended = (self.settings.ended_tier.as_str(), ended.as_str());
            let subscribed = subscribed(org, &zone, &ends, ended);
            let days = self.settings.days_before();
            told.push((org.org, subscribed.decide(days, self.now, of(seen, org.org))));
        }
        Ok(told)
    }

    async fn heading(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Decisions, StoreError> {
        let mut counters = notices::ahead_of(transaction, orgs, self.now).await?;
        counters.retain(|one| {
            let seen = of(seen, one.org);
            runs_out::may_concern(&one.feature, one.period, one.allowance, seen)
        });
        let ahead = self.forecasts(transaction, counters).await?;
        let errors = self.errors(transaction, &ahead).await?;
        let mut decisions = Decisions::default();
        for (counter, forecast) in &ahead {
            let compared = errors.get(&(counter.org, counter.feature.clone()));
            let compared = compared.map(Vec::as_slice).unwrap_or_default();
            let outlook = CounterAhead {
                feature: &counter.feature,
                period: counter.period,
                used: counter.used,
                allowance: counter.allowance,
                forecast: *forecast,
                error: runs_out::error(compared, counter.period, self.now),
            };
            match runs_out::decide(&outlook, self.now, of(seen, counter.org)) {
                Ok(Outlook::Tell(decided)) => decisions.told.push((counter.org, vec![decided])),
                Ok(Outlook::Withdraw(key)) => {
                    decisions.withdrawn.push((counter.org, Kind::RunsOut, key));
                }
                Ok(Outlook::Nothing) | Err(_) => {}
            }
        }
        Ok(decisions)
    }

    /// Where the usage of counters is heading.
    async fn forecasts(
        &self,
        transaction: &mut Transaction<'_>,
        counters: Vec<Counter>,
    ) -> Result<Vec<(Counter, Option<Forecast>)>, StoreError> {
        let window = |zone: &Zone| Window::before(self.now, zone).ok();
        let counters: Vec<(Counter, Window)> = counters
            .into_iter()
            .filter_map(|one| {
                let zone = self.tz.zone(&one.time_zone).ok()?;
                Some((one, window(&zone)?))
            })
            .collect();
        let asked: Vec<Days<'_>> = counters
            .iter()
            .map(|(one, window)| Days {
                org: one.org,
                feature: &one.feature,
                boundaries: window.boundaries(),
            })
            .collect();
        let used = content::used_by_day(transaction, &asked).await?;
        let ahead = counters.into_iter().zip(used).map(|((one, window), used)| {
            let history = History { days: used.days, is_older: used.is_older };
            let (used, allowance, end) = (one.used, one.allowance, one.period.end);
            let forecast = forecast::forecast(&window, &history, used, allowance, end);
            (one, forecast)
        });
        Ok(ahead.collect())
    }

    /// How forecasts did in the last periods, of the counters that are foreseen to run out.
    async fn errors(
        &self,
        transaction: &mut Transaction<'_>,
        ahead: &[(Counter, Option<Forecast>)],
    ) -> Result<HashMap<(Uuid, String), Vec<Comparison>>, StoreError> {
        let runs_out = |forecast: &Option<Forecast>| {
            forecast.is_some_and(|forecast| forecast.used_up_on.is_some())
        };
        let running: Vec<&Counter> =
            ahead.iter().filter(|(_, ahead)| runs_out(ahead)).map(|(one, _)| one).collect();
        let mut orgs: Vec<Uuid> = running.iter().map(|one| one.org).collect();
        orgs.dedup();
        if orgs.is_empty() {
            return Ok(HashMap::new());
        }
        let mut rows = closed::newest(transaction, &orgs, PERIODS).await?;
        let is_asked = |row: &ClosedUsage| {
            running.iter().any(|one| (one.org, &one.feature) == (row.org, &row.feature))
        };
        rows.retain(is_asked);
        let mut errors: HashMap<(Uuid, String), Vec<Comparison>> = HashMap::new();
        for (row, compared) in backtest::compared(transaction, self.tz, &rows).await? {
            let of_counter = errors.entry((row.org, row.feature.clone())).or_default();
            of_counter.extend(compared.into_iter().flatten());
        }
        Ok(errors)
    }

    async fn reached(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<OfOrg>, StoreError> {
        let mut told: Vec<OfOrg> = Vec::new();
        for limit in notices::reached_of(transaction, orgs, self.now).await? {
            let reached = LimitReached {
                feature: &limit.feature,
                period: limit.period,
                used: limit.used,
                allowance: limit.allowance,
                generation: limit.generation,
                told_at: limit.told_at,
            };
            let every = self.settings.every_days;
            let decided = reached::decide(&reached, every, self.now, of(seen, limit.org));
            told.extend(decided.map(|decided| (limit.org, vec![decided])));
        }
        Ok(told)
    }

    async fn closed(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<OfOrg>, StoreError> {
        let closed = notices::closed_of(transaction, orgs, self.now).await?;
        let keys: Keys = closed.iter().map(|one| (one.org, one.period.start)).collect();
        let mut usage: HashMap<i64, Vec<Used>> = HashMap::new();
        for row in statement::usage(transaction, &keys).await? {
            usage.entry(row.place).or_default().push(used(row));
        }
        let mut later: HashMap<i64, Vec<Used>> = HashMap::new();
        for row in statement::adjustments(transaction, &keys).await? {
            add(later.entry(row.place).or_default(), row);
        }
        let mut told = Vec::new();
        for (one, place) in closed.iter().zip(1..) {
            let closed = Closed {
                period: one.period,
                open: one.open,
                is_paused: one.is_paused,
                features: usage.remove(&place).unwrap_or_default(),
                later: later.remove(&place).unwrap_or_default(),
            };
            if let Ok(Some(decided)) = summary::decide(closed, self.now, of(seen, one.org)) {
                told.push((one.org, vec![decided]));
            }
        }
        Ok(told)
    }

    async fn user_limits(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Decisions, StoreError> {
        let mut decisions = Decisions::default();
        for limit in notices::user_limits_of(transaction, orgs, self.now).await? {
            let counter = OwnCounter {
                user: limit.user,
                feature: &limit.feature,
                period: limit.period,
                used: limit.used,
                included: limit.included,
            };
            let thresholds = &self.settings.user_thresholds;
            let seen = of(seen, limit.org);
            let decided = user_limit::decide(&counter, thresholds, self.now, seen);
            if !decided.is_empty() {
                decisions.users.insert(limit.user, limit.email);
                decisions.told.push((limit.org, decided));
            }
        }
        Ok(decisions)
    }

    async fn parked(
        &self,
        transaction: &mut Transaction<'_>,
        orgs: &[Uuid],
        seen: &HashMap<Uuid, Vec<Seen>>,
    ) -> Result<Vec<OfOrg>, StoreError> {
        let mut told = Vec::new();
        for org in notices::parked(transaction, self.before(PARKED_FOR), self.now).await? {
            if !orgs.contains(&org.org) {
                continue;
            }
            let (code, reason, seen) = (org.code.as_deref(), &org.reason, of(seen, org.org));
            if let Ok(Some(decided)) = reached::parked(org.since, code, reason, self.now, seen) {
                told.push((org.org, vec![decided]));
            }
        }
        Ok(told)
    }
}

fn used(row: UsageRow) -> Used {
    let UsageRow { feature, used, included, drawn, uncovered, .. } = row;
    Used { feature, used, included, drawn, uncovered }
}

/// Adds late usage that was charged to what there is of its feature.
fn add(later: &mut Vec<Used>, row: Adjustment) {
    if row.kind != late::Kind::Late.name() {
        return;
    }
    let sum = |one: Quantity, other: Quantity| one.plus(other).unwrap_or(one);
    match later.iter_mut().find(|one| one.feature == row.feature) {
        Some(one) => {
            one.used = sum(one.used, row.used);
            one.drawn = sum(one.drawn, row.drawn);
            one.uncovered = sum(one.uncovered, row.uncovered);
        }
        None => later.push(Used {
            feature: row.feature,
            used: row.used,
            included: None,
            drawn: row.drawn,
            uncovered: row.uncovered,
        }),
    }
}

/// The changes that are ahead of orgs, but for those that are parked or paused.
pub async fn changes_ahead(
    transaction: &mut Transaction<'_>,
    tz: &TzData,
    settings: &Settings,
    orgs: &[Uuid],
    now: Instant,
) -> Result<HashMap<Uuid, Vec<Notice>>, StoreError> {
    let mut ahead = HashMap::new();
    if orgs.is_empty() {
        return Ok(ahead);
    }
    let ended = notices::tier_name(transaction, &settings.ended_tier).await?;
    for org in notices::changing_of(transaction, orgs, now).await? {
        let Ok(zone) = tz.zone(&org.time_zone) else { continue };
        let ended = (settings.ended_tier.as_str(), ended.as_str());
        ahead.insert(org.org, subscribed(&org, &zone, &ends(&org), ended).changes());
    }
    Ok(ahead)
}

/// The ends of the open period and of those after it.
fn ends(org: &Changing) -> Vec<Instant> {
    std::iter::once(org.end).chain(org.next_ends.iter().flatten().copied()).collect()
}

fn subscribed<'a>(
    org: &'a Changing,
    zone: &'a Zone,
    ends: &'a [Instant],
    ended_tier: (&'a str, &'a str),
) -> Subscribed<'a> {
    Subscribed {
        zone,
        ends,
        day_ends: org.day_ends.as_deref().unwrap_or_default(),
        status: org.status.as_deref(),
        tier: named(&org.tier, org.tier_name.as_deref()),
        next_tier: org.next_tier.as_deref().map(|tier| named(tier, org.next_tier_name.as_deref())),
        next_tier_at: org.next_tier_at,
        subscription_ends_at: org.subscription_ends_at,
        ended_tier,
    }
}

/// A tier's code and name.
fn named<'a>(code: &'a str, name: Option<&'a str>) -> (&'a str, &'a str) {
    (code, name.filter(|name| !name.is_empty()).unwrap_or(code))
}
