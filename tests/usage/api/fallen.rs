//! A limit that falls within a period: what had been used within it stays included, for whoever
//! asks and whoever uses something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};

use crate::api::{Customer, customer};
use crate::support::{TestDatabase, url_of};

/// An org on pro, which includes 1,000 scrapes, with a pack of 500; starter has 500, free 100.
async fn acme(test: &TestDatabase) -> Customer {
    let acme = customer(test, "acme").await;
    test.sql(&format!(
        "insert into subscription_tiers (code) values ('unlimited');
         insert into tier_limits
         values ('pro', 'scrapes', 1000), ('starter', 'scrapes', 500), ('free', 'scrapes', 100),
                ('unlimited', 'scrapes', null);
         select grant_overage_pack('{}', 'scrapes', 500, 'order-7')",
        acme.org
    ))
    .await;
    acme
}

async fn used(test: &TestDatabase, acme: Customer, amount: i32) -> String {
    let call = format!(
        "select allowed, new_usage, effective_limit
         from increment_feature_usage('{}', 'scrapes', {amount})",
        acme.user
    );
    test.rows(&call).await.remove(0)
}

async fn on(test: &TestDatabase, tier: &str) {
    test.sql(&format!("update organizations set subscription_tier = '{tier}'")).await;
}

const TOLD: &str = "select a.included, a.usable, a.allowance, a.used
                    from organizations o, periodd_allowances(o.id, now(), 'scrapes') a";
const KEPT: &str = "select included_at_least, included_seen from usage_counters";
const CLOSED: &str = "select used, included, drawn, uncovered from billing_period_usage";

/// Pro 1,000, 900 used, a pack of 500; free (100); 50 more: allowed, and paid by the pack.
#[tokio::test]
async fn what_was_used_within_the_higher_limit_stays_included() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    assert_eq!(used(&test, acme, 900).await, "true 900 1500");
    assert_eq!(test.rows(KEPT).await, ["0 1000"]);
    on(&test, "free").await;
    // Nobody has seen it yet, and everybody says the same.
    assert_eq!(test.rows(TOLD).await, ["900 500 1400 900"]);
    assert_eq!(used(&test, acme, 501).await, "false 900 1400");
    assert_eq!(used(&test, acme, 50).await, "true 950 1400");
    assert_eq!(test.rows(KEPT).await, ["900 100"]);
    assert_eq!(test.rows(TOLD).await, ["900 500 1400 950"]);
    assert_eq!(used(&test, acme, 450).await, "true 1400 1400");
    assert_eq!(used(&test, acme, 1).await, "false 1400 1400");
    test.sql(&format!("select record_usage('{}', 'scrapes', -450)", acme.org)).await;
    test.periodd(&["rollover", "--early", "--org", "acme", "--yes"]).exits(0);
    assert_eq!(test.rows(CLOSED).await, ["950 900 50 0"]);
    // The new period has what is granted in it.
    assert_eq!(test.rows(TOLD).await, ["100 450 550 0"]);
    assert_eq!(used(&test, acme, 551).await, "false 0 550");
    test.check_invariants().await;
}

#[tokio::test]
async fn a_key_and_the_other_functions_know_it_too() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    let keyed = format!(
        "select allowed, new_usage, effective_limit
         from increment_feature_usage('{}', 'scrapes', 900, 'k')",
        acme.user
    );
    assert_eq!(test.rows(&keyed).await, ["true 900 1500"]);
    on(&test, "free").await;
    assert_eq!(test.rows(&keyed).await, ["true 900 1400"]);
    let once = format!(
        "select allowed, new_usage, effective_limit from increment_usage_if_allowed('{}')",
        acme.user
    );
    assert_eq!(test.rows(&once).await, ["true 901 1400"]);
    let org = format!(
        "select allowed, new_usage, effective_limit from increment_org_usage('{}', 'scrapes')",
        acme.org
    );
    assert_eq!(test.rows(&org).await, ["true 902 1400"]);
    on(&test, "unlimited").await;
    assert_eq!(test.rows(&once).await, ["true 903 -"]);
    assert_eq!(used(&test, acme, 4097).await, "true 5000 -");
    on(&test, "starter").await;
    assert_eq!(test.rows(&once).await, ["true 5001 5500"]);
    test.check_invariants().await;
}

/// A batch is seen in the order in which it comes, as single events are.
#[tokio::test]
async fn a_batch_sees_the_fall_as_well() {
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    let batch = |amount: u32| {
        format!(
            "select outcome from record_usage_batch(
                 '[{{\"org_id\": \"{}\", \"feature\": \"scrapes\", \"amount\": {amount}}}]')",
            acme.org
        )
    };
    assert_eq!(test.rows(&batch(900)).await, ["recorded"]);
    assert_eq!(test.rows(KEPT).await, ["0 1000"]);
    on(&test, "free").await;
    assert_eq!(test.rows(&batch(50)).await, ["recorded"]);
    assert_eq!(test.rows(KEPT).await, ["900 100"]);
    assert_eq!(test.rows(TOLD).await, ["900 500 1400 950"]);
    test.check_invariants().await;
}

/// Clients use single scrapes, replicas count, alert and roll over, and an application lowers the
/// tier: what had been used by then is kept, give or take the uses that were under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fall_amid_uses_and_replicas_keeps_what_was_used_by_then() {
    const CLIENTS: u32 = 4;
    let test = TestDatabase::new().await;
    let acme = acme(&test).await;
    let stop = Arc::new(AtomicBool::new(false));
    let allowed = Arc::new(AtomicU32::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let (stop, allowed, url) = (stop.clone(), allowed.clone(), url_of(&test.name));
        tasks.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("a connection");
            while !stop.load(Ordering::Relaxed) && allowed.load(Ordering::Relaxed) < 600 {
                let call = "select allowed from increment_usage_if_allowed($1)";
                let answer: (bool,) = sqlx::query_as(call)
                    .bind(acme.user)
                    .fetch_one(&mut connection)
                    .await
                    .expect("an answer");
                assert!(answer.0, "there is room for it");
                allowed.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let jobs: [&[&str]; 3] = [&["sync"], &["alerts", "run"], &["rollover"]];
    let commands = jobs.map(|job| test.command(job));
    let running = commands.map(|mut command| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let run = command.output().expect("the binary runs");
                assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            }
        })
    });
    test.until("select coalesce(max(used), 0) >= 200 from usage_counters", "true").await;
    let before = allowed.load(Ordering::Relaxed);
    on(&test, "free").await;
    let after = allowed.load(Ordering::Relaxed) + 2 * CLIENTS;
    for task in tasks {
        task.await.expect("a client");
    }
    stop.store(true, Ordering::Relaxed);
    for thread in running {
        thread.join().expect("a replica");
    }
    assert_eq!(used(&test, acme, 1).await.split(' ').next(), Some("true"));
    let kept = test.rows("select included_at_least from usage_counters").await;
    let kept: u32 = kept[0].parse().expect("a number");
    assert!((before..=after).contains(&kept), "{before} to {after}: {kept}");
    test.periodd(&["rollover", "--early", "--org", "acme", "--yes"]).exits(0);
    let used = allowed.load(Ordering::Relaxed) + 1;
    assert_eq!(test.rows(CLOSED).await, [format!("{used} {kept} {} 0", used - kept)]);
    test.check_invariants().await;
}
