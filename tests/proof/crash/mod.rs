//! Every flow is broken off at every message that it sends to the database: before the message is
//! sent, after it was carried out but its answer is lost, after the answer, and with a server that
//! does not notice for a while that nobody is there any more.
//!
//! Whatever broke where: nothing is half done, the invariants hold, and running again ends where an
//! undisturbed run does. One list names the flows ([`flows::FLOWS`]); a new one joins by one entry.
//! `PERIODD_CASE='rollover: 17 Before'` tries one point again.

mod digest;
mod flows;
mod http;
mod receiver;

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::proof::{figure, size};
use crate::proxy::{Cut, Proxy, Said};
use crate::support::{Answer, TestDatabase, server};

use flows::{FLOWS, Flow};

/// Points that are tried side by side.
const AT_ONCE: usize = 3;

type Point = (usize, Cut);

/// A flow once, through a proxy that cuts, and everything that was said.
async fn through(flow: &Flow, test: &TestDatabase, cut: Option<Point>) -> (Answer, Vec<Said>) {
    let directory = TempDir::new().expect("a directory");
    let proxy = Proxy::listen(directory.path(), &server(), cut);
    let answer = flow.run(test, &proxy.url(&test.name)).await;
    (answer, proxy.said())
}

/// Every way in which the connection can break at a message. What the server does not answer by
/// itself can only be lost on the way.
fn points(said: &[Said]) -> Vec<Point> {
    let mut points = Vec::new();
    for (number, said) in said.iter().enumerate() {
        points.push((number, Cut::Before));
        if said.is_answered() {
            let ways = [Cut::AnswerLost, Cut::After, Cut::Unnoticed];
            points.extend(ways.map(|way| (number, way)));
        }
    }
    points
}

/// What workers share: the points that are left, and what is in the database before and after.
struct Trial {
    flow: &'static Flow,
    template: tokio::sync::Mutex<TestDatabase>,
    points: Mutex<Vec<Point>>,
    before: Vec<String>,
    after: Vec<String>,
    output: String,
}

impl Trial {
    fn next(&self) -> Option<Point> {
        self.points.lock().expect("unpoisoned").pop()
    }

    /// A copy of the prepared database: PostgreSQL copies one only while nobody uses it.
    async fn copy(&self) -> TestDatabase {
        let copy = self.template.lock().await.copy().await;
        copy.configure(&self.flow.settings());
        copy
    }

    /// Tries points until none is left. Returns how many found something to go on from.
    async fn work(self: Arc<Self>) -> usize {
        let mut halfway = 0;
        let mut test = self.copy().await;
        while let Some(point) = self.next() {
            let (answer, _) = through(self.flow, &test, Some(point)).await;
            let case = format!("PERIODD_CASE='{}: {} {:?}'", self.flow.name, point.0, point.1);
            let said = &answer.stderr;
            match answer.code {
                0 => {}
                69 => assert!(is_one_sentence(said), "{case}: {said}"),
                code if self.flow.may_exit.contains(&code) => {}
                other => panic!("{case}: it ends with {other}: {said}"),
            }
            let found = digest::of(&test).await;
            assert!(
                answer.code != 0 || found != self.before,
                "{case}: exit 0, and nothing is done"
            );
            if found == self.before && point.1 != Cut::Unnoticed {
                // As if it had never run: the next point finds what it needs here.
                continue;
            }
            halfway += 1;
            if found != self.before && !self.flow.has_loose_ends {
                self.flow.check_invariants(&test).await;
            }
            self.goes_on_well(&test, &case).await;
            test = self.copy().await;
        }
        halfway
    }

