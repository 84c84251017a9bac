//! From the facts of an alert to its letter: forecast and recommendation included.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::attempt::Outcome;
use crate::billing::forecast::{self, History, Window};
use crate::billing::instant::OutOfRange;
use crate::billing::notice::{Kind, Notice, Summary, Used as UsedInPeriod};
use crate::billing::offers::{self, Offer};
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, LocalDate, Quantity, Zone};
use crate::config::Config;
use crate::jobs::alerts::notices::Settings;
use crate::jobs::sync::grant_of;
use crate::mail::notice::{NoticeLetter, PackLeft, UsedOf};
use crate::mail::{Basis, Forecast, Letter, Recommended};
use crate::store::messages::content::{Days, Facts, NoticeFacts, Used};
use crate::store::{Connection, StoreError, messages::content};
use crate::tz::{TzData, UnknownZone};

/// What the configuration says about how features are written of.
#[derive(Debug, Clone, Default)]
pub(super) struct FeatureLabels {
    units: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// Names of packs, by code.
    packs: BTreeMap<String, String>,
}

impl FeatureLabels {
    pub(super) fn of(config: &Config) -> Self {
        let mut labels = Self::default();
        for feature in &config.features {
            let name = feature.name.to_lowercase();
            if let Some(unit) = &feature.unit {
                labels.units.insert(name.clone(), unit.clone());
            }
            if let Some(label) = &feature.label {
                labels.labels.insert(name.clone(), label.clone());
            }
            if let Some(template) = &feature.template {
                labels.templates.insert(name, template.clone());
            }
        }
        let packs =
            config.packs.iter().filter_map(|pack| Some((pack.code.clone(), pack.name.clone()?)));
        labels.packs = packs.collect();
        labels
    }

    /// What one unit of a feature is called, with what the database says of it.
    fn unit(&self, feature: &str, stored: Option<&str>) -> String {
        let own = self.units.get(feature).map(String::as_str);
        let unit = stored.filter(|unit| *unit != "units").or(own).or(stored);
        unit.unwrap_or("units").to_owned()
    }
}

