//! The connection to the database breaks at every message of a rollover: before the message is
//! sent, after it was sent and carried out but its answer is lost, and after the answer.
//!
//! A proxy between the binary and the server knows PostgreSQL's framing and cuts. Whatever broke
//! where: nothing is half done, and running again ends where an undisturbed run does.

use std::sync::{Arc, Mutex};

use periodd::billing::timeline::{CatchUp, Early, Policy};
use periodd::jobs::columns::Columns;
use periodd::jobs::rollover::{self, Request, Scope};
use periodd::jobs::stop::Stop;
use periodd::tz::TzData;
use tempfile::TempDir;
use tokio::process::Command;

use crate::proxy::{Cut, Proxy, Said};
use crate::support::{Answer, TestDatabase, at, server};

/// Business time: two periods have ended since anybody looked.
const AT: &str = "2026-07-02T00:00:00Z";
/// Points that are tried side by side.
const AT_ONCE: usize = 3;

/// An org that missed May and June, with everything that a rollover can have to do: metrics that
/// nobody has counted, some of a user's, a pack that expires in May, one that does not pay for all
/// of June, one that lasts, a change of zone, and a tier to come.
async fn org_with_everything() -> TestDatabase {
    let test = TestDatabase::new().await;
    let acme = "--at 2026-05-03T00:00:00Z orgs add acme --name Acme --zone Asia/Tokyo --tier pro";
    test.periodd(&acme.split(' ').collect::<Vec<_>>()).exits(0);
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 500),
                                        ('starter', 'minutes_transcribed', 100);
         update organizations set time_zone = 'America/New_York',
             next_subscription_tier = 'starter';
         insert into users (id, organization_id, email, usage_this_month)
         select '00000000-0000-4000-8000-000000000001', id, 'ada@example.org', 7
         from organizations;
         select grant_overage_pack(id, 'minutes_transcribed', 50, 'may', '2026-05-20',
                                   '2026-05-04') from organizations;
         select grant_overage_pack(id, 'minutes_transcribed', 300, 'lasts', null, '2026-05-04')
         from organizations;
         select grant_overage_pack(id, 'minutes_transcribed', 90, 'september', '2026-09-01',
                                   '2026-05-05') from organizations;
         select record_usage(id, 'minutes_transcribed', 480, null, '2026-05-10')
         from organizations;
         insert into usage_metrics
             (organization_id, user_id, metric_type, metric_value, created_at)
         select o.id, u.id, m.feature, m.value, m.at
         from organizations o, users u,
              (values ('minutes_transcribed', 40, timestamptz '2026-05-15'),
                      ('Minutes_Transcribed', 60, '2026-05-25'), ('scrapes', 3, '2026-05-26'),
                      ('minutes_transcribed', 333.25, '2026-06-10'),
                      ('scrapes', 5, '2026-07-01T12:00Z'))
                  as m (feature, value, at)",
    )
    .await;
    test
}

/// The binary's rollover through a proxy that cuts, and everything that was said.
async fn rollover_through(test: &TestDatabase, cut: Option<(usize, Cut)>) -> (Answer, Vec<Said>) {
    let directory = TempDir::new().expect("a directory");
    let proxy = Proxy::listen(directory.path(), &server(), cut);
    let mut command = Command::from(test.command(&["--at", AT, "rollover"]));
    command.env("PERIODD__DATABASE__URL", proxy.url(&test.name));
    let output = command.output().await.expect("the binary runs");
    (Answer::from(output), proxy.said())
}

/// The same without a proxy, in this process.
async fn rollover_directly(test: &TestDatabase, tz: &TzData) {
    let policy = Policy {
        catch_up: CatchUp::Replay,
        max_periods: 12,
        ended_tier: "free".to_owned(),
        early: Early::No,
    };
    let scope = Scope::All;
    let (batch_size, connections, now, dry_run) = (100, 1, Some(at(AT)), false);
    let stop = Stop::default();
    let derived = Columns::default();
    let request =
        Request { scope, policy, batch_size, connections, at: now, dry_run, derived, stop };
    let done = rollover::run(&test.database, tz, &request, Arc::new(|_| {})).await;
    assert_eq!(done.expect("an undisturbed run").parked.len(), 0);
}

/// Copies of the prepared database, one per point: made one after the other, for PostgreSQL
/// copies a database only while nobody uses it.
struct Copies(tokio::sync::Mutex<TestDatabase>);

