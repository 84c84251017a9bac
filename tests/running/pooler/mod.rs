//! Behind PgBouncer in transaction mode: every transaction may run on another server connection,
//! and each of these is shared with whoever comes next.

#[path = "../../support/pgbouncer.rs"]
mod pgbouncer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::daemon::process::{Daemon, until};
use crate::support::TestDatabase;
use pgbouncer::Pooler;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// An org on tier `pro` in its open period, with one user, who is returned.
async fn customer(test: &TestDatabase, slug: &str) -> Uuid {
    test.periodd(&["orgs", "add", slug, "--name", slug, "--zone", "UTC", "--tier", "pro"]).exits(0);
    let user = Uuid::new_v4();
    test.sql(&format!(
        "insert into users (id, organization_id, email)
         select '{user}', id, '{slug}@example.com' from organizations where slug = '{slug}'"
    ))
    .await;
    user
}

#[tokio::test]
async fn every_command_works_from_the_migration_on() {
    let test = TestDatabase::empty().await;
    let pooler = Pooler::started(2, &[]);
    let config = format!(
        "[database]\nurl = \"{}\"\nsandbox = true\n[mail]\ntransport = \"none\"\n",
        pooler.url(&test.name, "postgres")
    );
    let periodd = |arguments: &[&str]| test.periodd_configured(&config, arguments);
    periodd(&["db", "migrate"]).exits(0);
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "Europe/Berlin", "--tier", "pro"];
    periodd(&[&add[..], &["--at", "2026-05-10T12:00:00Z"]].concat()).exits(0);
    let minutes = ["--feature", "minutes_transcribed", "--quantity", "30"];
    let grant =
        ["packs", "grant", "--org", "acme", "--reference", "r", "--at", "2026-05-10T12:00Z"];
    let granted = periodd(&[&grant[..], &minutes].concat());
    assert_eq!(granted.code, 0, "{granted:?}");
    test.sql("insert into tier_limits values ('pro', 'minutes_transcribed', 100)").await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 110, '2026-05-20Z' from organizations",
    )
    .await;
    periodd(&["sync", "--at", "2026-05-21T00:00:00Z"]).exits(0);
    periodd(&["alerts", "run", "--at", "2026-05-21T00:00:00Z"]).exits(0);
    periodd(&["rollover", "--at", "2026-06-02T00:00:00Z"]).exits(0);
    periodd(&["sync", "--full", "--at", "2026-06-02T00:00:00Z"]).exits(0);
    let explained = periodd(&["explain", "acme", "--at", "2026-06-02T00:00:00Z"]).exits(0);
    assert!(explained.stdout.contains("20"), "{}", explained.stdout);
    let status = periodd(&["status", "--at", "2026-06-02T00:00:00Z"]);
    assert!([0, 3].contains(&status.code), "{status:?}");
    let doctor = periodd(&["doctor", "--at", "2026-06-02T00:00:00Z", "--format", "json"]);
    assert!([0, 3].contains(&doctor.code), "{doctor:?}");
    assert!(doctor.stdout.contains("\"pooler\""), "it notices the pooler: {}", doctor.stdout);
    let books = "select used, included, drawn, uncovered from billing_period_usage";
    assert_eq!(test.rows(books).await, ["110 100 10 0"]);
    assert_eq!(test.rows("select remaining from overage_packs").await, ["20"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_daemon_closes_what_is_due() {
    let test = TestDatabase::new().await;
    customer(&test, "acme").await;
    test.sql(
        "update organizations set current_period_start = now() - interval '40 days',
                current_period_end = now() - interval '9 days',
                next_period_ends = array[now() + interval '22 days']",
    )
    .await;
    let pooler = Pooler::started(2, &[]);
    let state = tempfile::tempdir().expect("a directory");
    let config = format!(
        "[database]\nurl = \"{}\"\n[daemon]\nstate_dir = \"{}\"\n[mail]\ntransport = \"none\"\n\
         [schedule.rollover]\ncron = \"* * * * * *\"\njitter = \"0s\"\n",
        pooler.url(&test.name, "postgres"),
        state.path().display()
    );
    let file = state.path().join("periodd.toml");
    std::fs::write(&file, config).expect("the configuration is written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.arg("--config").arg(&file).arg("run");
    let daemon = Daemon::spawn(command);
    until(&test, "select count(*) from billing_periods", "1").await;
    assert!(daemon.stop().await.success(), "SIGTERM ends it well");
    test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_is_a_limit_for_sixteen_clients_over_three_connections() {
    let test = TestDatabase::new().await;
    let user = customer(&test, "acme").await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 400);
         select grant_overage_pack(id, 'scrapes', 100, 'r') from organizations",
    )
    .await;
    let pooler = Pooler::started(3, &[]);
    let allowed = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (allowed, url) = (allowed.clone(), pooler.url(&test.name, "postgres"));
        clients.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("the pooler answers");
            for _ in 0..60 {
                let (answer,): (bool,) =
                    sqlx::query_as("select allowed from increment_usage_if_allowed($1)")
                        .bind(user)
                        .fetch_one(&mut connection)
                        .await
                        .expect("an answer");
                allowed.fetch_add(u32::from(answer), Ordering::Relaxed);
            }
        }));
    }
    for client in clients {
        client.await.expect("a client");
    }
    assert_eq!(allowed.load(Ordering::Relaxed), 500);
    let used = "select used, (select count(*) from usage_metrics) from usage_counters";
    assert_eq!(test.rows(used).await, ["500 500"]);
    test.check_invariants().await;
}

