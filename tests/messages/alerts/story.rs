//! One org, what happens to it, and what it is told.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use periodd::config::Config;
use periodd::jobs::alerts::{self, AlertReport, Request};
use periodd::store::usage::{self, NewUsage};

use crate::support::{TestDatabase, at};

pub(crate) const ORG: &str = "00000000-0000-0000-0000-00000000000a";
pub(crate) const FEATURE: &str = "minutes_transcribed";
/// In the middle of the org's open period.
pub(crate) const NOON: &str = "2026-05-12T12:00:00Z";

/// An org in May 2026, with 600 minutes included and somebody to tell.
pub(crate) struct Story {
    pub(crate) test: TestDatabase,
    now: String,
}

impl Story {
    pub(crate) async fn new() -> Self {
        let test = TestDatabase::new().await;
        test.sql(&format!(
            "insert into tier_limits (tier, feature, included)
                 values ('pro', '{FEATURE}', 600), ('starter', '{FEATURE}', 60);
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, current_period_start,
                  current_period_end, next_period_ends)
             values ('{ORG}', 'acme', 'Acme', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z',
                     '{{2026-07-01Z, 2026-08-01Z, 2026-09-01Z}}');
             insert into org_contacts (org_id, email) values ('{ORG}', 'billing@acme.example');"
        ))
        .await;
        Self { test, now: NOON.to_owned() }
    }

    /// The same with another included quantity.
    pub(crate) async fn with_limit(included: &str) -> Self {
        let story = Self::new().await;
        story.limit(included).await;
        story
    }

    pub(crate) fn at(&mut self, now: &str) {
        now.clone_into(&mut self.now);
    }

    /// An override, or `null` for unlimited.
    pub(crate) async fn limit(&self, included: &str) {
        self.test
            .sql(&format!(
                "insert into limit_overrides (org_id, feature, included)
                 values ('{ORG}', '{FEATURE}', {included})
                 on conflict (org_id, feature) do update set included = excluded.included"
            ))
            .await;
    }

    /// Usage, or a correction, now.
    pub(crate) async fn uses(&self, quantity: &str) {
        let usage = NewUsage {
            org: ORG.parse().unwrap(),
            feature: FEATURE.to_owned(),
            quantity: quantity.parse().unwrap(),
            user: None,
            used_at: at(&self.now),
            key: None,
        };
        usage::record(&self.test.database, &usage).await.unwrap();
    }

    /// What syncing does to counters that moved.
    pub(crate) async fn sync(&self) {
        self.test
            .sql(
                "update usage_counters set sync_status = 'synced', last_synced_at = now()
                 where sync_status = 'pending'",
            )
            .await;
    }

    pub(crate) fn request(&self) -> Request {
        let config = Config::load(Some(&self.test.config()), std::iter::empty()).unwrap();
        Request { at: Some(at(&self.now)), ..Request::of(&config) }
    }

    /// A pass, and what it queued.
    pub(crate) async fn pass(&self) -> AlertReport {
        alerts::run(&self.test.database, &self.request()).await.unwrap()
    }

    /// Uses this much, then makes a pass.
    pub(crate) async fn uses_and_passes(&self, quantity: &str) {
        self.uses(quantity).await;
        self.pass().await;
    }

    /// The percentages of the emails, in their order; with `!` for a limit change.
    pub(crate) async fn told(&self) -> Vec<String> {
        self.test
            .rows(
                "select m.threshold || case when a.limit_change then '!' else '' end
                 from periodd_outbox m
                 join periodd_alerts a using (org_id, feature, period_start, generation, threshold)
                 order by m.recorded_at, m.recipient",
            )
            .await
    }

    /// All alerts of the org, in their order.
    pub(crate) async fn alerts(&self) -> Vec<String> {
        self.test
            .rows(
                "select generation, threshold, state from periodd_alerts
                 order by period_start, generation, threshold",
            )
            .await
    }
}
