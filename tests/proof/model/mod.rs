//! Random operations against the real thing and against a reference in memory, which shares no
//! code with `src/billing`: what both hold is compared again and again.
//!
//! A run is made from a seed. Where the two part, the operations are thinned out while they still
//! do, and printed with the seed; `PERIODD_CASE=SEED` runs that one again. Seeds that have found
//! something stay in [`KEPT`].

mod calendar;
mod generator;
mod operation;
mod real;
mod reference;
mod shrink;

use serde_json::Value;

use crate::proof::{figure, is_full, size};
use crate::support::TestDatabase;

use calendar::Calendars;
use generator::Generator;
use operation::{Job, Operation, Step};
use real::{Real, instant};
use reference::Org;

/// Orgs of one run, side by side: a job is one pass over all of them.
const ORGS: usize = 24;
/// Rounds of operations and jobs in a run, and in those of `make test`: the same, but shorter.
const ROUNDS: usize = 40;
const FEW_ROUNDS: usize = 12;
/// Seeds that are always run.
const KEPT: [u64; 1] = [1];

/// Where the two part.
#[derive(Debug)]
struct Apart {
    /// The org, if it is one.
    org: Option<usize>,
    what: String,
}

/// The reference and the real thing, side by side.
struct World<'a> {
    calendars: &'a Calendars,
    orgs: Vec<Option<Org>>,
    real: Real,
    waiting: Vec<(usize, i64, Operation)>,
    operations: usize,
}

impl<'a> World<'a> {
    async fn new(
        calendars: &'a Calendars,
        template: &TestDatabase,
        orgs: Vec<Option<Org>>,
        opened: i64,
    ) -> Result<Self, Apart> {
        let real = Real::new(template, &orgs).await;
        let (waiting, operations) = (Vec::new(), 0);
        let mut world = Self { calendars, orgs, real, waiting, operations };
        world.step(&Step::Job { job: Job::Rollover, now: opened, cut: None }).await?;
        Ok(world)
    }

    async fn step(&mut self, step: &Step) -> Result<(), Apart> {
        match step {
            Step::Act { org, now, operation } => {
                if self.orgs[*org].is_some() {
                    self.waiting.push((*org, *now, operation.clone()));
                }
                Ok(())
            }
            Step::Commit { cut: None } => self.commit().await,
            Step::Commit { cut: Some(is_done) } => self.commit_unheard(*is_done).await,
            Step::Job { job, now, cut } => {
                self.commit().await?;
                let done = self.real.job(*job, *now, *cut).await;
                done.map_err(|what| Apart { org: None, what })?;
                for org in self.orgs.iter_mut().flatten() {
                    match job {
                        Job::Rollover => {
                            org.roll_over(self.calendars, *now);
                        }
                        Job::Sync | Job::Audit => org.sync(*now),
                        Job::Early { .. } | Job::Alerts | Job::Retention => {}
                    }
                }
                if let Job::Early { org } = job
                    && let Some(org) = &mut self.orgs[*org]
                {
                    org.close_early(self.calendars, *now);
                }
                let found = self.compare().await;
                found.map_err(|apart| Apart {
                    what: format!("after {job:?} at {}:\n{}", instant(*now), apart.what),
                    ..apart
                })
            }
        }
    }

    /// Plays what waits, and compares the answers.
    async fn commit(&mut self) -> Result<(), Apart> {
        let mut asked: Vec<Value> = Vec::new();
        let mut expected = Vec::new();
        for (org, now, operation) in std::mem::take(&mut self.waiting) {
            let model = self.orgs[org].as_mut().expect("a waiting org");
            if !model.allows(&operation, now) {
                continue;
            }
            let answer = model.act(self.calendars, &operation, now);
            asked.push(operation.asked(org, now));
            let is_doubtful = answer.starts_with('?');
            expected.push((org, now, operation, answer));
            if is_doubtful {
                self.play(std::mem::take(&mut asked), std::mem::take(&mut expected)).await?;
            }
        }
        self.play(asked, expected).await
    }

    async fn play(
        &mut self,
        asked: Vec<Value>,
        expected: Vec<(usize, i64, Operation, String)>,
    ) -> Result<(), Apart> {
        if asked.is_empty() {
            return Ok(());
        }
        self.operations += asked.len();
        let answers = self.real.play(&Value::Array(asked)).await;
        for (answer, (org, now, operation, expected)) in answers.iter().zip(expected) {
            if *answer == expected.trim_start_matches('?') {
                continue;
            }
            if expected.starts_with("?allowed") && answer == "refused" {
                // Draws that a rollover would give back are left out: less is allowed, never more.
                self.orgs[org].as_mut().expect("it acted").take_back(&operation);
                continue;
            }
            let what = format!(
                "{operation:?} at {}: {answer}, and by the reference {expected}",
                instant(now)
            );
            return Err(Apart { org: Some(org), what });
        }
        Ok(())
    }

