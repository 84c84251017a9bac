//! The lanes of runs, as a picture: what each job did, when it was paused, and by whom.

use std::collections::BTreeSet;

use crate::billing::{Instant, Zone};
use crate::charts::lanes::{ClockChange, Job as Drawn, Lanes, Outcome as Went, Pause, Run as Tick};
use crate::config::Config;
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::said;
use crate::http::pages::picture::Picture;
use crate::jobs::catalogue::Job;
use crate::jobs::{ByHand, Done};
use crate::schedule::Scheduled;
use crate::store::runs::schedules::Row;
use crate::store::runs::{Outcome, Run};
use crate::tz::TzData;

/// What the picture is drawn from.
pub(super) struct Seen<'a> {
    /// The runs of the span, the newest first.
    pub(super) runs: &'a [Run],
    /// The schedules, where they could be read.
    pub(super) rows: &'a [Row],
    pub(super) config: &'a Config,
    pub(super) tz: &'a TzData,
    pub(super) from: Instant,
}

impl Seen<'_> {
    pub(super) fn picture(&self, clock: &Clock) -> Picture {
        let lanes = Lanes {
            from: self.from,
            now: clock.now,
            jobs: Job::ALL.into_iter().map(|job| self.lane(job)).collect(),
            changes: self.changes(clock.now),
        };
        Picture::of(|width| lanes.chart(width, &clock.when()))
    }

    fn lane(&self, job: Job) -> Drawn {
        let of_job = self.runs.iter().rev().filter(|run| run.job == job.name());
        let runs = of_job.filter_map(|run| tick(run, self.from)).collect();
        Drawn { name: job.name().to_owned(), runs, pauses: self.pauses(job) }
    }

    /// When a job was paused: as the ledger has it for pauses by a button, and for the one that
    /// goes on, as its schedule has it.
    fn pauses(&self, job: Job) -> Vec<Pause> {
        let mut pauses: Vec<Pause> = Vec::new();
        for run in self.runs.iter().rev() {
            let Some(at) = run.finished_at else { continue };
            let Some(done) = Done::of(run).filter(|done| done.of == job.name()) else { continue };
            let open = pauses.last_mut().filter(|pause| pause.until.is_none());
            match (run.job.parse(), open) {
                (Ok(ByHand::Pause), None) => {
                    let by = by(run, &done);
                    pauses.push(Pause { from: at, until: None, said: by });
                }
                (Ok(ByHand::Resume), Some(pause)) => pause.until = Some(at),
                _ => {}
            }
        }
        let row = self.rows.iter().find(|row| row.job == job.name() && row.paused_at.is_some());
        let current = row.and_then(|row| Some((row.paused_at?, row.pause_reason.as_deref()?)));
        match (current, pauses.last_mut().filter(|pause| pause.until.is_none())) {
            (Some((at, reason)), None) => {
                let from = at.max(self.from);
                pauses.push(Pause { from, until: None, said: said(reason) });
            }
            // It was let go on by a command, which the ledger does not have.
            (None, Some(pause)) if !self.rows.is_empty() => pause.until = Some(pause.from),
            _ => {}
        }
        pauses
    }

    /// The hours that the clocks of the schedules repeat or drop.
    fn changes(&self, now: Instant) -> Vec<ClockChange> {
        let zones = Job::ALL.into_iter().filter_map(|job| {
            let scheduled = Scheduled::of(job, self.config, self.tz).ok()?;
            Some(scheduled.timetable?.zone().clone())
        });
        let mut named = BTreeSet::new();
        let zones: Vec<Zone> = zones.filter(|zone| named.insert(zone.name().to_owned())).collect();
        let of_zone = |zone: &Zone| {
            let name = zone.name().to_owned();
            zone.clock_changes(self.from, now).into_iter().map(move |change| {
                let [from, to] = change.hours;
                let hour = format!("{from} to {to} in {name}");
                ClockChange { at: change.at, is_repeated: change.is_repeated, hour }
            })
        };
        zones.iter().flat_map(of_zone).collect()
    }
}

/// Who paused a job, and why.
fn by(run: &Run, done: &Done) -> String {
    let why = done.why.as_deref().unwrap_or("no reason was given");
    said(&format!("{}: {why}", run.asked_by.as_deref().unwrap_or("a command")))
}

/// A run of the span; `None` for one that has not ended.
fn tick(run: &Run, from: Instant) -> Option<Tick> {
    let outcome = match run.outcome {
        Outcome::Done => Went::Done,
        Outcome::Failed => Went::Failed,
        Outcome::Skipped => Went::Skipped,
        Outcome::Running => return None,
    };
    let due = run.occurrence.or(run.started_at).or(run.finished_at)?.max(from);
    let began = run.started_at.filter(|_| outcome != Went::Skipped).map(|at| at.max(from));
    let reason = run.error.as_deref().or(run.reason.as_deref()).map(said).unwrap_or_default();
    Some(Tick { due, began, outcome, reason })
}
