//! Many at once: a limit is a limit, whoever else is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::api::{Customer, customer};
use crate::support::{TestDatabase, url_of};

const CLIENTS: usize = 16;

/// What clients have been told.
#[derive(Default)]
struct Told {
    allowed: AtomicU32,
    refused: AtomicU32,
}

/// Clients that each try to use one scrape, again and again: `attempts` altogether.
async fn clients(test: &TestDatabase, user: Uuid, attempts: u32) -> Arc<Told> {
    let told = Arc::new(Told::default());
    let left = Arc::new(AtomicU32::new(attempts));
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let (told, left, url) = (told.clone(), left.clone(), url_of(&test.name));
        tasks.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("a connection");
            let take = |left: u32| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                let (allowed,): (bool,) =
                    sqlx::query_as("select allowed from increment_usage_if_allowed($1)")
                        .bind(user)
                        .fetch_one(&mut connection)
                        .await
                        .expect("an answer");
                let count = if allowed { &told.allowed } else { &told.refused };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.expect("a client");
    }
    told
}

/// What the books say was used: counter, metrics, the user's counter, the user's column.
async fn books(test: &TestDatabase, customer: Customer) -> String {
    let rows = test
        .rows(&format!(
            "select (select sum(used) from usage_counters where org_id = '{org}') as counters,
                    (select sum(metric_value) from usage_metrics
                     where organization_id = '{org}') as metrics,
                    (select sum(usage_count) from feature_usage
                     where organization_id = '{org}') as users",
            org = customer.org
        ))
        .await;
    rows.into_iter().next().expect("a row")
}

/// Runs the daemon's jobs in a loop, each as the command that people have, until told to stop.
/// Returns how often.
fn busy(test: &TestDatabase, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    let jobs: [&[&str]; 4] = [&["rollover"], &["sync"], &["sync", "--full"], &["alerts", "run"]];
    let mut commands = jobs.map(|job| test.command(job));
    let stop = stop.clone();
    std::thread::spawn(move || {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            for command in &mut commands {
                let run = command.output().expect("the binary runs");
                let words = String::from_utf8_lossy(&run.stderr).into_owned();
                assert!(run.status.success(), "{command:?}: {words}");
            }
            rounds += 1;
        }
        rounds
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_are_allowed_of_five_thousand() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 1000)").await;
    let told = clients(&test, acme.user, 5_000).await;
    assert_eq!(told.allowed.load(Ordering::Relaxed), 1_000);
    assert_eq!(told.refused.load(Ordering::Relaxed), 4_000);
    assert_eq!(books(&test, acme).await, "1000 1000 1000");
    assert_eq!(test.rows("select usage_this_month from users").await, ["1000"]);
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_while_everything_else_runs() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 900);
         select grant_overage_pack(id, 'scrapes', 100, 'r') from organizations",
    )
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let jobs = busy(&test, &stop);
    let told = clients(&test, acme.user, 5_000).await;
    stop.store(true, Ordering::Relaxed);
    assert!(jobs.join().expect("the jobs") > 0);
    assert_eq!(told.allowed.load(Ordering::Relaxed), 1_000);
    assert_eq!(books(&test, acme).await, "1000 1000 1000");
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_boundary_passes_while_everything_runs() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 100000)").await;
    // A stored end is the truth, whatever the calendar says of it.
    test.sql(
        "update organizations set current_period_end = now() + interval '1200 milliseconds',
             next_period_ends = null, current_period_end_date = null",
    )
    .await;
    test.periodd(&["rollover"]).exits(0);
    let stop = Arc::new(AtomicBool::new(false));
    let jobs = busy(&test, &stop);
    let mut allowed = 0;
    loop {
        let told = clients(&test, acme.user, 800).await;
        allowed += told.allowed.load(Ordering::Relaxed);
        let passed = "select count(*) > 0 and (select count(*) from usage_counters) > 1
                      from billing_periods";
        if test.rows(passed).await == ["true"] {
            break;
        }
    }
    allowed += clients(&test, acme.user, 300).await.allowed.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    jobs.join().expect("the jobs");
    assert_eq!(books(&test, acme).await, format!("{allowed} {allowed} {allowed}"));
    // Each use is in the period that contains its instant.
    let misplaced = "select c.period_start, c.used, count(m.id)
                     from usage_counters c join usage_metrics m
                       on m.created_at >= c.period_start and m.created_at < c.period_end
                     group by 1, 2 having c.used <> count(m.id)";
    assert_eq!(test.rows(misplaced).await, Vec::<String>::new());
}