/// Says for whom the connection speaks until the transaction ends.
async fn say_who(transaction: &mut PgConnection, user: Uuid) {
    sqlx::query("select set_config('app.user_id', $1::text, true)")
        .bind(user)
        .execute(transaction)
        .await
        .expect("it is said");
}

#[tokio::test]
async fn who_somebody_is_ends_with_the_transaction() {
    let test = TestDatabase::new().await;
    let member = format!("web_{}", Uuid::new_v4().simple());
    test.sql(&format!("create role {member} login")).await;
    let grant = format!("member={member}");
    test.periodd(&["db", "migrate", "--with-roles", "--grant", &grant]).exits(0);
    let (ann, bob) = (customer(&test, "acme").await, customer(&test, "other").await);
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    // One connection to the server, so that everybody gets the one that Ann has just had.
    let pooler = Pooler::started(1, &[&member]);
    let url = pooler.url(&test.name, &member);
    let mut of_ann = PgConnection::connect(&url).await.expect("the pooler answers");
    let mut of_bob = PgConnection::connect(&url).await.expect("the pooler answers");
    let server = "select pg_backend_pid()";
    let mut transaction = of_ann.begin().await.expect("a transaction");
    say_who(&mut transaction, ann).await;
    let (pid,): (i32,) = sqlx::query_as(server).fetch_one(&mut *transaction).await.expect("a pid");
    let used: (bool, i64) = sqlx::query_as(
        "select allowed, (select count(*) from usage_metrics)
         from increment_feature_usage($1, 'scrapes')",
    )
    .bind(ann)
    .fetch_one(&mut *transaction)
    .await
    .expect("Ann uses something");
    assert!(used.0, "Ann has not used anything yet");
    transaction.commit().await.expect("a commit");

    let (again,): (i32,) = sqlx::query_as(server).fetch_one(&mut of_bob).await.expect("a pid");
    assert_eq!(again, pid, "it is the connection that Ann has had");
    for (client, user) in [(&mut of_bob, ann), (&mut of_ann, ann)] {
        let refused = sqlx::query("select * from increment_feature_usage($1, 'scrapes')")
            .bind(user)
            .execute(&mut *client)
            .await
            .expect_err("nobody says who asks");
        let code =
            refused.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{refused}");
        let seen: (i64,) = sqlx::query_as("select count(*) from usage_metrics")
            .fetch_one(client)
            .await
            .expect("an answer");
        assert_eq!(seen.0, 0, "and nothing is seen");
    }
    // Bob is Bob on it, and no more.
    let mut transaction = of_bob.begin().await.expect("a transaction");
    say_who(&mut transaction, bob).await;
    let seen: (i64,) = sqlx::query_as("select count(*) from usage_metrics")
        .fetch_one(&mut *transaction)
        .await
        .expect("an answer");
    assert_eq!(seen.0, 0, "what Ann used is not Bob's to see");
    transaction.rollback().await.expect("a rollback");
    assert_eq!(test.rows("select used from usage_counters").await, ["1"]);
}

#[tokio::test]
async fn a_schema_of_its_own_is_the_roles_where_the_pooler_passes_nothing_on() {
    let test = TestDatabase::empty().await;
    let role = format!("biller_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {role} login; grant postgres to {role};
         do $$ begin execute format('grant create on database %I to {role}', current_database());
         end $$"
    ))
    .await;
    let pooler = Pooler::started(2, &[&role]);
    let config = format!(
        "[database]\nurl = \"{}\"\nschema = \"billing\"\nsandbox = true\n",
        pooler.url(&test.name, &role)
    );
    let periodd = |arguments: &[&str]| test.periodd_configured(&config, arguments);
    let refused = periodd(&["db", "migrate"]).exits(78).stderr;
    let repair = refused.split_once("alter role").expect("the statement that repairs it").1;
    assert!(refused.contains("search path"), "{refused}");
    let tables = "select count(*) from pg_class where relname = 'organizations'";
    assert_eq!(test.rows(tables).await, ["0"]);
    test.sql(&format!("alter role{repair}")).await;
    // The pooler's connections are from before.
    drop(pooler);
    let pooler = Pooler::started(2, &[&role]);
    let config = format!(
        "[database]\nurl = \"{}\"\nschema = \"billing\"\nsandbox = true\n",
        pooler.url(&test.name, &role)
    );
    let periodd = |arguments: &[&str]| test.periodd_configured(&config, arguments);
    periodd(&["db", "migrate"]).exits(0);
    periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]).exits(0);
    periodd(&["rollover"]).exits(0);
    assert_eq!(test.rows("select slug from billing.organizations").await, ["acme"]);
}
