//! Locks of others: waited for with a bound, and then with the name of who holds what.

use sqlx::{Connection, PgConnection};

use crate::adoption::situation;
use crate::adoption::whole::everything;
use crate::support::TestDatabase;

/// Short enough for a test: two attempts.
const WAIT: [&str; 2] = ["--lock-wait", "1"];

async fn pid(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await.expect("a number")
}

/// Asserts that a command gives up on what the session holds, and says whose it is.
async fn gives_up(test: &TestDatabase, holder: &mut PgConnection, line: &[&str], table: &str) {
    let pid = pid(holder).await;
    let answer = test.periodd(&[line, &WAIT].concat()).exits(1);
    for words in [
        format!("pid {pid} (user postgres"),
        "application a report".to_owned(),
        "idle in transaction, since 2".to_owned(),
        "Lock)".to_owned(),
        format!("public.{table} is locked"),
        "nothing was changed".to_owned(),
        format!("pg_terminate_backend({pid})"),
    ] {
        assert!(answer.stderr.contains(&words), "{words}: {}", answer.stderr);
    }
}

async fn reader(test: &TestDatabase) -> PgConnection {
    let mut holder = test.connect().await;
    let named = sqlx::raw_sql("set application_name = 'a report'").execute(&mut holder).await;
    named.expect("a name");
    holder
}

#[tokio::test]
async fn an_import_names_who_keeps_it_waiting_and_changes_nothing() {
    let test = situation(include_str!("001.sql")).await;
    test.sql("create view names as select email from users").await;
    let before = everything(&test).await;
    let mut holder = reader(&test).await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from users").execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["--yes", "db", "import", "--apply"], "users").await;
    held.rollback().await.unwrap();
    // A table that only refers to those that move has to be had, too.
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from activities").execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["--yes", "db", "import", "--apply"], "activities").await;
    held.rollback().await.unwrap();
    // And what somebody keeps from being read at all cannot be reported on.
    let mut held = holder.begin().await.unwrap();
    sqlx::query("lock table users").execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["db", "import"], "users").await;
    held.rollback().await.unwrap();
    assert_eq!(everything(&test).await, before);
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from users_legacy").execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["--yes", "db", "import", "--drop-legacy"], "users_legacy").await;
    gives_up(&test, &mut held, &["--yes", "db", "import", "--undo"], "users_legacy").await;
    held.rollback().await.unwrap();
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(everything(&test).await, before);
}

#[tokio::test]
async fn a_migration_names_who_keeps_it_waiting() {
    let test = TestDatabase::new().await;
    // As if a text had changed: the view is made again.
    test.sql("update periodd_api set checksum = '' where name like '%alerts%'").await;
    let mut holder = reader(&test).await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from usage_alerts_view").execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["db", "migrate"], "usage_alerts_view").await;
    held.rollback().await.unwrap();
    // Another migrator.
    let mut held = holder.begin().await.unwrap();
    let lock = "lock table periodd_migrations in share row exclusive mode";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    gives_up(&test, &mut held, &["db", "migrate"], "periodd_migrations").await;
    held.rollback().await.unwrap();
    test.periodd(&["db", "migrate"]).exits(0);
}

/// A number that anybody may lock stops nobody.
#[tokio::test]
async fn whoever_may_connect_cannot_keep_migrations_waiting() {
    let test = TestDatabase::empty().await;
    let mut holder = test.connect().await;
    let lock = "select pg_advisory_lock(31636739461178468)";
    sqlx::query(lock).execute(&mut holder).await.unwrap();
    test.periodd(&["db", "migrate"]).exits(0);
}

/// Readers come through between two attempts.
#[tokio::test]
async fn readers_are_not_kept_behind_a_waiting_import() {
    let test = situation(include_str!("001.sql")).await;
    let mut holder = reader(&test).await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from users").execute(&mut *held).await.unwrap();
    let line = ["--yes", "db", "import", "--apply", "--lock-wait", "60"];
    let mut import = test.command(&line).stderr(std::process::Stdio::null()).spawn().unwrap();
    test.until_somebody_waits().await;
    // It queues behind the import, and is answered while the import goes on waiting.
    let seen: i64 = sqlx::query_scalar("select count(*) from users")
        .fetch_one(&mut test.connect().await)
        .await
        .unwrap();
    assert_eq!(seen, 6);
    assert!(import.try_wait().unwrap().is_none(), "it waits on");
    held.rollback().await.unwrap();
    assert!(import.wait().unwrap().success());
    test.periodd(&["db", "verify"]).exits(0);
}

#[tokio::test]
async fn two_imports_at_once_are_one() {
    let test = situation(include_str!("001.sql")).await;
    let mut holder = reader(&test).await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("lock table users in row exclusive mode").execute(&mut *held).await.unwrap();
    let import = || {
        let mut line = test.command(&["--yes", "db", "import", "--apply"]);
        let line = line.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        line.spawn().unwrap()
    };
    let both = [import(), import()];
    test.until_somebody_waits().await;
    held.rollback().await.unwrap();
    let mut ended = Vec::new();
    for import in both {
        let answer = import.wait_with_output().unwrap();
        ended.push((answer.status.code(), String::from_utf8_lossy(&answer.stderr).into_owned()));
    }
    ended.sort();
    assert_eq!(ended[0].0, Some(0), "{ended:?}");
    let second = &ended[1];
    assert!(second.0 == Some(0) || second.1.contains("nothing was changed"), "{ended:?}");
    assert_eq!(test.rows("select count(*) from users").await, ["6"]);
    test.periodd(&["db", "verify"]).exits(0);
}
