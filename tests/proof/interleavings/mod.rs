//! Every pair of verbs: one is stopped at each of its messages while the other one runs whole, and
//! then goes on. Where the other one waits for the first, it goes on sooner, and the other one ends
//! after it: so both orders of commit come about. Afterwards everything is right.
//!
//! `make test` runs a part of the schedules, drawn with the same seed each time, and `make proof`
//! all of them. `PERIODD_SCHEDULES` says how many otherwise, and `PERIODD_CASE` names one, as a
//! failure does, or all that begin so: `plain insert@3/`.

mod books;
mod schedule;
mod verbs;
mod world;

use std::sync::{Arc, Mutex};

use periodd::config::Config;
use periodd::jobs::deliver::Mailer;
use periodd::jobs::sync;
use periodd::tz::TzData;

use crate::proof::{figure, size};
use crate::support::TestDatabase;
use schedule::{Bench, Level, Schedule};
use verbs::{Act, Means, Needs, VERBS, Verb};
use world::Worlds;

/// Databases side by side.
const BENCHES: usize = 3;
/// Violations that are shown.
const SHOWN: usize = 12;
const SEED: u64 = 23;

#[tokio::test]
async fn two_verbs_leave_the_books_right_wherever_one_is_stopped() {
    tokio::task::LocalSet::new().run_until(Box::pin(all_schedules())).await;
}

async fn all_schedules() {
    let test = TestDatabase::new().await;
    let worlds = Arc::new(Worlds::make(&test).await);
    let means = Arc::new(means(&test).await);
    let mut benches = Vec::new();
    for _ in 0..BENCHES {
        benches.push(Bench::new(test.copy().await, worlds.clone(), &means).await);
    }
    let lengths = lengths(&mut benches[0]).await;
    let mut all = schedules(&lengths);
    let of_all = all.len();
    if let Ok(case) = std::env::var("PERIODD_CASE") {
        all.retain(|schedule| schedule.to_string().starts_with(&case));
        assert!(!all.is_empty(), "no schedule is called {case}: they are called VERB@N/VERB/LEVEL");
    } else {
        fastrand::Rng::with_seed(SEED).shuffle(&mut all);
        let asked = std::env::var("PERIODD_SCHEDULES").ok();
        let asked = asked.map(|text| text.parse().expect("PERIODD_SCHEDULES is a number"));
        all.truncate(asked.unwrap_or_else(|| size(90, usize::MAX)));
    }
    let tried = all.len();
    let left = Arc::new(Mutex::new(all));
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut working = tokio::task::JoinSet::new();
    for bench in benches {
        working.spawn_local(work(bench, left.clone(), found.clone()));
    }
    while let Some(ended) = working.join_next().await {
        ended.expect("a bench ends");
    }
    let found = std::mem::take(&mut *found.lock().expect("unpoisoned"));
    let shown: Vec<&String> = found.iter().take(SHOWN).collect();
    assert!(found.is_empty(), "{} of {tried} schedules go wrong:\n{shown:#?}", found.len());
    let pairs = VERBS.len() * VERBS.len();
    figure(
        "interleavings",
        &format!("{tried} schedules of {of_all}, of {pairs} pairs of verbs: 0 violations"),
    );
}

async fn means(test: &TestDatabase) -> Means {
    let config = Config::load(Some(&test.config()), std::iter::empty()).expect("a configuration");
    let columns = sync::targets(&test.database, &config.sync).await.expect("the columns");
    let mailer = Mailer::of(&config).expect("a mailer");
    Means { config, tz: TzData::newest(), mailer, columns }
}

/// A verb in a state, and how many messages of it the server acts on.
struct Length {
    verb: Verb,
    state: Needs,
    messages: usize,
}

/// Runs each verb alone.
async fn lengths(bench: &mut Bench) -> Vec<Length> {
    let (mut lengths, mut faults) = (Vec::new(), Vec::new());
    for verb in VERBS {
        for state in [Needs::Open, Needs::Due] {
            if state == Needs::Open && verb.needs == Needs::Due {
                continue;
            }
            let (messages, wrong) = bench.alone(verb, state).await;
            faults
                .extend(wrong.iter().map(|what| format!("{} alone, {state:?}: {what}", verb.name)));
            assert!(messages > 1, "{}: does the proxy see it?", verb.name);
            lengths.push(Length { verb, state, messages });
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    lengths
}

/// All schedules: every ordered pair, at every message; with callers that isolate their
/// transactions in each way, where there is one.
fn schedules(lengths: &[Length]) -> Vec<Schedule> {
    let mut schedules = Vec::new();
    for stopped in VERBS {
        for whole in VERBS {
            let calls = [stopped, whole].iter().any(|verb| matches!(verb.act, Act::Sql(_)));
            let levels = if calls { &Level::ALL[..] } else { &Level::ALL[..1] };
            for level in levels {
                let first = Schedule { stopped, whole, level: *level, at: 0 };
                let length = lengths
                    .iter()
                    .find(|one| one.verb.name == stopped.name && one.state == first.state());
                let messages = length.map_or(0, |length| length.messages);
                schedules.extend((0..messages).map(|at| Schedule { at, ..first }));
            }
        }
    }
    schedules
}

/// Runs what is left, schedule after schedule.
async fn work(mut bench: Bench, left: Arc<Mutex<Vec<Schedule>>>, found: Arc<Mutex<Vec<String>>>) {
    loop {
        let next = left.lock().expect("unpoisoned").pop();
        let Some(schedule) = next else { return };
        let wrong = bench.run(&schedule).await;
        if !wrong.is_empty() {
            let told = format!("PERIODD_CASE='{schedule}': {}", wrong.join("; "));
            println!("{} {told}", bench.database());
            found.lock().expect("unpoisoned").push(told);
        }
    }
}
