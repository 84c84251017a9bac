//! Thinning a failed run out while it still fails.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::calendar::Calendars;
use super::operation::{Job, Step};
use super::real::instant;
use super::reference::Org;
use super::{Apart, World};
use crate::support::TestDatabase;

/// Longer than that nobody waits for a shorter story.
const PATIENCE: Duration = Duration::from_mins(1);

/// The story of a run that failed, with as few steps as could be found.
pub(super) async fn shrink(
    calendars: &Calendars,
    template: &TestDatabase,
    orgs: &[Option<Org>],
    opened: i64,
    steps: Vec<Step>,
    apart: Apart,
) -> String {
    let began = Instant::now();
    let (mut orgs, mut steps, mut apart) = (orgs.to_vec(), steps, apart);
    let again = async |orgs: &[Option<Org>], steps: &[Step]| -> Option<Apart> {
        let world = World::new(calendars, template, orgs.to_vec(), opened).await;
        let mut world = match world {
            Ok(world) => world,
            Err(apart) => return Some(apart),
        };
        for step in steps {
            if let Err(apart) = world.step(step).await {
                return Some(apart);
            }
        }
        world.finish().await.err()
    };
    if let Some(number) = apart.org {
        let alone = orgs.iter().enumerate();
        let alone: Vec<_> = alone.map(|(at, org)| org.clone().filter(|_| at == number)).collect();
        let is_its = |step: &&Step| match step {
            Step::Act { org, .. } | Step::Job { job: Job::Early { org }, .. } => *org == number,
            _ => true,
        };
        let own: Vec<Step> = steps.iter().filter(is_its).cloned().collect();
        if let Some(found) = Box::pin(again(&alone, &own)).await {
            (orgs, steps, apart) = (alone, own, found);
        }
    }
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 && began.elapsed() < PATIENCE {
        let (mut at, mut is_shorter) = (0, false);
        while at < steps.len() && began.elapsed() < PATIENCE {
            let end = (at + chunk).min(steps.len());
            let without = [&steps[..at], &steps[end..]].concat();
            match Box::pin(again(&orgs, &without)).await {
                Some(found) => (steps, apart, is_shorter) = (without, found, true),
                None => at = end,
            }
        }
        chunk = if chunk == 1 && !is_shorter { 0 } else { (chunk / 2).max(1) };
    }
    let mut story = format!("opened at {}", instant(opened));
    if let Some(org) = apart.org.and_then(|number| orgs[number].as_ref()) {
        let _ = write!(story, ", {:?} on tier {}", org.cycle(), org.tier());
    }
    for step in &steps {
        let _ = match step {
            Step::Act { now, operation, .. } => {
                write!(story, "\n{} {operation:?}", instant(*now))
            }
            Step::Job { job, now, cut } => write!(story, "\n{} {job:?} {cut:?}", instant(*now)),
            Step::Commit { cut } => write!(story, "\ncommit {cut:?}"),
        };
    }
    let _ = write!(story, "\n{}", apart.what);
    story
}
