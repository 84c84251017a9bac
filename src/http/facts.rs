//! What the database says for `/metrics`: read by one task every 15 seconds, each statement
//! bounded.
//!
//! When reading fails, these facts are absent, neither frozen nor 0, and their age rises. Every
//! replica says the same: whoever adds them up counts twice, so dashboards and rules take `max`.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::time::Instant as Tick;

use crate::billing::Instant;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::{AlertCounts, DeliverCounts, RunCounts};
use crate::jobs::rollover::lateness::{BOUNDS_S, Lateness};
use crate::store::reports::facts::{self, Backlog, Ended, Sizes};
use crate::store::reports::status::{self, Parked, Queue, Queues, ZoneFacts};
use crate::store::runs::Outcome;
use crate::store::{Connection, StoreError, server_now};
use crate::tz::TzData;

/// Facts that are older are absent.
const GOOD_FOR: Duration = Duration::from_mins(1);
/// Rows of the ledger that are read at once.
const MOST_RUNS: i64 = 1_000;
/// So much of the ledger is read again: a row may become visible after one that ended later.
const AGAIN: SignedDuration = SignedDuration::from_mins(2);
/// What went wrong within this time is a fact.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);
/// Seconds; a sync takes milliseconds, a rollover of a million orgs minutes.
const RUN_BOUNDS: [f64; 9] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfZone {
    time_zone: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    /// (Prometheus has a label `job` of its own.)
    job_name: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJob {
    job_name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Releases {
    release: String,
    newest_used: String,
}

/// A gauge with a fraction.
pub(super) type Fraction = Gauge<f64, AtomicU64>;

/// What was read last.
pub(super) struct Facts(Mutex<Known>);

struct Known {
    /// When it was read; before the first time, when the process began to.
    read_at: Tick,
    /// `None`: nothing yet, or the last reading failed.
    registry: Option<Arc<Registry>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self(Mutex::new(Known { read_at: Tick::now(), registry: None }))
    }
}

impl Facts {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Whole after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their age, and what they are unless they could not be read.
    pub(super) fn now(&self) -> (Duration, Option<Arc<Registry>>) {
        let known = self.known();
        let age = known.read_at.elapsed();
        (age, known.registry.as_ref().filter(|_| age <= GOOD_FOR).map(Arc::clone))
    }

    /// They were read, or could not be.
    pub(super) fn are(&self, read: Option<Registry>) {
        let mut known = self.known();
        if read.is_some() {
            known.read_at = Tick::now();
        }
        known.registry = read.map(Arc::new);
    }
}

/// What one reading saw.
pub(super) struct Seen {
    now: Instant,
    queues: Queues,
    parked: Parked,
    backlog: Vec<Backlog>,
    sizes: Sizes,
    zones: ZoneFacts,
}

/// Reads.
pub(super) async fn see(
    connection: &mut Connection,
    ledger: &mut Ledger,
) -> Result<Seen, StoreError> {
    let now = server_now(connection).await?;
    ledger.follow(connection, now).await?;
    Ok(Seen {
        queues: status::queues(connection, now, before(now, RECENTLY)).await?,
        parked: status::parked(connection).await?,
        backlog: facts::backlog(connection, now).await?,
        sizes: facts::sizes(connection).await?,
        zones: status::zones(connection).await?,
        now,
    })
}

fn before(now: Instant, span: SignedDuration) -> Instant {
    now.plus(-span).unwrap_or(now)
}

/// Finished runs: counted since the process began, each once.
#[derive(Default)]
pub(super) struct Ledger {
    /// Rows that ended at this instant or later are read next.
    from: Option<Instant>,
    /// Rows that are counted and may be read again, with when they ended and how many occurrences
    /// they stood for.
    counted: HashMap<i64, (Instant, i64)>,
    runs: Family<OfRun, Counter>,
    durations: Durations,
    periods_closed: Counter,
    lateness: Lateness,
    metrics_counted: Counter,
    drift_found: Counter,
    alerts: Family<OfState, Counter>,
    emails: Family<OfState, Counter>,
}

/// How long runs took, by job.
struct Durations(Family<OfJob, Histogram, fn() -> Histogram>);

impl Default for Durations {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(RUN_BOUNDS)))
    }
}

