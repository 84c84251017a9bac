//! What a run did, in numbers: the ledger keeps them, the log says them and `runs` shows them.

use super::by_hand::Done;
use super::catalogue::Job;
use super::rollover::lateness::Lateness;
use super::{Left, alerts, deliver, retention, rollover, sync};
use crate::store::runs::Run;

/// What a run did, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum RunCounts {
    /// Of a rollover.
    Rollover(RolloverCounts),
    /// Of a sync or an audit.
    Sync(SyncCounts),
    /// Of a pass of alerts.
    Alerts(AlertCounts),
    /// Of a delivery.
    Deliver(DeliverCounts),
    /// Of a deletion.
    Retention(RetentionCounts),
}

/// A rollover in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RolloverCounts {
    pub orgs: usize,
    pub periods_closed: usize,
    pub opened: usize,
    pub pack_entries: usize,
    pub conflicts: usize,
    pub parked: usize,
    pub skipped: usize,
    pub columns_left_out: usize,
    #[serde(skip_serializing_if = "Lateness::is_none")]
    pub lateness: Lateness,
}

/// A sync in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SyncCounts {
    pub metrics_counted: u64,
    pub counters_synced: u64,
    pub columns_written: u64,
    pub late: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orgs_audited: Option<u64>,
    pub drift_found: u64,
    pub purchases_without_pack: usize,
    pub conflicts: usize,
    pub left: usize,
    pub left_out: usize,
    pub parked: usize,
    pub skipped: usize,
    pub columns_left_out: usize,
}

/// A pass of alerts in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AlertCounts {
    pub everything: bool,
    pub judged: usize,
    pub notified: usize,
    pub covered: usize,
    pub waiting: usize,
    pub recorded: usize,
    pub emails: usize,
    pub missed: usize,
    pub left: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_orgs: Vec<String>,
}

/// A delivery in numbers, and why it ended early.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DeliverCounts {
    pub sent: usize,
    pub postponed: usize,
    pub given_up: usize,
    pub expired: usize,
    pub suppressed: usize,
    pub webhooks_sent: usize,
    pub webhooks_postponed: usize,
    pub webhooks_given_up: usize,
    pub left: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_out: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A deletion in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RetentionCounts {
    pub metrics: u64,
    pub counters: u64,
    pub drift: u64,
    pub runs: u64,
    pub emails: u64,
    pub webhooks: u64,
    pub events: u64,
    pub alerts: u64,
    pub overview: u64,
    pub left: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_orgs: Vec<String>,
}

/// What a run did, in words; nothing for a job or for counts of another version of periodd.
pub fn did(run: &Run) -> Option<String> {
    let words = match Done::of(run) {
        Some(done) => done.did,
        None => RunCounts::of(run)?.words(),
    };
    Some(if words.is_empty() { "nothing to do".to_owned() } else { words.join(", ") })
}

impl RunCounts {
    /// Reads what the ledger keeps of a run.
    pub fn of(run: &Run) -> Option<Self> {
        Self::read(run.job.parse().ok()?, run.counts.as_deref()?)
    }

    /// Reads what the ledger keeps of a run of that job. What an earlier version did not count is
    /// zero; `None` where it cannot be read at all.
    pub fn read(job: Job, json: &str) -> Option<Self> {
        match job {
            Job::Rollover => serde_json::from_str(json).map(Self::Rollover),
            Job::Sync | Job::Audit => serde_json::from_str(json).map(Self::Sync),
            Job::Alerts => serde_json::from_str(json).map(Self::Alerts),
            Job::Deliver => serde_json::from_str(json).map(Self::Deliver),
            Job::Retention => serde_json::from_str(json).map(Self::Retention),
        }
        .ok()
    }

    /// As the ledger and the log have it: a JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Orgs that were served.
    pub const fn orgs(&self) -> Option<usize> {
        match self {
            Self::Rollover(counts) => Some(counts.orgs),
            _ => None,
        }
    }

    /// Periods that were closed.
    pub const fn periods_closed(&self) -> Option<usize> {
        match self {
            Self::Rollover(counts) => Some(counts.periods_closed),
            _ => None,
        }
    }

    /// Orgs that were parked.
    pub const fn parked(&self) -> Option<usize> {
        match self {
            Self::Rollover(counts) => Some(counts.parked),
            Self::Sync(counts) => Some(counts.parked),
            _ => None,
        }
    }