/// Two periods have ended and nobody has closed them; the third is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_unclosed_periods_will_draw_is_not_sold_twice() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 100)").await;
    let add = ["orgs", "add", "late", "--name", "Late", "--zone", "UTC", "--tier", "pro"];
    let start = test.rows("select date_trunc('day', now(), 'UTC') - interval '2 days' as t").await;
    let daily = ["--cycle", "daily", "--period-start", start[0].as_str()];
    test.periodd(&[&add[..], &daily].concat()).exits(0);
    let user = Uuid::new_v4();
    test.sql(&format!(
        "insert into users (id, organization_id, email) select '{user}', id, 'a@example.com'
         from organizations;
         select grant_overage_pack(id, 'scrapes', 500, 'r', null, now() - interval '3 days')
         from organizations;
         select record_usage(id, 'scrapes', 250, null, current_period_start + interval '1 hour')
         from organizations;
         select record_usage(id, 'scrapes', 180, null, current_period_start + interval '25 hours')
         from organizations;"
    ))
    .await;
    // 150 and 80 of the pack's 500 are spoken for; 270 and the 100 included are left.
    let told = clients(&test, user, 1_000).await;
    assert_eq!(told.allowed.load(Ordering::Relaxed), 370);
    test.periodd(&["rollover"]).exits(0);
    let closed = "select used, drawn, uncovered from billing_period_usage order by period_start";
    assert_eq!(test.rows(closed).await, ["250 150 0", "180 80 0"]);
    assert_eq!(test.rows("select remaining from overage_packs").await, ["270"]);
    // Closed, it says the same as before.
    let told = clients(&test, user, 32).await;
    assert_eq!(told.allowed.load(Ordering::Relaxed), 0);
    test.check_invariants().await;
}

/// The same across a boundary that passes in the middle, known from the stored ends alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_boundary_passes_while_nobody_closes_anything() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 300);
         update organizations set
             current_period_start = now() - interval '3 days',
             current_period_end = now() - interval '2 days',
             next_period_ends = array[now() - interval '1 day', now() + interval '1 second',
                                      now() + interval '40 days'];
         select grant_overage_pack(id, 'scrapes', 100, 'r', null, now() - interval '10 days')
         from organizations;
         select record_usage(id, 'scrapes', 340, null, current_period_start) from organizations",
    )
    .await;
    let mut sent = 0;
    loop {
        clients(&test, acme.user, 450).await;
        sent += 450;
        let passed = test.rows("select count(*) = 3 from usage_counters").await;
        if passed == ["true"] {
            break;
        }
        assert!(sent < 1_000_000, "the boundary does not pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    clients(&test, acme.user, 450).await;
    // The first period takes 40 of the pack's 100; what the second used of the 60 that were left
    // by then, the third does not find.
    let used = test.rows("select used from usage_counters order by period_start").await;
    let used: Vec<u32> = used.iter().map(|used| used.parse().expect("a number")).collect();
    assert_eq!(used[0], 340);
    assert!(used[1] <= 360, "{used:?}");
    assert_eq!(used[2], 360 - used[1].saturating_sub(300), "{used:?}");
    let misplaced = "select c.period_start, c.used, sum(m.metric_value)
                     from usage_counters c join usage_metrics m
                       on m.created_at >= c.period_start and m.created_at < c.period_end
                     group by 1, 2 having c.used <> sum(m.metric_value)";
    assert_eq!(test.rows(misplaced).await, Vec::<String>::new());
}

/// A key that everybody repeats at once counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_from_everybody_counts_once() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 1000)").await;
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let (url, user) = (url_of(&test.name), acme.user);
        tasks.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("a connection");
            for key in 0..50 {
                let (allowed,): (bool,) = sqlx::query_as(
                    "select allowed from increment_feature_usage($1, 'scrapes', 1, $2)",
                )
                .bind(user)
                .bind(key.to_string())
                .fetch_one(&mut connection)
                .await
                .expect("an answer");
                assert!(allowed);
            }
        }));
    }
    for task in tasks {
        task.await.expect("a client");
    }
    assert_eq!(books(&test, acme).await, "50 50 50");
    assert_eq!(test.rows("select usage_this_month from users").await, ["50"]);
}

/// Packs come and go while their org uses them: no more is used than was ever granted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn packs_are_granted_under_way() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let granting = {
        let (url, org) = (url_of(&test.name), acme.org);
        tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("a connection");
            for pack in 0..100 {
                sqlx::query("select grant_overage_pack($1, 'scrapes', 3, $2)")
                    .bind(org)
                    .bind(pack.to_string())
                    .execute(&mut connection)
                    .await
                    .expect("a pack");
            }
        })
    };
    let mut allowed = clients(&test, acme.user, 3_000).await.allowed.load(Ordering::Relaxed);
    granting.await.expect("the packs");
    allowed += clients(&test, acme.user, 400).await.allowed.load(Ordering::Relaxed);
    assert_eq!(allowed, 300);
    assert_eq!(books(&test, acme).await, "300 300 300");
    test.check_invariants().await;
}