/// Why a letter cannot be composed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Uncomposable {
    #[error("{0}")]
    Zone(#[from] UnknownZone),
    #[error("{0}")]
    OutOfRange(#[from] OutOfRange),
    #[error("{0}")]
    Overflow(#[from] Overflow),
    #[error("the limit is no longer a number")]
    Unlimited,
    #[error("its notice cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Uncomposable {
    /// What becomes of the email: an org's zone can be corrected, or a newer tz database knows it;
    /// of everything else no later attempt fares better.
    pub(super) fn outcome(self) -> Outcome {
        let why = format!("the email cannot be composed: {self}");
        match self {
            Self::Zone(_) => Outcome::Waits(why),
            Self::OutOfRange(_) | Self::Overflow(_) | Self::Unlimited | Self::Unreadable(_) => {
                Outcome::GivenUp(why)
            }
        }
    }
}

/// Composes letters.
pub(super) struct Composer<'a> {
    pub(super) tz: &'a TzData,
    pub(super) labels: &'a FeatureLabels,
    pub(super) now: Instant,
}

impl Composer<'_> {
    /// The letters of some emails, in their order, each or why there is none.
    pub(super) async fn letters(
        &self,
        connection: &mut Connection,
        facts: &[Facts],
    ) -> Result<Vec<Result<Letter, Uncomposable>>, StoreError> {
        let on_sale = content::offers(connection).await?;
        let windows: Vec<Result<(Zone, Window), Uncomposable>> =
            facts.iter().map(|facts| self.window(facts)).collect();
        let asked: Vec<Days<'_>> = facts
            .iter()
            .zip(&windows)
            .filter_map(|(facts, window)| {
                let (_, window) = window.as_ref().ok()?;
                let (org, feature) = (facts.org, facts.feature.as_str());
                Some(Days { org, feature, boundaries: window.boundaries() })
            })
            .collect();
        let mut used = content::used_by_day(connection, &asked).await?.into_iter();
        let letters = facts.iter().zip(windows).map(|(facts, window)| {
            let (zone, window) = window?;
            let Used { days, is_older } =
                used.next().unwrap_or(Used { days: Vec::new(), is_older: false });
            self.letter(facts, &zone, &window, &History { days, is_older }, &on_sale)
        });
        Ok(letters.collect())
    }

    /// The letters of some emails about notices, in their order, each or why there is none.
    pub(super) async fn notices(
        &self,
        connection: &mut Connection,
        facts: &[NoticeFacts],
        settings: &Settings,
    ) -> Result<Vec<Result<NoticeLetter, Uncomposable>>, StoreError> {
        let units: BTreeMap<String, String> =
            content::units(connection).await?.into_iter().collect();
        let letters = facts.iter().map(|facts| self.notice(facts, &units, settings));
        Ok(letters.collect())
    }

    fn notice(
        &self,
        facts: &NoticeFacts,
        units: &BTreeMap<String, String>,
        settings: &Settings,
    ) -> Result<NoticeLetter, Uncomposable> {
        let zone = self.tz.zone(&facts.time_zone)?;
        let notice: Notice = serde_json::from_str(&facts.facts)?;
        let (kind, feature) = (notice.kind(), notice.feature().to_owned());
        let unit = |feature: &str| match feature {
            "" => String::new(),
            named => self.labels.unit(named, units.get(named).map(String::as_str)),
        };
        let label = |feature: &str| self.labels.labels.get(feature).cloned();
        let mut letter = NoticeLetter {
            kind,
            opt_out: settings.matter(kind, None).is_optional(),
            label: label(&feature),
            unit: unit(&feature),
            feature,
            ..self.blank(facts, &zone)
        };
        letter.at = match notice {
            Notice::RunsOut(one) => {
                (letter.used, letter.allowance) = (one.used, one.allowance);
                (letter.expected_at_end, letter.about) = (one.expected_at_end, Some(one.about));
                zone.wall_clock(one.period_end)
            }
            Notice::PackExpires(one) => {
                let some_left = one.still_to_expire(self.now).next().is_some();
                let packs = one.packs.iter();
                let packs = packs.filter(|pack| !some_left || pack.expires_at > self.now);
                let left = packs.map(|pack| PackLeft {
                    label: label(&pack.feature),
                    unit: unit(&pack.feature),
                    feature: pack.feature.clone(),
                    left: pack.left,
                    expires: zone.wall_clock(pack.expires_at),
                });
                letter.packs = left.collect();
                letter.packs.first().map_or(letter.at, |pack| pack.expires)
            }
            Notice::SubscriptionEnds(change)
            | Notice::TrialEnds(change)
            | Notice::TierChanges(change) => {
                (letter.tier, letter.next_tier) = (change.tier_name, change.next_tier_name);
                zone.wall_clock(change.at)
            }
            Notice::LimitReachedAgain(one) => {
                (letter.used, letter.allowance) = (one.used, one.allowance);
                letter.days = one.days;
                letter.never_renews = one.period_end == Instant::NEVER;
                zone.wall_clock(one.period_end)
            }
            Notice::Summary(one) => {
                let used = |one: &UsedInPeriod| UsedOf {
                    label: label(&one.feature),
                    unit: unit(&one.feature),
                    feature: one.feature.clone(),
                    used: one.used,
                    included: one.included,
                    drawn: one.drawn,
                    uncovered: one.uncovered,
                };
                letter.used_each = one.features.iter().map(used).collect();
                letter.later = one.later.iter().map(used).collect();
                (letter.from, letter.upto) = days_of(&one, &zone)?;
                letter.is_cut = one.is_cut;
                zone.wall_clock(one.period_end)
            }
            Notice::UserLimit(one) => {
                (letter.used, letter.allowance) = (one.used, one.included);
                letter.never_renews = one.period_end == Instant::NEVER;
                zone.wall_clock(one.period_end)
            }
            Notice::PurchaseWithoutPack(one) => {
                let grant = grant_of(&facts.slug, &one.feature, one.quantity, &one.reference);
                (letter.used, letter.command) = (one.quantity, grant.to_string());
                letter.reason = one.column;
                zone.wall_clock(one.found_at)
            }
            Notice::OrgParked(one) => {
                letter.reason = one.reason;
                zone.wall_clock(one.since)
            }
        };
        if kind != Kind::LimitReachedAgain {
            let span = letter.composed_at.date().0.until(letter.at.date().0);
            letter.days = span.map_or(0, |span| i64::from(span.get_days()));
        }
        Ok(letter)
    }

    /// A letter that says nothing yet.
    fn blank(&self, facts: &NoticeFacts, zone: &Zone) -> NoticeLetter {
        let blank = NoticeLetter::blank(zone.wall_clock(self.now));
        NoticeLetter {
            org_name: facts.name.clone(),
            org_slug: facts.slug.clone(),
            time_zone: zone.name().to_owned(),
            locale: facts.locale.clone().unwrap_or(blank.locale),
            ..blank
        }
    }

    fn window(&self, facts: &Facts) -> Result<(Zone, Window), Uncomposable> {
        let zone = self.tz.zone(&facts.time_zone)?;
        let window = Window::before(self.now, &zone)?;
        Ok((zone, window))
    }

    fn letter(
        &self,
        facts: &Facts,
        zone: &Zone,
        window: &Window,
        history: &History,
        on_sale: &[(String, Offer)],
    ) -> Result<Letter, Uncomposable> {
        let Facts { used, drawn, .. } = *facts;
        let included = facts.included.ok_or(Uncomposable::Unlimited)?;
        let allowance = included.plus(drawn)?.plus(facts.purchased)?;
        // min(remaining, max(0, allowance − used)): what packs hold and usage has not eaten yet.
        let purchased_remaining = facts.purchased.min(allowance.minus(used)?.or_zero());
        let ahead = forecast::forecast(window, history, used, allowance, facts.period.end);
        let expected = ahead.map_or(used, |ahead| ahead.expected_at_end).max(used);
        let need = expected.minus(allowance)?.or_zero();
        Ok(Letter {
            template: self.labels.templates.get(&facts.feature).cloned(),
            threshold: u8::try_from(facts.threshold).unwrap_or(100),
            limit_change: facts.limit_change,
            basis: if facts.basis == "included" { Basis::Included } else { Basis::Allowance },
            org_name: facts.name.clone(),
            org_slug: facts.slug.clone(),
            feature: facts.feature.clone(),
            label: self.labels.labels.get(&facts.feature).cloned(),
            unit: self.labels.unit(&facts.feature, facts.unit.as_deref()),
            used,
            included,
            drawn,
            purchased_remaining,
            allowance,
            period_start: zone.wall_clock(facts.period.start),
            period_end: zone.wall_clock(facts.period.end),
            never_renews: facts.is_level || facts.period.end == Instant::NEVER,
            time_zone: zone.name().to_owned(),
            locale: facts.locale.clone().unwrap_or_else(|| "en".to_owned()),
            forecast: ahead.map(|ahead| Forecast {
                used_up_on: ahead.used_up_on,
                expected_at_end: ahead.expected_at_end,
            }),
            offer: self.recommended(facts, on_sale, need),
            composed_at: zone.wall_clock(self.now),
        })
    }

    /// What to buy, preferably in the currency of the org's tier.
    fn recommended(
        &self,
        facts: &Facts,
        on_sale: &[(String, Offer)],
        need: Quantity,
    ) -> Vec<Recommended> {
        let of_feature = on_sale.iter().filter(|(feature, _)| *feature == facts.feature);
        let offers: Vec<Offer> = of_feature.map(|(_, offer)| offer.clone()).collect();
        let chosen = offers::recommended(&offers, &facts.currency, need).into_iter();
        let chosen = chosen.map(|(count, offer)| Recommended {
            name: self.labels.packs.get(&offer.code).cloned(),
            code: offer.code,
            count,
            quantity: offer.quantity,
            price_cents: offer.price_cents,
            currency: offer.currency,
        });
        chosen.collect()
    }
}

/// The first and the last local day of a period that is summed up: its end is the first instant
/// after it.
fn days_of(
    summary: &Summary,
    zone: &Zone,
) -> Result<(Option<LocalDate>, Option<LocalDate>), OutOfRange> {
    let last = summary.period_end.plus(-SignedDuration::from_micros(1))?;
    Ok((Some(zone.date(summary.period_start)), Some(zone.date(last))))
}
