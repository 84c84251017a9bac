//! An application at full speed, through the functions and through plain inserts, while syncs and
//! audits run in a loop beside it: nothing is lost, nobody waits in a circle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use periodd::jobs::sync::{self, Request, Scope, SyncReport, rules, targets};

use crate::story::add;
use crate::support::TestDatabase;
use crate::sync::words::{log, sync as run_sync};

const WRITERS: usize = 4;
const LASTS: Duration = Duration::from_secs(6);

/// The function that applications call where they ask first.
const INCREMENT: &str =
    "select increment_feature_usage(u.id, 'scrapes', 1, null) from users u where u.id = $1";

async fn standing(test: &TestDatabase) -> Request {
    let config = periodd::config::Config::load(Some(&test.config()), std::iter::empty()).unwrap();
    let columns = targets(&test.database, &config.sync).await.unwrap();

    let request = Request::standing(&config, columns);
    assert_eq!(request.rules, rules(&config.sync));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_inserts_and_syncs_lose_nothing_and_never_deadlock() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', null)").await;
    let now = test.database.now().await.unwrap().to_string();
    for slug in ["acme", "zeta", "omega"] {
        add(&test, slug, &now, &["--zone", "UTC"]);
    }
    test.sql(
        "insert into users (organization_id, email)
         select id, n || '@' || slug from organizations, generate_series(1, 2) n",
    )
    .await;
    let users: Vec<uuid::Uuid> = sqlx::query_scalar("select id from users order by email")
        .fetch_all(&mut test.connect().await)
        .await
        .unwrap();
    let insert = "insert into usage_metrics (organization_id, user_id, metric_type, metric_value)
                  select organization_id, id, 'Scrapes', 1 from users where id = $1";
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut connection = test.connect().await;
        let (stop, written, users) = (stop.clone(), written.clone(), users.clone());
        let statement = if writer % 2 == 0 { INCREMENT } else { insert };
        writers.spawn(async move {
            for turn in (0..users.len()).cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // Any error, a deadlock above all, fails the test.
                sqlx::query(statement)
                    .bind(users[(turn + writer) % users.len()])
                    .execute(&mut connection)
                    .await
                    .unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let request = standing(&test).await;
    let quiet: sync::Observer = Arc::new(|_: &SyncReport| ());
    let (began, mut runs) = (Instant::now(), 0);
    while began.elapsed() < LASTS {
        let counted = sync::count(&test.database, &request, quiet.clone());
        let audit = Request { ..request.clone() };
        let audited = sync::audit(&test.database, &audit, quiet.clone());
        // One after the other: two syncs at once may get into each other's way, and try again.
        let (counted, audited) = (counted.await.unwrap(), audited.await.unwrap());
        assert_eq!((counted.conflicts, audited.conflicts, audited.drift_found), (0, 0, 0));
        runs += 1;
    }
    // Drift that is planted while nobody stands still is mended all the same.
    test.sql("update usage_counters set used = used - 1000").await;
    let orgs: Vec<uuid::Uuid> = sqlx::query_scalar("select id from organizations")
        .fetch_all(&mut test.connect().await)
        .await
        .unwrap();
    let mend = Request { scope: Scope::Orgs(orgs), ..request };
    assert_eq!(sync::audit(&test.database, &mend, quiet).await.unwrap().drift_found, 3);
    stop.store(true, Ordering::Relaxed);
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(test.rows(deadlocks).await, ["0"]);
    let now = test.database.now().await.unwrap().to_string();
    let report = run_sync(&test, &now, &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 0);
    let written = written.load(Ordering::Relaxed);
    assert!(runs > 3 && written > 1_000, "{runs} runs beside {written} uses");
    for sum in [
        "select sum(metric_value) from usage_metrics",
        "select sum(used) from usage_counters",
        "select sum(usage_count) from feature_usage",
        "select sum(usage_this_month) from users",
    ] {
        assert_eq!(test.rows(sum).await, [written.to_string()], "{sum}");
    }
    assert_eq!(log(&test).await.len(), 3);
    test.check_invariants().await;
}