impl Copies {
    async fn next(&self) -> TestDatabase {
        let copy = self.0.lock().await.copy().await;
        copy.configure("[rollover]\nconnections = 1\n");
        copy
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_at_any_message_leaves_nothing_half_done() {
    let closed = ["0 3", "80 0", "233.25 0"];
    holds_at_every_message(org_with_everything().await, &closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_whole_wherever_the_connection_breaks() {
    let test = org_with_everything().await;
    // May has ended and is not closed; June is cut short.
    test.sql(
        "select restart_billing_cycle(id, 'pro', 'evt_1', '2026-06-20T10:00:00Z')
         from organizations",
    )
    .await;
    holds_at_every_message(test, &["0 0", "0 3", "80 0"]).await;
}

/// Whatever breaks at whichever message, a rollover ends with these draws and uncovered rests.
async fn holds_at_every_message(test: TestDatabase, closed: &[&str]) {
    let copies = Copies(tokio::sync::Mutex::new(test));
    let undisturbed = copies.next().await;
    let initial = undisturbed.contents().await;
    let (answer, said) = rollover_through(&undisturbed, None).await;
    answer.exits(0);
    undisturbed.check_invariants().await;
    let done = undisturbed.contents().await;
    let draws = "select drawn, uncovered from billing_period_usage order by drawn, uncovered";
    assert_eq!(undisturbed.rows(draws).await, closed);

    let points = points(&said);
    let tried = points.len();
    let trial =
        Arc::new(Trial { copies, points: Mutex::new(points), initial, done, tz: TzData::newest() });
    let workers = (0..AT_ONCE).map(|_| tokio::spawn(trial.clone().work()));
    let mut ends = Ends::default();
    for worker in workers.collect::<Vec<_>>() {
        ends.add(&worker.await.expect("every point holds"));
    }
    eprintln!("{tried} points over {} messages: {ends:?}", said.len());
    assert!(tried > 200, "only {tried} points: does the proxy see the whole rollover?");
    assert!(ends.untouched > 100 && ends.done_unheard > 0 && ends.done > 0, "{ends:?}");
}

/// Every way in which the connection can break at a message. What the server does not answer by
/// itself can only be lost on the way.
fn points(said: &[Said]) -> Vec<(usize, Cut)> {
    let mut points = Vec::new();
    for (number, said) in said.iter().enumerate() {
        points.push((number, Cut::Before));
        if said.is_answered() {
            points.extend([(number, Cut::AnswerLost), (number, Cut::After)]);
        }
    }
    points
}

/// How runs that were cut off ended.
#[derive(Debug, Default)]
struct Ends {
    /// With an error, and nothing written.
    untouched: usize,
    /// With an error, although everything or a part of it that stands by itself was written.
    done_unheard: usize,
    /// Without an error: the connection was not needed any more.
    done: usize,
}

impl Ends {
    fn add(&mut self, other: &Self) {
        self.untouched += other.untouched;
        self.done_unheard += other.done_unheard;
        self.done += other.done;
    }
}

/// What workers share: the points that are left, and what is in the database before and after.
struct Trial {
    copies: Copies,
    points: Mutex<Vec<(usize, Cut)>>,
    initial: Vec<String>,
    done: Vec<String>,
    tz: TzData,
}

impl Trial {
    async fn work(self: Arc<Self>) -> Ends {
        let mut ends = Ends::default();
        let mut test = self.copies.next().await;
        while let Some(point) = self.next() {
            let code = break_at(&test, point).await;
            let contents = test.contents().await;
            if contents == self.initial {
                // As if it had never run, so that the next point finds what it needs here.
                assert_eq!(code, 69, "{point:?}: exit 0, but nothing is done");
                ends.untouched += 1;
                continue;
            }
            assert!(contents == self.done || code != 0, "{point:?}: exit 0, but not all is done");
            self.goes_on_well(&test, point).await;
            ends.done += usize::from(code == 0);
            ends.done_unheard += usize::from(code != 0);
            test = self.copies.next().await;
        }
        ends
    }

    fn next(&self) -> Option<(usize, Cut)> {
        self.points.lock().expect("unpoisoned").pop()
    }

    /// Whatever the break left: the invariants hold, and running again ends where an undisturbed
    /// run does.
    async fn goes_on_well(&self, test: &TestDatabase, point: (usize, Cut)) {
        test.check_invariants().await;
        rollover_directly(test, &self.tz).await;
        let contents = test.contents().await;
        let done: Vec<String> = self.done.iter().map(|row| without_revision(row)).collect();
        let found = contents.iter().map(|row| without_revision(row));
        let apart: Vec<_> = found.filter(|row| !done.contains(row)).collect();
        assert!(apart.is_empty(), "{point:?}: {apart:#?} instead of what is in {:#?}", self.done);
        assert_eq!(contents.len(), self.done.len(), "{point:?}");
        test.check_invariants().await;
    }
}

/// A row without the number of its changes: an org that was taken in two runs has been locked more
/// often than one that was taken in one.
fn without_revision(row: &str) -> String {
    match row.split_once("\"revision\":") {
        Some((before, rest)) => {
            before.to_owned() + rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit())
        }
        None => row.to_owned(),
    }
}

/// Breaks the connection at one point. Returns the exit code.
async fn break_at(test: &TestDatabase, point: (usize, Cut)) -> i32 {
    let (answer, _) = rollover_through(test, Some(point)).await;
    let said = &answer.stderr;
    match answer.code {
        0 => assert_eq!(said, "", "{point:?}"),
        69 => assert!(is_one_sentence(said), "{point:?}: {said}"),
        other => panic!("{point:?} ends with {other}: {said}"),
    }
    answer.code
}

fn is_one_sentence(said: &str) -> bool {
    said.starts_with("periodd: ") && said.lines().count() == 1 && !said.contains("panicked")
}
