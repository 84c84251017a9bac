//! Commands on the private cluster: what a kill of both leaves, two at once, and what cannot work.

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use periodd::cluster::Cluster;
use sqlx::{Connection, PgConnection};

use crate::daemon::outage::Place;
use crate::daemon::process::{PATIENCE, binary, signal};

const ORGS: u64 = 20_000;

/// Joins the cluster, as one more of its users.
async fn join(place: &Place) -> (Cluster, PgConnection) {
    let settings = place.settings();
    let cluster = tokio::task::spawn_blocking(move || Cluster::open(&settings)).await;
    let cluster = cluster.expect("a task").expect("a server");
    let connection = PgConnection::connect(&cluster.url()).await.expect("it serves");
    (cluster, connection)
}

async fn leave((cluster, connection): (Cluster, PgConnection)) {
    drop(connection);
    // Where the server was killed there is nothing to stop.
    tokio::task::spawn_blocking(move || drop(cluster)).await.expect("a task");
}

async fn count(connection: &mut PgConnection, of: &'static str) -> u64 {
    let number: i64 = sqlx::query_scalar(of).fetch_one(connection).await.expect("a number");
    number.try_into().expect("not below zero")
}

fn rollover(config: &std::path::Path) -> Child {
    let mut command = binary(config, &["--quiet", "--format", "json", "rollover"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn right_after_a_kill_of_both_two_rollovers_share_the_cluster_and_nothing_is_lost() {
    let place = Place::new();
    let config = place.embedded("[rollover]\nbatch_size = 50\n");
    let migrated = binary(&config, &["--quiet", "db", "migrate"]).output().expect("it runs");
    assert!(migrated.status.success(), "{migrated:?}");
    let mut user = join(&place).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', now() - interval '40 days', now() - interval '10 days'
         from generate_series(1, {ORGS}) i"
    )))
    .execute(&mut user.1)
    .await
    .expect("orgs");
    let mut killed = rollover(&config);
    let begun = std::time::Instant::now();
    let acknowledged = loop {
        let closed = count(&mut user.1, "select count(*) from billing_periods").await;
        if closed > 1_000 {
            break closed;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is closed");
    };
    killed.kill().expect("it can be killed");
    signal(place.postmaster().expect("a server"), "KILL");
    assert_eq!(killed.wait().expect("it ended").code(), None, "it was amid its work");
    leave(user).await;

    let both = [rollover(&config), rollover(&config)];
    let did = both.map(|child| {
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
        let report: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
        report["orgs"].as_u64().expect("a number")
    });
    assert_eq!(place.postmaster(), None, "the last of them took the server with it");
    let before = ORGS - did.iter().sum::<u64>();
    assert!(before >= acknowledged, "{before} were closed before, and {acknowledged} were seen");
    let mut user = join(&place).await;
    let once = "select count(*) from billing_periods";
    let orgs = "select count(distinct org_id) from billing_periods";
    let due = "select count(*) from organizations where current_period_end <= now()";
    assert_eq!(count(&mut user.1, once).await, ORGS);
    assert_eq!(count(&mut user.1, orgs).await, ORGS);
    assert_eq!(count(&mut user.1, due).await, 0);
    leave(user).await;
}

#[test]
fn a_cluster_that_cannot_be_had_is_one_sentence_and_exit_69() {
    let other = Place::new();
    let data = other.state().join("postgresql/data");
    std::fs::create_dir_all(&data).expect("a directory");
    std::fs::write(data.join("PG_VERSION"), "14\n").expect("a file");
    let no_binaries = Place::new();
    let nowhere = no_binaries.state().display().to_string();
    let no_directory = Place::new();
    std::fs::write(no_directory.state(), "").expect("a file in its place");
    let cases: [(PathBuf, &str); 3] = [
        (other.embedded(""), "was created by PostgreSQL 14"),
        (no_directory.embedded(""), "The state directory cannot be used"),
        (
            no_binaries.embedded(&format!("[database]\nserver_binaries = \"{nowhere}\"\n")),
            "No PostgreSQL server in",
        ),
    ];
    for (config, words) in cases {
        for arguments in [&["rollover"][..], &["run"]] {
            let Output { status, stdout, stderr } =
                binary(&config, arguments).output().expect("it runs");
            let said = String::from_utf8_lossy(&stderr);
            assert_eq!(status.code(), Some(69), "{said}");
            assert!(said.starts_with("periodd: ") && said.contains(words), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(stdout.is_empty());
        }
    }
}
