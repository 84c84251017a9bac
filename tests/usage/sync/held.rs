//! Rows that somebody else holds, in an idle transaction or a prepared one: each job serves
//! everybody else, and leaves that org to the next run.

use std::sync::Arc;

use periodd::jobs::retention;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::Semaphore;

use crate::support::{TestDatabase, at};

const ORGS: usize = 6;
/// Whose rows are held.
const HELD: &str = "00000000-0000-0000-0000-000000000003";
const AT: &str = "2026-05-12T12:00:00Z";
/// Scenes that are played at once: each has processes and waits of its own, and on a busy machine a
/// wait is only told from a hold while there is time to be served in.
const AT_ONCE: usize = 4;

/// A row of each table that jobs write or lock, of the org that is held.
const ROWS: [(&str, &str); 13] = [
    ("organizations", "id"),
    ("users", "organization_id"),
    ("usage_metrics", "organization_id"),
    ("usage_counters", "org_id"),
    ("feature_usage", "organization_id"),
    ("overage_packs", "org_id"),
    ("limit_overrides", "org_id"),
    ("org_alert_settings", "org_id"),
    ("org_contacts", "org_id"),
    ("billing_periods", "org_id"),
    ("periodd_outbox", "org_id"),
    ("periodd_alerts", "org_id"),
    ("periodd_alert_limits", "org_id"),
];

/// Orgs that everything waits for: metrics to be counted, drift to be found, thresholds that were
/// crossed, emails to be sent, packs to be entered in the ledger, a period that ends.
async fn busy_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    configure(&test);
    test.sql(&format!(
        "insert into organizations (id, slug, name, time_zone)
             select ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'org-' || i, 'Org', 'UTC'
             from generate_series(1, {ORGS}) i;
         insert into users (organization_id, id, email)
             select id, gen_random_uuid(), slug || '@users.example' from organizations;
         insert into org_contacts (org_id, email)
             select id, slug || '@example.org' from organizations;
         insert into limit_overrides (org_id, feature, included)
             select id, 'scrapes', 100 from organizations;
         insert into org_alert_settings (org_id, feature, thresholds)
             select id, 'scrapes', '{{50, 80, 90}}' from organizations"
    ))
    .await;
    let run = |at: &str, arguments: &[&str]| {
        test.periodd(&[&["--at", at], arguments].concat()).exits(0);
    };
    run("2026-04-05T00:00:00Z", &["rollover"]);
    use_scrapes(&test, 60, "2026-04-06T00:00:00Z").await;
    run("2026-04-07T00:00:00Z", &["sync"]);
    run("2026-04-07T00:00:00Z", &["alerts", "run"]);
    run("2026-05-01T00:00:00Z", &["rollover"]);
    use_scrapes(&test, 55, "2026-05-02T00:00:00Z").await;
    run("2026-05-03T00:00:00Z", &["sync"]);
    run("2026-05-03T00:00:00Z", &["alerts", "run"]);
    use_scrapes(&test, 30, "2026-05-10T00:00:00Z").await;
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, purchased_at)
             select id, 'minutes_transcribed', 10, '2026-05-10' from organizations;
         update limit_overrides set included = 99;
         update periodd_outbox set settled_at = '2020-01-01' where period_end <= '2026-05-01'",
    )
    .await;
    test
}

fn configure(test: &TestDatabase) {
    let mail = test.config().parent().unwrap().join("mail");
    test.configure(&format!(
        "[mail]\ntransport = \"directory\"\ndirectory = \"{}\"\n\
         from = \"periodd <alerts@periodd.example>\"\n",
        mail.display()
    ));
}

async fn use_scrapes(test: &TestDatabase, quantity: u32, at: &str) {
    test.sql(&format!(
        "insert into usage_metrics (organization_id, user_id, metric_type, metric_value, created_at)
         select u.organization_id, u.id, 'scrapes', {quantity}, '{at}' from users u"
    ))
    .await;
}

