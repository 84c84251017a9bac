//! How many connections a command opens.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::{TestDatabase, server};

#[tokio::test]
async fn a_command_works_over_one_connection() {
    let test = TestDatabase::empty().await;
    let role = format!("owner_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {role} login connection limit 1; grant create on schema public to {role}"
    ))
    .await;
    let url = format!("postgresql:///{}?host={}&user={role}", test.name, server());
    let config = format!("[database]\nurl = \"{url}\"\nsandbox = true\n");
    let left = format!("select count(*) from pg_stat_activity where usename = '{role}'");
    for command in [
        "db migrate",
        "orgs add acme --name Acme --zone UTC --tier free",
        "packs grant --org acme --feature sms_sent --quantity 5",
        "usage record --org acme --feature sms_sent --quantity 1",
        "rollover",
        "sync",
        "orgs list",
        "explain acme",
        "runs list",
        "alerts list",
    ] {
        // Whoever was last may not have left yet.
        let begun = Instant::now();
        while test.rows(&left).await != ["0"] {
            assert!(begun.elapsed() < Duration::from_mins(1), "somebody stays: {command}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let arguments: Vec<&str> = command.split(' ').collect();
        let answer = test.periodd_configured(&config, &arguments);
        assert_eq!(answer.code, 0, "{command}: {answer:?}");
    }
}