    /// Why a run has failed although it ended in good order: the mail server took no emails.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Deliver(counts) => counts.fault(),
            _ => None,
        }
    }

    /// For people: `412 orgs, 412 periods closed`. What did not happen is left out.
    pub fn words(&self) -> Vec<String> {
        let mut words = Words::default();
        match self {
            Self::Rollover(counts) => counts.say(&mut words),
            Self::Sync(counts) => counts.say(&mut words),
            Self::Alerts(counts) => counts.say(&mut words),
            Self::Deliver(counts) => counts.say(&mut words),
            Self::Retention(counts) => counts.say(&mut words),
        }
        words.0
    }
}

/// What there is to say.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// A number with its noun in the singular and in the plural; nothing for zero.
    fn count(&mut self, number: impl TryInto<u64>, one: &str, more: &str) {
        match number.try_into().unwrap_or(u64::MAX) {
            0 => {}
            1 => self.0.push(format!("1 {one}")),
            number => self.0.push(format!("{number} {more}")),
        }
    }

    fn left(&mut self, left: usize, orgs: &[String]) {
        self.count(left, "org left to the next run", "orgs left to the next run");
        if !orgs.is_empty() {
            self.0.push(format!("among them {}", orgs.join(" and ")));
        }
    }
}

impl RolloverCounts {
    fn say(&self, words: &mut Words) {
        words.count(self.orgs, "org", "orgs");
        words.count(self.periods_closed, "period closed", "periods closed");
        words.count(self.opened, "first period opened", "first periods opened");
        words.count(self.pack_entries, "pack entry", "pack entries");
        words.count(self.conflicts, "conflict", "conflicts");
        words.count(self.parked, "org parked", "orgs parked");
        words.count(self.skipped, "org skipped", "orgs skipped");
        words.count(self.columns_left_out, "column left out", "columns left out");
    }
}

impl SyncCounts {
    fn say(&self, words: &mut Words) {
        words.count(self.metrics_counted, "metric counted", "metrics counted");
        words.count(self.counters_synced, "counter copied", "counters copied");
        words.count(self.columns_written, "column written", "columns written");
        words.count(self.late, "late adjustment", "late adjustments");
        words.count(self.orgs_audited.unwrap_or(0), "org audited", "orgs audited");
        words.count(self.drift_found, "wrong value", "wrong values");
        let sold = self.purchases_without_pack;
        words.count(sold, "purchase without a pack", "purchases without a pack");
        words.count(self.conflicts, "conflict", "conflicts");
        words.left(self.left, &[]);
        words.count(self.left_out, "period not audited", "periods not audited");
        words.count(self.parked, "org parked", "orgs parked");
        words.count(self.skipped, "org skipped", "orgs skipped");
        words.count(self.columns_left_out, "column left out", "columns left out");
    }
}

impl AlertCounts {
    fn say(&self, words: &mut Words) {
        if self.everything {
            words.0.push("full pass".to_owned());
        }
        words.count(self.judged, "counter examined", "counters examined");
        words.count(self.notified, "alert notified", "alerts notified");
        words.count(self.covered, "alert covered", "alerts covered");
        words.count(self.waiting, "alert waiting", "alerts waiting");
        words.count(self.recorded, "alert recorded", "alerts recorded");
        words.count(self.emails, "email queued", "emails queued");
        words.count(self.missed, "counter of another pass", "counters of another pass");
        words.left(self.left, &self.left_orgs);
    }
}

impl DeliverCounts {
    fn say(&self, words: &mut Words) {
        words.count(self.sent, "email sent", "emails sent");
        words.count(self.postponed, "email postponed", "emails postponed");
        words.count(self.given_up, "email given up", "emails given up");
        words.count(self.expired, "email too late", "emails too late");
        words.count(self.suppressed, "address suppressed", "addresses suppressed");
        words.count(self.webhooks_sent, "webhook sent", "webhooks sent");
        words.count(self.webhooks_postponed, "webhook postponed", "webhooks postponed");
        words.count(self.webhooks_given_up, "webhook given up", "webhooks given up");
        words.left(self.left, &[]);
        words.0.extend(self.fault().map(str::to_owned));
    }

    /// Why the mail server took no emails.
    fn fault(&self) -> Option<&str> {
        let faults = [&self.locked_out, &self.refused, &self.unreachable];
        faults.into_iter().flatten().map(String::as_str).next()
    }
}

impl RetentionCounts {
    fn say(&self, words: &mut Words) {
        words.count(self.metrics, "metric deleted", "metrics deleted");
        words.count(self.counters, "counter deleted", "counters deleted");
        words.count(self.drift, "drift record deleted", "drift records deleted");
        words.count(self.runs, "run deleted", "runs deleted");
        words.count(self.emails, "email deleted", "emails deleted");
        words.count(self.webhooks, "webhook deleted", "webhooks deleted");
        words.count(self.events, "event deleted", "events deleted");
        words.count(self.alerts, "alert deleted", "alerts deleted");
        let rows = ["overview row deleted", "overview rows deleted"];
        words.count(self.overview, rows[0], rows[1]);
        words.left(self.left, &self.left_orgs);
    }
}