/// Runs each job while `hold` holds rows; each must serve everybody else.
async fn everybody_else_is_served(test: &TestDatabase, what: &str) {
    let served = async |job: &str, query: String| {
        let count = test.rows(&query).await;
        assert_eq!(count, [(ORGS - 1).to_string()], "{what} held: {job}");
    };
    let but = format!("<> '{HELD}'");
    // Whoever waits for a process must not keep the jobs of other scenes from their timers.
    let run_at = |at: &str, arguments: &[&str]| {
        let run = || test.periodd(&[&["--at", at], arguments].concat());
        tokio::task::block_in_place(run)
    };
    let run = |arguments: &[&str]| run_at(AT, arguments);
    let sync = run(&["sync"]);
    served(
        &format!("sync: {sync:?}"),
        format!(
            "select count(*) from usage_counters where org_id {but} and used = 85
             and sync_status = 'synced'"
        ),
    )
    .await;
    test.sql(&format!("update usage_counters set used = 1 where org_id {but} and used = 85")).await;
    let audit = run(&["sync", "--full"]);
    served(
        &format!("audit: {audit:?}"),
        format!("select count(*) from usage_counters where org_id {but} and used = 85"),
    )
    .await;
    let alerts = run(&["alerts", "run"]);
    let alerts = format!("alerts: {alerts:?}");
    let told = "threshold = 80 and period_start = '2026-05-01'";
    served(&alerts, format!("select count(*) from periodd_alerts where org_id {but} and {told}"))
        .await;
    served(
        &alerts,
        format!(
            "select count(distinct org_id) from periodd_outbox
             where org_id {but} and {told} and state = 'sent'"
        ),
    )
    .await;
    served(
        &alerts,
        format!("select count(*) from limit_overrides where org_id {but} and judged_included = 99"),
    )
    .await;
    let config = periodd::config::Config::load(Some(&test.config()), std::iter::empty()).unwrap();
    let request = retention::Request {
        metrics_keep: "1 day".parse().unwrap(),
        emails_keep: "1 day".parse().unwrap(),
        at: Some(at(AT)),
        ..retention::Request::standing(&config.retention, &config.sync)
    };
    let report = retention::run(&test.database, &request).await;
    let report = report.unwrap_or_else(|error| panic!("{what} held: retention: {error}"));
    let gone = |table: &str, org: &str, then: &str| {
        format!("select {ORGS} - 1 - count(*) from {table} where {org} {but} and {then}")
    };
    let retention = format!("retention: {report:?}");
    served(&retention, gone("usage_metrics", "organization_id", "created_at < '2026-05-01'")).await;
    served(&retention, gone("periodd_outbox", "org_id", "period_end <= '2026-05-01'")).await;
    let rollover = run_at("2026-06-01T00:00:01Z", &["rollover"]);
    served(
        &format!("rollover: {rollover:?}"),
        format!(
            "select count(*) from billing_periods where org_id {but}
             and period_start = '2026-05-01'"
        ),
    )
    .await;
}

/// Holds one row of a table: in a transaction that stays idle, or in a prepared one.
async fn hold(test: &TestDatabase, table: &str, key: &str, prepared: bool) -> sqlx::PgConnection {
    let mut holder = sqlx::PgConnection::connect(&test.url()).await.unwrap();
    let lock = format!(
        "begin; select from {table} where {key} = '{HELD}' for update{}",
        if prepared { format!("; prepare transaction '{table} held'") } else { String::new() }
    );
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_each_table_that_is_held_keeps_nobody_else() {
    let base = busy_orgs().await;
    let mut scenes = Vec::new();
    for (table, key) in ROWS {
        let test = base.copy().await;
        configure(&test);
        scenes.push((table, key, test));
    }
    let mut held = tokio::task::JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for (place, (table, key, test)) in scenes.into_iter().enumerate() {
        let places = Arc::clone(&places);
        held.spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            // A prepared transaction holds no less; every third is one.
            let prepared = place % 3 == 0;
            let holder = hold(&test, table, key, prepared).await;
            everybody_else_is_served(&test, table).await;
            drop(holder);
            if prepared {
                test.sql(&format!("rollback prepared '{table} held'")).await;
            }
        });
    }
    while let Some(done) = held.join_next().await {
        if let Err(error) = done {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_orgs_share_and_somebody_holds_keep_nobody() {
    let base = busy_orgs().await;
    // One row of each schedule, as a daemon makes them.
    base.sql(
        "insert into periodd_schedules (job, trigger, seed, settled)
              values ('rollover', 'schedule', 1, now()), ('sync', 'schedule', 1, now())",
    )
    .await;
    let tables = base
        .rows(
            "select c.relname from pg_class c
             where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
               and c.relname not like '\\_sqlx%' and c.relname <> 'organizations'
               and not exists (select from pg_attribute a
                               where a.attrelid = c.oid
                                 and a.attname in ('org_id', 'organization_id'))
             order by 1",
        )
        .await;
    for known in ["features", "periodd_facts", "periodd_schedules", "tier_limits"] {
        assert!(tables.contains(&known.to_owned()), "{tables:?}");
    }
    let mut scenes = Vec::new();
    for table in tables {
        let test = base.copy().await;
        configure(&test);
        scenes.push((table, test));
    }
    let mut held = tokio::task::JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for (table, test) in scenes {
        let places = Arc::clone(&places);
        held.spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            let mut holder = sqlx::PgConnection::connect(&test.url()).await.unwrap();
            let lock = format!("begin; select from {table} for update");
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
            everybody_else_is_served(&test, &table).await;
            drop(holder);
        });
    }
    while let Some(done) = held.join_next().await {
        if let Err(error) = done {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
