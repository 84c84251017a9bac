//! Many clients at one org while it is rolled over, and many orgs beside a sync: what holds
//! whatever the interleaving is. `PERIODD_TEST_ROUNDS` says how often each is played, and
//! `PERIODD_TEST_ORGS` for how many orgs.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::proof::{figure, is_full, size};
use crate::support::{Answer, TestDatabase, url_of};

const CLIENTS: u32 = 6;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn rounds() -> usize {
    number("PERIODD_TEST_ROUNDS", size(2, 200))
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    allowed: u64,
    /// Errors, by their SQLSTATE and message.
    errors: Vec<String>,
}

/// Clients that use features of one org without a pause, in transactions that take a while.
struct Clients {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Seen>>,
}

impl Clients {
    fn start(test: &TestDatabase, think: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number| tokio::spawn(uses(test.name.clone(), number, think, stop.clone()));
        let tasks = (0..CLIENTS).map(client).collect();
        Self { stop, tasks }
    }

    async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for task in self.tasks {
            let seen = task.await.expect("a client ends");
            all.allowed += seen.allowed;
            all.errors.extend(seen.errors);
        }
        all
    }
}

async fn uses(database: String, client: u32, think: Duration, stop: Arc<AtomicBool>) -> Seen {
    let mut connection = PgConnection::connect(&url_of(&database)).await.expect("a connection");
    let mut seen = Seen::default();
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let feature = ["scrapes", "minutes_transcribed", "scrapes"][turn as usize % 3];
        let statement = format!(
            "begin; select allowed from increment_feature_usage(
                 (select id from users where email = 'user-{client}@example.org'), '{feature}', 1)"
        );
        let answers =
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).fetch_all(&mut connection).await;
        match answers {
            Ok(rows) => {
                let allowed =
                    rows.first().is_some_and(|row| sqlx::Row::get::<bool, _>(row, "allowed"));
                tokio::time::sleep(think).await;
                sqlx::raw_sql("commit").execute(&mut connection).await.expect("committed");
                seen.allowed += u64::from(allowed);
            }
            Err(error) => {
                seen.errors.push(error.to_string());
                sqlx::raw_sql("rollback").execute(&mut connection).await.expect("rolled back");
            }
        }
    }
    seen
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Runs the binary without keeping the clients from their work.
async fn periodd(test: &TestDatabase, arguments: &[&str]) -> (Answer, Duration) {
    let mut command = test.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    (Answer::from(output.expect("a task").expect("the binary runs")), begun.elapsed())
}

/// An org with a user for each client. The start and the end of its period are SQL.
async fn org(start: &str, end: &str, cycle: &str, limit: u32) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into organizations (slug, name, time_zone, cycle, current_period_start,
                                    current_period_end)
         values ('acme', 'Acme', 'UTC', '{cycle}', {start}, {end});
         insert into users (organization_id, email)
         select id, 'user-' || i || '@example.org'
         from organizations, generate_series(0, {CLIENTS} - 1) as i;
         insert into limit_overrides
         select id, f, {limit} from organizations,
                unnest(array['scrapes', 'minutes_transcribed']) as f"
    ))
    .await;
    test
}