    /// Plays what waits over a connection that breaks at its commit. Nobody hears whether it came
    /// to pass: both are thought possible, until the state shows which it was.
    async fn commit_unheard(&mut self, is_done: bool) -> Result<(), Apart> {
        let before = self.orgs.clone();
        let mut asked = Vec::new();
        for (org, now, operation) in std::mem::take(&mut self.waiting) {
            let model = self.orgs[org].as_mut().expect("a waiting org");
            if model.allows(&operation, now) {
                let before = model.clone();
                let answer = model.act(self.calendars, &operation, now);
                if answer.starts_with('?') {
                    // The database may refuse it, and nobody would hear which it was.
                    *model = before;
                    break;
                }
                asked.push(operation.asked(org, now));
            }
        }
        self.operations += asked.len();
        if asked.is_empty() {
            return Ok(());
        }
        self.real.play_cut(&Value::Array(asked), is_done).await;
        let apart = match self.compare().await {
            Ok(()) => return Ok(()),
            Err(apart) => apart,
        };
        self.orgs = before;
        self.compare().await.map_err(|_| Apart {
            what: format!("neither before nor after what nobody heard of:\n{}", apart.what),
            ..apart
        })
    }

    /// Plays what still waits, and asks the invariants.
    async fn finish(&mut self) -> Result<(), Apart> {
        self.commit().await?;
        let broken = self.real.broken_invariant().await;
        broken.map_or(Ok(()), |what| Err(Apart { org: None, what }))
    }

    /// Compares what is held of every org.
    async fn compare(&mut self) -> Result<(), Apart> {
        let present: Vec<usize> =
            (0..self.orgs.len()).filter(|org| self.orgs[*org].is_some()).collect();
        let mut state = self.real.state(&present).await;
        for number in present {
            let expected = self.orgs[number].as_ref().expect("present").lines();
            let found = state.remove(&number).unwrap_or_default();
            if found == expected {
                continue;
            }
            let only = |these: &[String], those: &[String], sign: &str| -> String {
                let only = these.iter().filter(|line| !those.contains(line));
                only.fold(String::new(), |said, line| said + &format!("  {sign} {line}\n"))
            };
            let what = only(&expected, &found, "reference:") + &only(&found, &expected, "periodd:");
            return Err(Apart { org: Some(number), what });
        }
        Ok(())
    }
}

/// What a run from a seed came to.
struct Run {
    operations: usize,
    apart: Option<Apart>,
    /// The orgs as they began, when they were opened, and what happened.
    orgs: Vec<Option<Org>>,
    opened: i64,
    steps: Vec<Step>,
}

async fn run(calendars: &Calendars, template: &TestDatabase, seed: u64, rounds: usize) -> Run {
    let mut generator = Generator::new(seed);
    let opened = generator.now();
    let orgs: Vec<Option<Org>> = (0..ORGS).map(|_| Some(generator.org(calendars))).collect();
    let mut steps = Vec::new();
    let mut operations = 0;
    let played =
        play(calendars, template, &orgs, (&mut generator, rounds), &mut steps, &mut operations);
    let apart = Box::pin(played).await;
    Run { operations, apart: apart.err(), orgs, opened, steps }
}

async fn play(
    calendars: &Calendars,
    template: &TestDatabase,
    orgs: &[Option<Org>],
    (generator, rounds): (&mut Generator, usize),
    steps: &mut Vec<Step>,
    operations: &mut usize,
) -> Result<(), Apart> {
    let mut world = World::new(calendars, template, orgs.to_vec(), generator.now()).await?;
    for _ in 0..rounds {
        for step in generator.round(&world.orgs) {
            steps.push(step.clone());
            let done = world.step(&step).await;
            *operations = world.operations;
            done?;
        }
    }
    world.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_what_the_reference_says() {
    let calendars = Calendars::new();
    let template = real::template().await;
    let asked = std::env::var("PERIODD_CASE").ok();
    let asked: Option<u64> = asked.map(|seed| seed.parse().expect("PERIODD_CASE is a seed here"));
    // By the hour: `make soak SECONDS=3600`.
    let seconds = std::env::var("PERIODD_SOAK").ok().and_then(|text| text.parse().ok());
    let wanted = size(3_000, 1_000_000);
    let is_short = asked.is_none() && seconds.is_none() && !is_full();
    let rounds = if is_short { FEW_ROUNDS } else { ROUNDS };
    let began = std::time::Instant::now();
    let (mut operations, mut seeds) = (0, 0);
    let fresh = std::iter::repeat_with(|| fastrand::u64(..1_000_000_000));
    for seed in asked.into_iter().chain(KEPT).chain(fresh) {
        // A panic in the middle of it says no seed.
        println!("PERIODD_CASE={seed}, {rounds} rounds");
        let done = Box::pin(run(&calendars, &template, seed, rounds)).await;
        operations += done.operations;
        seeds += 1;
        if let Some(apart) = done.apart {
            let Run { orgs, opened, steps, .. } = done;
            let story = shrink::shrink(&calendars, &template, &orgs, opened, steps, apart);
            let story = Box::pin(story).await;
            panic!("PERIODD_CASE={seed} runs this again:\n{story}");
        }
        let is_enough = match seconds {
            Some(seconds) => began.elapsed().as_secs() >= seconds,
            None => operations >= wanted && seeds >= KEPT.len(),
        };
        if asked.is_some() || is_enough {
            break;
        }
    }
    if asked.is_none() {
        figure("model", &format!("{operations} operations from {seeds} seeds, 0 divergences"));
    }
}