impl From<&rollover::RolloverReport> for RunCounts {
    fn from(report: &rollover::RolloverReport) -> Self {
        Self::Rollover(RolloverCounts {
            orgs: report.orgs,
            periods_closed: report.periods_closed,
            opened: report.opened,
            pack_entries: report.pack_entries,
            conflicts: report.conflicts,
            parked: report.parked.len(),
            skipped: report.skipped.len(),
            columns_left_out: report.columns_left_out.len(),
            lateness: report.lateness.clone(),
        })
    }
}

impl From<&sync::SyncReport> for RunCounts {
    fn from(report: &sync::SyncReport) -> Self {
        Self::Sync(SyncCounts {
            metrics_counted: report.metrics_counted,
            counters_synced: report.counters_synced,
            columns_written: report.columns_written,
            late: report.late.len(),
            orgs_audited: report.audited.map(|audited| audited.orgs),
            drift_found: report.drift_found,
            purchases_without_pack: report.purchases_without_pack.len(),
            conflicts: report.conflicts,
            left: report.left.len(),
            left_out: report.left_out.len(),
            parked: report.parked.len(),
            skipped: report.skipped.len(),
            columns_left_out: report.columns_left_out.len(),
        })
    }
}

impl From<&alerts::AlertReport> for AlertCounts {
    fn from(report: &alerts::AlertReport) -> Self {
        Self {
            everything: report.everything,
            judged: report.judged,
            notified: report.notified,
            covered: report.covered,
            waiting: report.waiting,
            recorded: report.recorded,
            emails: report.emails,
            missed: report.missed,
            left: report.left,
            left_orgs: slugs(&report.left_orgs),
        }
    }
}

impl From<&deliver::DeliveryReport> for DeliverCounts {
    fn from(report: &deliver::DeliveryReport) -> Self {
        Self {
            sent: report.sent,
            postponed: report.postponed,
            given_up: report.given_up,
            expired: report.expired,
            suppressed: report.suppressed,
            webhooks_sent: report.webhooks.sent,
            webhooks_postponed: report.webhooks.postponed,
            webhooks_given_up: report.webhooks.given_up,
            left: report.left,
            unreachable: report.unreachable.clone(),
            locked_out: report.locked_out.clone(),
            refused: report.refused.clone(),
        }
    }
}

impl From<&retention::RetentionReport> for RunCounts {
    fn from(report: &retention::RetentionReport) -> Self {
        Self::Retention(RetentionCounts {
            metrics: report.metrics,
            counters: report.counters,
            drift: report.drift,
            runs: report.runs,
            emails: report.emails,
            webhooks: report.webhooks,
            events: report.events,
            alerts: report.alerts,
            overview: report.overview,
            left: report.left,
            left_orgs: slugs(&report.left_orgs),
        })
    }
}

fn slugs(left: &[Left]) -> Vec<String> {
    left.iter().map(|left| left.slug.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_happen_is_not_said() {
        let mut counts = AlertCounts { judged: 2, ..AlertCounts::default() };
        let said = |counts: &AlertCounts| RunCounts::Alerts(counts.clone()).words().join(", ");
        assert_eq!(said(&counts), "2 counters examined");
        counts.everything = true;
        counts.left_orgs = vec!["acme".to_owned()];
        counts.left = 1;
        assert_eq!(
            said(&counts),
            "full pass, 2 counters examined, 1 org left to the next run, among them acme"
        );
    }

    #[test]
    fn the_ledger_is_read_as_it_was_written_and_as_earlier_versions_wrote_it() {
        let counts = RunCounts::Deliver(DeliverCounts {
            sent: 3,
            unreachable: Some("no answer".to_owned()),
            ..DeliverCounts::default()
        });
        assert_eq!(RunCounts::read(Job::Deliver, &counts.json()), Some(counts));
        let earlier = r#"{"sent": 1, "unreachable": null, "locked_out": null, "gone": [1]}"#;
        let read = RunCounts::read(Job::Deliver, earlier).expect("counts");
        assert_eq!(read.words(), ["1 email sent"]);
        assert!(!read.json().contains("null"), "{}", read.json());
        assert_eq!(RunCounts::read(Job::Sync, r#"{"orgs_audited": "many"}"#), None);
    }
}