impl Ledger {
    /// Reads on. What ended before the first reading is not counted: counters begin with their
    /// process.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        now: Instant,
    ) -> Result<(), StoreError> {
        let Some(from) = self.from else {
            self.from = Some(now);
            self.begin();
            return Ok(());
        };
        let ended = facts::ended(connection, from, MOST_RUNS).await?;
        let is_all = i64::try_from(ended.len()).unwrap_or(MOST_RUNS) < MOST_RUNS;
        let last = ended.last().map(|run| run.finished_at);
        for run in &ended {
            self.count(run);
        }
        let next = match last {
            Some(last) if !is_all => last,
            _ => before(now, AGAIN),
        };
        let next = next.max(from);
        self.from = Some(next);
        self.counted.retain(|_, (finished_at, _)| *finished_at >= next);
        Ok(())
    }

    /// What has not happened yet is 0, so that the first time is seen as an increase.
    fn begin(&self) {
        for job_name in Job::ALL.map(Job::name) {
            for outcome in [Outcome::Done, Outcome::Failed, Outcome::Skipped].map(Outcome::name) {
                drop(self.runs.get_or_create(&OfRun { job_name, outcome }));
            }
            drop(self.durations.0.get_or_create(&OfJob { job_name }));
        }
        self.add_alerts(&AlertCounts::default());
        self.add_emails(&DeliverCounts::default());
    }

    fn count(&mut self, run: &Ended) {
        let known = self.counted.insert(run.id, (run.finished_at, run.occurrences));
        let further = match known {
            // A row of skips stands for more of them; any other that ended again was begun again.
            Some((_, occurrences)) if run.outcome == Outcome::Skipped => {
                run.occurrences - occurrences
            }
            Some((finished_at, _)) if finished_at == run.finished_at => 0,
            _ if run.outcome == Outcome::Skipped => run.occurrences,
            _ => 1,
        };
        let Some(further) = u64::try_from(further).ok().filter(|further| *further > 0) else {
            return;
        };
        let found = Job::from_str(&run.job).ok();
        let (job_name, outcome) = (found.map_or("other", Job::name), run.outcome.name());
        self.runs.get_or_create(&OfRun { job_name, outcome }).inc_by(further);
        let Some(started_at) = run.started_at.filter(|_| run.outcome != Outcome::Skipped) else {
            return;
        };
        let took = run.finished_at.since(started_at).as_secs_f64().max(0.0);
        self.durations.0.get_or_create(&OfJob { job_name }).observe(took);
        let counts = run.counts.as_deref();
        if let Some(counts) = found.zip(counts).and_then(|(job, json)| RunCounts::read(job, json)) {
            self.add(&counts);
        }
    }

    fn add(&mut self, counts: &RunCounts) {
        match counts {
            RunCounts::Rollover(counts) => {
                self.periods_closed.inc_by(number(counts.periods_closed));
                self.lateness.add(&counts.lateness);
            }
            RunCounts::Sync(counts) => {
                self.metrics_counted.inc_by(counts.metrics_counted);
                self.drift_found.inc_by(counts.drift_found);
            }
            RunCounts::Alerts(counts) => self.add_alerts(counts),
            RunCounts::Deliver(counts) => self.add_emails(counts),
            RunCounts::Retention(_) => {}
        }
    }

    fn add_alerts(&self, counts: &AlertCounts) {
        for (state, count) in [
            ("notified", counts.notified),
            ("covered", counts.covered),
            ("waiting", counts.waiting),
            ("recorded", counts.recorded),
        ] {
            self.alerts.get_or_create(&OfState { state }).inc_by(number(count));
        }
    }

    fn add_emails(&self, counts: &DeliverCounts) {
        for (state, count) in [
            ("sent", counts.sent),
            ("postponed", counts.postponed),
            ("given_up", counts.given_up),
            ("expired", counts.expired),
            ("suppressed", counts.suppressed),
        ] {
            self.emails.get_or_create(&OfState { state }).inc_by(number(count));
        }
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Finished runs, by job and outcome, since this process began";
        registry.register("runs", help, self.runs.clone());
        let help = "How long runs took, by job";
        registry.register("run_duration_seconds", help, self.durations.0.clone());
        let help = "Periods that rollovers closed";
        registry.register("periods_closed", help, self.periods_closed.clone());
        let help = "How long after their ends periods were closed";
        registry.register("rollover_lateness_seconds", help, Late(self.lateness.clone()));
        let help = "Usage metrics that syncs counted";
        registry.register("usage_metrics_counted", help, self.metrics_counted.clone());
        let help = "Counters and copies that differed from the sum of their metrics";
        registry.register("drift_found", help, self.drift_found.clone());
        registry.register("alerts_decided", "Alerts that passes decided", self.alerts.clone());
        let help = "Emails that deliveries attempted, by what became of them";
        registry.register("emails_attempted", help, self.emails.clone());
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Seen {
    /// As it is shown.
    pub(super) fn registry(&self, tz: &TzData, ledger: &Ledger) -> Registry {
        let mut registry = Registry::with_prefix("periodd");
        ledger.register(&mut registry);
        self.register_orgs(&mut registry, tz);
        self.register_queues(&mut registry);
        self.register_zones(&mut registry, tz);
        registry
    }

    /// How long ago that was; 0 where nothing waits.
    fn age(&self, queue: &Queue) -> ConstGauge<f64> {
        let waits = queue.oldest.filter(|_| queue.length > 0);
        ConstGauge::new(waits.map_or(0.0, |since| self.age_of(since)))
    }

    fn age_of(&self, since: Instant) -> f64 {
        self.now.since(since).as_secs_f64().max(0.0)
    }

    fn register_orgs(&self, registry: &mut Registry, tz: &TzData) {
        let Queues { due, unopened, .. } = &self.queues;
        let states = states([
            ("due", due.length),
            ("no_period", unopened.length),
            ("parked", self.parked.count_by_periodd),
            ("parked_by_hand", self.parked.count_by_hand),
        ]);
        let help =
            "Orgs that are not simply within their period; 1000 stands for that many or more";
        registry.register("orgs", help, states);
        if let Some(orgs) = self.sizes.orgs {
            let help = "All orgs, as PostgreSQL estimates them";
            registry.register("orgs_estimate", help, ConstGauge::new(orgs));
        }
        let help = "Seconds by which the most overdue period is late; 0: none is";
        registry.register("most_overdue_seconds", help, self.age(due));
        let (orgs, overdue) =
            (Family::<OfZone, Gauge>::default(), Family::<OfZone, Fraction>::default());
        for Backlog { time_zone, orgs: count, oldest } in &self.backlog {
            // What is no zone is one label, however many orgs invent one.
            let zone = tz.zone(time_zone);
            let time_zone = zone.map_or_else(|_| "unknown".to_owned(), |z| z.name().to_owned());
            let zone = OfZone { time_zone };
            orgs.get_or_create(&zone).inc_by(*count);
            let overdue = overdue.get_or_create(&zone);
            overdue.set(overdue.get().max(self.age_of(*oldest)));
        }
        let help = "Orgs whose period has ended and is not closed, by zone; 1000 in all at most";
        registry.register("backlog_orgs", help, orgs);
        let help = "Seconds by which the most overdue period of a zone is late";
        registry.register("overdue_seconds", help, overdue);
    }

    fn register_queues(&self, registry: &mut Registry) {
        let queues = &self.queues;
        let gauge = |length| ConstGauge::<i64>::new(length);
        let help = "Usage metrics that are not counted yet; 1000 stands for that many or more";
        registry.register("usage_metrics_uncounted", help, gauge(queues.uncounted.length));
        let help = "Age of the oldest usage metric that is not counted; 0: none waits";
        registry.register("oldest_uncounted_seconds", help, self.age(&queues.uncounted));
        if let Some(inserted) = self.sizes.metrics_inserted.and_then(|n| u64::try_from(n).ok()) {
            let help = "Usage metrics that were inserted, as PostgreSQL's statistics count them";
            registry.register("usage_metrics_inserted", help, ConstCounter::new(inserted));
        }
        let help = "Counters whose copies are not written yet; 1000 stands for that many or more";
        registry.register("counters_pending", help, gauge(queues.pending.length));
        let help =
            "Counters and copies repaired in the last 24 hours; 1000 stands for that many or more";
        registry.register("drift_repaired", help, gauge(queues.drift.length));
        let help = "Alerts without a recipient; 1000 stands for that many or more";
        registry.register("alerts", help, states([("waiting", queues.waiting.length)]));
        let emails = states([
            ("due", queues.emails.length),
            ("given_up", queues.given_up.length),
            ("expired", queues.expired.length),
        ]);
        let help = "Pending emails, and those that failed in the last 24 hours; 1000 stands for \
                    that many or more";
        registry.register("emails", help, emails);
        let help = "Age of the oldest unsent email; 0: none is pending";
        registry.register("oldest_unsent_email_seconds", help, self.age(&queues.emails));
    }

    fn register_zones(&self, registry: &mut Registry, tz: &TzData) {
        let release = tz.release();
        let newest_used = self.zones.newest_used.clone().unwrap_or_default();
        let is_outdated = newest_used.as_str() > release;
        let releases = Info::new(Releases { release: release.to_owned(), newest_used });
        let help = "The tz release of this process, and the newest that ends were brought to";
        registry.register("tz", help, releases);
        let help = "1 where this process has an older tz release than the database has seen";
        registry.register("tz_outdated", help, ConstGauge::new(i64::from(is_outdated)));
        if let Some(until) = self.zones.months_until {
            let until = ConstGauge::new(until.since(self.now).as_secs_f64());
            let help = "How far ahead the months of time zones are stored";
            registry.register("zone_months_ahead_seconds", help, until);
        }
    }
}

fn states<const N: usize>(of: [(&'static str, i64); N]) -> Family<OfState, Gauge> {
    let family = Family::<OfState, Gauge>::default();
    for (state, length) in of {
        family.get_or_create(&OfState { state }).set(length);
    }
    family
}

/// A lateness as a histogram.
#[derive(Debug)]
struct Late(Lateness);

impl EncodeMetric for Late {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of many years")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let bounds = BOUNDS_S.into_iter().map(f64::from).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.within).collect();
        let count = self.0.within.iter().sum();
        let seconds = self.0.total_ms as f64 / 1_000.0;
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
