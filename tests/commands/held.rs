//! Commands that wait for what somebody else holds: within bounds, and then they name who it is.

use std::process::{Child, Command, Stdio};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{Answer, TestDatabase};

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--tier", "pro"];
    test.periodd(&add).exits(0);
    test
}

/// A session that calls itself shop, and holds what a statement takes.
async fn shop(test: &TestDatabase, statement: &str) -> (PgConnection, i32) {
    let mut shop = test.connect().await;
    let hold = AssertSqlSafe(format!("set application_name = 'shop'; begin; {statement}"));
    sqlx::raw_sql(hold).execute(&mut shop).await.expect("held");
    let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut shop).await;
    (shop, pid.expect("its pid"))
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Runs commands at once, for each waits its time.
fn all(test: &TestDatabase, lines: &[&str]) -> Vec<Answer> {
    let arguments = |line: &&str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let started: Vec<Child> = lines
        .iter()
        .map(|line| {
            let arguments = arguments(line);
            start(test.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .collect();
    started
        .into_iter()
        .map(|child| Answer::from(child.wait_with_output().expect("the binary ends")))
        .collect()
}

#[tokio::test]
async fn who_locks_a_table_is_named_by_whoever_wants_to_read_it() {
    let test = acme().await;
    let lock = "lock table organizations in access exclusive mode";
    let (shop, pid) = shop(&test, lock).await;
    let named = format!("pid {pid} (user postgres, application shop, idle in transaction");
    let answers = all(&test, &["status", "explain acme", "doctor"]);
    for (answer, code) in answers.iter().zip([1, 1, 3]) {
        assert_eq!(answer.code, code, "{answer:?}");
        let said = format!("{}{}", answer.stdout, answer.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("public.organizations is locked by"), "{said}");
        assert!(said.contains(&named), "{said}");
        assert!(said.contains(&format!("pg_terminate_backend({pid})")), "{said}");
    }
    drop(shop);
}

#[tokio::test]
async fn who_holds_a_row_is_named_by_whoever_wants_to_write_it() {
    let test = acme().await;
    test.periodd(&["usage", "record", "--org", "acme", "--feature", "sms_sent", "--quantity", "1"])
        .exits(0);
    let (shop, pid) = shop(
        &test,
        "update organizations set name = 'held'; select from usage_counters for update",
    )
    .await;
    let commands = [
        "orgs park acme --reason moving",
        "orgs set acme --name Other",
        "packs grant --org acme --feature sms_sent --quantity 5",
        "usage record --org acme --feature sms_sent --quantity 1",
    ];
    for (command, answer) in commands.iter().zip(all(&test, &commands)) {
        assert_eq!(answer.code, 1, "{command}: {answer:?}");
        assert!(answer.stderr.contains(&format!("pid {pid} (user")), "{command}: {answer:?}");
        assert!(answer.stderr.contains("application shop"), "{command}: {answer:?}");
    }
    drop(shop);
    for (command, answer) in commands.iter().zip(all(&test, &commands)) {
        assert_eq!(answer.code, 0, "{command}: {answer:?}");
    }
}