    /// Running again, undisturbed, ends where an undisturbed run does.
    async fn goes_on_well(&self, test: &TestDatabase, case: &str) {
        test.sql(self.flow.time_passes).await;
        let again = self.flow.run(test, &test.url()).await;
        assert_eq!(again.code, 0, "{case}, and again: {}", again.stderr);
        if self.flow.has_output {
            assert_eq!(again.stdout, self.output, "{case}: it says something else");
        }
        let found = digest::of(test).await;
        let missing: Vec<_> = self.after.iter().filter(|row| !found.contains(row)).collect();
        let more: Vec<_> = found.iter().filter(|row| !self.after.contains(row)).collect();
        let same = missing.is_empty() && more.is_empty() && found.len() == self.after.len();
        assert!(same, "{case}: without {missing:#?}, but with {more:#?}");
        self.flow.check_invariants(test).await;
    }
}

/// An error of one sentence, whatever was noted before it.
fn is_one_sentence(said: &str) -> bool {
    let errors: Vec<&str> = said.lines().filter(|line| !line.starts_with("note: ")).collect();
    errors.len() == 1 && errors[0].starts_with("periodd: ") && !said.contains("panicked")
}

/// Breaks a flow off at its points. Returns how many there are, and how many were tried.
async fn breaks(flow: &'static Flow, only: Option<String>) -> (usize, usize) {
    let template = flow.prepare().await;
    let undisturbed = template.copy().await;
    undisturbed.configure(&flow.settings());
    let before = digest::of(&undisturbed).await;
    let (answer, said) = through(flow, &undisturbed, None).await;
    let output = answer.exits(0).stdout;
    flow.check_invariants(&undisturbed).await;
    let after = digest::of(&undisturbed).await;
    if !flow.closes.is_empty() {
        let draws = "select drawn, uncovered from billing_period_usage order by drawn, uncovered";
        assert_eq!(undisturbed.rows(draws).await, flow.closes, "{}", flow.name);
    }
    assert_ne!(before, after, "{} does nothing", flow.name);

    let all = points(&said);
    let every = size(300, 1).min(all.len());
    let wanted = |(number, point): (usize, &Point)| match &only {
        Some(only) => format!("{} {:?}", point.0, point.1) == *only,
        // Another place in each run: many runs see them all.
        None => number % every == drawn_once() % every,
    };
    let points: Vec<Point> =
        all.iter().enumerate().filter(|point| wanted(*point)).map(|(_, point)| *point).collect();
    let tried = points.len();
    let template = tokio::sync::Mutex::new(template);
    let points = Mutex::new(points);
    let trial = Arc::new(Trial { flow, template, points, before, after, output });
    let workers: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(trial.clone().work())).collect();
    let mut halfway = 0;
    for worker in workers {
        halfway += worker.await.expect("every point holds");
    }
    eprintln!(
        "{}: {tried} of {} points over {} messages, {halfway} to go on from",
        flow.name,
        all.len(),
        said.len()
    );
    (all.len(), tried)
}

/// The same number in all of a process: which of the points are tried.
fn drawn_once() -> usize {
    static NUMBER: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| fastrand::usize(..1_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_anywhere_leaves_nothing_half_done() {
    let case = std::env::var("PERIODD_CASE").ok();
    let case = case.as_deref().map(|case| case.split_once(": ").unwrap_or((case, "")));
    let (mut points, mut runs, mut failed) = (0, 0, Vec::new());
    for flow in FLOWS {
        let only = match case {
            Some((name, _)) if name != flow.name => continue,
            Some((_, point)) => Some(point.to_owned()),
            None => None,
        };
        // One that fails has said why, and keeps no other from being tried.
        match tokio::spawn(breaks(flow, only)).await {
            Ok((all, tried)) => (points, runs) = (points + all, runs + tried),
            Err(_) => failed.push(flow.name),
        }
    }
    assert!(failed.is_empty(), "these do not hold: {failed:?}");
    assert!(runs > 0, "nothing was tried: PERIODD_CASE names no flow with such a point: {case:?}");
    if case.is_none() {
        let flows = FLOWS.len();
        figure(
            "crash points",
            &format!("{flows} flows, {points} points, {runs} runs, 0 violations"),
        );
    }
}
