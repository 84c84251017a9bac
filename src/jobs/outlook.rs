//! Where the usage of an org goes at the rate of the last four weeks; the same that emails go by.

use std::collections::HashMap;

use uuid::Uuid;

use crate::billing::forecast::{self, Expected, History, Window, forecast};
use crate::billing::{Instant, LocalDate, Quantity, Zone};
use crate::store::messages::content::{self, Days};
use crate::store::{Connection, StoreError};

/// What was used of each feature on the last days.
pub(super) struct Pace {
    window: Window,
    histories: HashMap<String, History>,
}

/// Where usage goes at the rate of the last four weeks.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Ahead {
    /// What will have been used when the period ends, in whole units.
    pub at_end: Quantity,
    /// The day in the org's zone on which the allowance is used up; null: not in this period, or
    /// already.
    pub used_up_on: Option<LocalDate>,
}

impl Pace {
    /// Reads what was used on the days before `now`; `None` where the zone is unknown.
    pub(super) async fn read(
        connection: &mut Connection,
        org: Uuid,
        zone: Option<&Zone>,
        features: impl Iterator<Item = &str>,
        now: Instant,
    ) -> Result<Option<Self>, StoreError> {
        let Some(window) = zone.and_then(|zone| Window::before(now, zone).ok()) else {
            return Ok(None);
        };
        let boundaries = window.boundaries();
        let asked: Vec<Days<'_>> =
            features.map(|feature| Days { org, feature, boundaries }).collect();
        let used = content::used_by_day(connection, &asked).await?;
        let histories = asked.iter().zip(used).map(|(asked, used)| {
            let history = History { days: used.days, is_older: used.is_older };
            (asked.feature.to_owned(), history)
        });
        let histories = histories.collect();
        Ok(Some(Self { window, histories }))
    }

    /// Goes on at that pace from `used` to the end of the period; `allowance` is `None` where
    /// nothing limits the feature. `None` with less than a week of history.
    pub(super) fn ahead(
        &self,
        feature: &str,
        used: Quantity,
        allowance: Option<Quantity>,
        period_end: Instant,
    ) -> Option<Ahead> {
        let history = self.histories.get(feature)?;
        // What nothing limits is never used up.
        let limit = allowance.unwrap_or(Quantity::ZERO);
        let found = forecast(&self.window, history, used, limit, period_end)?;
        let used_up_on = found.used_up_on.filter(|_| allowance.is_some());
        let at_end = found.expected_at_end.rounded(0).unwrap_or(found.expected_at_end);
        Some(Ahead { at_end, used_up_on })
    }

    /// The way there, day by day; the last one at the end of the period.
    pub(super) fn way(
        &self,
        feature: &str,
        used: Quantity,
        period_end: Instant,
    ) -> Option<Vec<Expected>> {
        forecast::course(&self.window, self.histories.get(feature)?, used, period_end)
    }
}