/// Everything that was allowed is counted, once, and within the limit.
async fn is_sound(test: &TestDatabase, seen: &Seen, limit: u32, what: &str) {
    assert_eq!(seen.errors, Vec::<String>::new(), "{what}: a client's call failed");
    periodd(test, &["sync"]).await.0.exits(0);
    let counted = test.rows("select coalesce(sum(used), 0) as used from usage_counters").await;
    assert_eq!(counted, [seen.allowed.to_string()], "{what}");
    let beyond =
        format!("select feature, period_start, used from usage_counters where used > {limit}");
    assert_eq!(test.rows(&beyond).await, Vec::<String>::new(), "{what}: allowed beyond the limit");
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_at_work_while_their_org_is_counted_again() {
    let mut longest = Duration::ZERO;
    let (mut uses, mut rollovers) = (0, 0);
    for round in 0..rounds() {
        for change in ["early", "collapse", "zone", "cycle", "anchor"] {
            let what = format!("round {round}, {change}");
            // What is allowed in a period; in most rounds of a proof, nobody gets there.
            let limit = if is_full() && round % 4 > 0 { 1_000_000 } else { 60 };
            let (cycle, days) = match change {
                "early" => ("monthly", 2),
                "anchor" => ("weekly", 8),
                _ => ("daily", 3),
            };
            let start = format!("date_trunc('day', now(), 'UTC') - interval '{days} days'");
            let length = match cycle {
                "monthly" => "40 days",
                "weekly" => "7 days",
                _ => "1 day",
            };
            let test = org(&start, &format!("{start} + interval '{length}'"), cycle, limit).await;
            if change == "collapse" {
                test.configure("[rollover]\ncatch_up = \"collapse\"\n");
            }
            // The following ends, by the calendar before it changes; nothing is closed by that.
            let at = test.rows(&format!("select {start} + interval '1 hour' as at")).await.concat();
            let first = ["--at", &at, "rollover"];
            periodd(&test, &first).await.0.exits(0);
            test.sql(match change {
                "zone" => "update organizations set time_zone = 'Asia/Tokyo'",
                "cycle" => "update organizations set cycle = 'weekly'",
                "anchor" => "update organizations set anchor_day = 1 + anchor_day % 7",
                _ => "select",
            })
            .await;
            let think = if round % size(2, 20) == 0 { 5 } else { 0 };
            let clients = Clients::start(&test, Duration::from_millis(think));
            pause(if is_full() { 1_000 } else { 150 }).await;
            let flags: &[&str] =
                if change == "early" { &["rollover", "--early", "--yes"] } else { &["rollover"] };
            let (answer, took) = periodd(&test, flags).await;
            pause(50).await;
            let seen = clients.stop().await;
            answer.exits(0);
            longest = longest.max(took);
            assert!(seen.allowed > 0, "{what}: nobody was at work");
            (uses, rollovers) = (uses + seen.allowed, rollovers + 1);
            is_sound(&test, &seen, limit, &what).await;
            assert_ne!(test.rows("select count(*) from billing_periods").await, ["0"], "{what}");
        }
    }
    println!("longest rollover: {longest:?}");
    figure(
        "concurrent increments",
        &format!("{uses} across {rollovers} rollovers; 0 lost, 0 doubled"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_at_work_while_their_pack_expires_or_their_period_ends() {
    for round in 0..rounds() {
        for (what, ends) in [("expiry", false), ("end", true)] {
            let what = format!("round {round}, {what}");
            let start = "now() - interval '3 days'";
            let end = if ends { "now() + interval '1 s'" } else { "now() + interval '3 days'" };
            let test = org(start, end, "monthly", 20).await;
            periodd(&test, &["rollover"]).await.0.exits(0);
            test.sql(
                "select grant_overage_pack(
                            o.id, f, 100000, f,
                            least(o.current_period_end, clock_timestamp() + interval '700 ms'))
                 from organizations o, unnest(array['scrapes', 'minutes_transcribed']) as f
                 where o.current_period_end > clock_timestamp()",
            )
            .await;
            let clients = Clients::start(&test, Duration::from_millis(20));
            let unsettled = "select count(*) > 0 from overage_packs where remaining > 0";
            let began = Instant::now();
            while test.rows(unsettled).await == ["true"] {
                assert!(began.elapsed() < Duration::from_mins(2), "{what}: a pack stays");
                let (answer, _) = periodd(&test, &["rollover"]).await;
                answer.exits(0);
            }
            pause(50).await;
            let seen = clients.stop().await;
            assert_eq!(seen.errors, Vec::<String>::new(), "{what}");
            periodd(&test, &["sync"]).await.0.exits(0);
            if !ends {
                periodd(&test, &["rollover", "--early", "--yes"]).await.0.exits(0);
            }
            periodd(&test, &["sync"]).await.0.exits(0);
            let uncovered = "select feature, used, uncovered from billing_period_usage
                             where uncovered <> 0
                             union all select feature, used, uncovered from billing_adjustments
                             where uncovered <> 0";
            assert_eq!(test.rows(uncovered).await, Vec::<String>::new(), "{what}");
            let counted = test.rows("select sum(used) as used from usage_counters").await;
            assert_eq!(counted, [seen.allowed.to_string()], "{what}");
            test.check_invariants().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollover_of_many_orgs_beside_a_sync_loses_nothing() {
    let orgs = number("PERIODD_TEST_ORGS", 500);
    for round in 0..rounds() {
        let test = TestDatabase::new().await;
        test.sql(&format!(
            "insert into organizations (slug, name, time_zone, cycle, current_period_start,
                                        current_period_end)
             select 'org-' || i, 'Org', 'UTC', 'daily', '2026-05-01Z', '2026-05-02Z'
             from generate_series(1, {orgs}) i"
        ))
        .await;
        periodd(&test, &["--at", "2026-05-01T12:00:00Z", "rollover"]).await.0.exits(0);
        let stop = Arc::new(AtomicBool::new(false));
        let recorder = tokio::spawn(records(test.name.clone(), orgs, stop.clone()));
        pause(100).await;
        let at = "2026-05-02T06:00:00Z";
        let (rollover, sync) = (["--at", at, "rollover"], ["--at", at, "sync"]);
        let ((rolled, _), (synced, _)) =
            tokio::join!(periodd(&test, &rollover), periodd(&test, &sync));
        stop.store(true, Ordering::Relaxed);
        let recorded = recorder.await.expect("the recorder ends");
        rolled.exits(0);
        synced.exits(0);
        periodd(&test, &["--at", at, "rollover"]).await.0.exits(0);
        periodd(&test, &sync).await.0.exits(0);
        let books = "select (select coalesce(sum(used), 0) from billing_period_usage)
                            + (select coalesce(sum(used), 0) from billing_adjustments) as used";
        assert_eq!(test.rows(books).await, [recorded.to_string()], "round {round}");
        test.check_invariants().await;
    }
}

/// Records usage of the ended period, org after org.
async fn records(database: String, orgs: usize, stop: Arc<AtomicBool>) -> u64 {
    let mut connection = PgConnection::connect(&url_of(&database)).await.expect("a connection");
    let mut recorded = 0;
    while !stop.load(Ordering::Relaxed) {
        let org = fastrand::usize(1..=orgs);
        let feature = ["scrapes", "minutes_transcribed"][org % 2];
        let statement = format!(
            "select record_usage(id, '{feature}', 1, null, '2026-05-01T15:00:00Z')
             from organizations where slug = 'org-{org}'"
        );
        let recording = sqlx::AssertSqlSafe(statement);
        sqlx::raw_sql(recording).execute(&mut connection).await.expect("recorded");
        recorded += 1;
    }
    recorded
}
