//! Others at work on the same rows: nothing is lost, and nobody gets an error.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::story::{add, closed, including, packs, rollover, used};
use crate::support::{Answer, TestDatabase, url_of};

fn start(test: &TestDatabase, at: &str) -> Child {
    let mut command = test.command(&["--at", at, "--format", "json", "rollover"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

fn end(child: Child) -> Answer {
    Answer::from(child.wait_with_output().expect("the binary ends"))
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(connection).await.expect("the statement succeeds");
}

/// Waits until a backend of periodd waits for a lock.
async fn until_it_waits(test: &TestDatabase) {
    let waiting = "select count(*) > 0 from pg_stat_activity
                   where datname = current_database() and application_name = 'periodd'
                     and wait_event_type = 'Lock'";
    test.until(waiting, "true").await;
}

#[tokio::test]
async fn a_pack_granted_while_a_rollover_waits_for_the_row_is_taken_into_account() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    add(&test, "globex", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "600", "2026-05-10T00:00:00Z").await;
    let mut other = test.connect().await;
    execute(
        &mut other,
        "begin;
         select grant_overage_pack(id, 'minutes_transcribed', 70, 'pack', null, '2026-05-02')
         from organizations where slug = 'acme'",
    )
    .await;
    let rollover = start(&test, "2026-06-02T00:00:00Z");
    until_it_waits(&test).await;
    execute(&mut other, "commit").await;
    let report = end(rollover).exits(0).json();
    assert_eq!((&report["orgs"], &report["periods_closed"]), (&2.into(), &2.into()));
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 600 500 70 30"]);
    assert_eq!(packs(&test).await, ["pack 0 70 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_deadlock_with_an_application_is_a_conflict_like_any_other() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "600", "2026-05-10T00:00:00Z").await;
    test.sql(
        "select grant_overage_pack(id, 'minutes_transcribed', 70, 'pack', null, '2026-05-02')
              from organizations",
    )
    .await;
    // The application goes from the pack to the org, the rollover from the org to the pack; the
    // one that waits longer is told of the deadlock, and it must not be the application.
    let mut other = test.connect().await;
    execute(
        &mut other,
        "set deadlock_timeout = '1h'; begin; update overage_packs set reference = 'other'",
    )
    .await;
    let rollover = start(&test, "2026-06-02T00:00:00Z");
    until_it_waits(&test).await;
    execute(&mut other, "update organizations set name = 'Acme II'; commit").await;
    assert_eq!(end(rollover).exits(0).json()["orgs"], 1);
    assert_eq!(packs(&test).await, ["other 0 70 0"]);
    test.check_invariants().await;
}

/// Fifty orgs whose April is over; org-7 has a pack that an application inserted by itself.
async fn fifty_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', '2026-04-01Z', '2026-05-01Z'
         from generate_series(1, 50) as i;
         insert into overage_packs (org_id, feature, quantity, purchased_at)
         select id, 'minutes_transcribed', 10, '2026-04-02Z' from organizations
         where slug = 'org-7'",
    )
    .await;
    test
}

const HOLD: &str = "begin; update organizations set name = 'held' where slug = 'org-7'";

#[tokio::test]
async fn an_org_that_somebody_does_not_let_go_of_keeps_no_other_from_being_closed() {
    let test = fifty_orgs().await;
    let mut idle = test.connect().await;
    execute(&mut idle, HOLD).await;
    let rollover = start(&test, "2026-05-02T00:00:00Z");
    let deadline = Instant::now() + Duration::from_mins(2);
    while test.rows("select count(*) from billing_periods").await != ["49"] {
        assert!(Instant::now() < deadline, "the other 49 wait for it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    execute(&mut idle, "rollback").await;
    assert_eq!(end(rollover).exits(0).json()["orgs"], 50);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_org_that_nobody_ever_lets_go_of_is_left_and_named() {
    let test = fifty_orgs().await;
    let mut idle = test.connect().await;
    execute(&mut idle, HOLD).await;
    let answer = end(start(&test, "2026-05-02T00:00:00Z")).exits(1);
    let org = test.rows("select id from organizations where slug = 'org-7'").await.concat();
    let named = format!("org {org} could not be closed");
    assert!(answer.stderr.contains(&named), "{answer:?}");
    assert!(answer.stderr.contains("locked by another transaction"), "{answer:?}");
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["49"]);
    execute(&mut idle, "rollback").await;
    test.check_invariants().await;
}

/// Grants packs of one unit, some through the function and some plainly, and records usage in
/// the period that was open last, until told to stop. Returns the units.
async fn sell(database: String, seller: u32, stop: Arc<AtomicBool>) -> i64 {
    let mut connection = PgConnection::connect(&url_of(&database)).await.expect("a connection");
    let mut sold = 0;
    while !stop.load(Ordering::Relaxed) {
        let org = format!("org-{}", sold % 3);
        let statement = if sold % 4 == 0 {
            format!(
                "insert into overage_packs (org_id, feature, quantity, purchased_at)
                 select id, 'minutes_transcribed', 1, '2026-01-01' from organizations
                 where slug = '{org}'"
            )
        } else {
            format!(
                "select grant_overage_pack(id, 'minutes_transcribed', 1, '{seller}-{sold}', null,
                                           '2026-01-01')
                 from organizations where slug = '{org}'"
            )
        };
        execute(&mut connection, &statement).await;
        // A pace, so that the org holds hundreds of packs in the end and not as many as fit.
        execute(&mut connection, "select pg_sleep(0.005)").await;
        sold += 1;
    }
    sold
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_sold_while_rollovers_run_are_never_lost() {
    let test = including(10).await;
    for org in 0..3 {
        let daily = ["--zone", "UTC", "--cycle", "daily"];
        add(&test, &format!("org-{org}"), "2026-05-01T00:00:00Z", &daily);
    }
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'minutes_transcribed', 15, d
         from organizations o, generate_series('2026-05-01', '2026-05-31', interval '1 day') d",
    )
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let sellers: Vec<_> =
        (0..4).map(|seller| tokio::spawn(sell(test.name.clone(), seller, stop.clone()))).collect();
    for day in (2..=30).step_by(7) {
        let at = format!("2026-05-{day:02}T00:00:00Z");
        let both = [start(&test, &at), start(&test, &at)];
        for rollover in both {
            end(rollover).exits(0);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut sold = 0;
    for seller in sellers {
        sold += seller.await.expect("no seller got an error");
    }
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    let units =
        "select sum(quantity) filter (where kind = 'granted') as granted from overage_entries";
    assert_eq!(test.rows(units).await, [sold.to_string()]);
    let periods = "select count(*) from billing_periods";
    assert_eq!(test.rows(periods).await, ["93"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_page_whose_reading_is_cancelled_is_read_again() {
    let test = fifty_orgs().await;
    let mut other = test.connect().await;
    execute(&mut other, "begin; lock table limit_overrides in access exclusive mode").await;
    let rollover = start(&test, "2026-05-02T00:00:00Z");
    until_it_waits(&test).await;
    let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity
                  where datname = current_database() and application_name = 'periodd'
                    and wait_event_type = 'Lock'";
    assert_eq!(test.rows(cancel).await, ["1"]);
    execute(&mut other, "rollback").await;
    assert_eq!(end(rollover).exits(0).json()["orgs"], 50);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_fact_that_somebody_holds_keeps_nobody_from_being_closed() {
    let test = fifty_orgs().await;
    test.sql(
        "insert into periodd_facts values ('ended_tier', 'free'), ('tzdb_release', '2000a')
         on conflict (name) do update set value = excluded.value;
         insert into subscription_tiers (code, name) values ('other', 'Other')",
    )
    .await;
    test.configure("[rollover]\nended_tier = \"other\"\n");
    let mut idle = test.connect().await;
    execute(&mut idle, "begin; select from periodd_facts for update").await;
    assert_eq!(end(start(&test, "2026-05-02T00:00:00Z")).exits(0).json()["orgs"], 50);
    execute(&mut idle, "rollback").await;
    rollover(&test, "2026-05-02T00:00:00Z", &[]).exits(0);
    let facts = "select name, value > '2000a' as newer, value from periodd_facts
                 where name = 'ended_tier'";
    assert_eq!(test.rows(facts).await, ["ended_tier true other"]);
}
