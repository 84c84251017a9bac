//! Connections that die without a word in the middle of a statement: a machine that vanished, a
//! router that forgot. Nothing waits for them beyond its bound.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

use periodd::jobs::catalogue::Job;

use periodd::store::Database;

use crate::daemon::process::{Daemon, until, wait_until};
use crate::support::{TestDatabase, server};

/// A proxy that freezes the first connection on which a client says some words: both ends stay
/// open, and nothing is carried any more.
struct Freezer {
    port: u16,
    frozen: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Freezer {
    async fn at(words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let frozen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&frozen);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let socket = format!("{}/.s.PGSQL.5432", server());
                let server = UnixStream::connect(socket).await.expect("the server answers");
                tokio::spawn(carry(client, server, words, Arc::clone(&count)));
            }
        });
        Self { port, frozen, listening }
    }

    fn url(&self, test: &TestDatabase) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{}", self.port, test.name)
    }

    fn frozen(&self) -> usize {
        self.frozen.load(Ordering::SeqCst)
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: UnixStream,
    words: &'static str,
    frozen: Arc<AtomicUsize>,
) {
    let (mut said, mut heard) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            length = client.read(&mut said) => {
                let Ok(length @ 1..) = length else { return };
                let mut parts = said[..length].windows(words.len());
                let first = |n: usize| (n == 0).then_some(1);
                if parts.any(|part| part == words.as_bytes())
                    && frozen.fetch_update(Ordering::SeqCst, Ordering::SeqCst, first).is_ok() {
                    std::future::pending::<()>().await;
                }
                if server.write_all(&said[..length]).await.is_err() {
                    return;
                }
            }
            length = server.read(&mut heard) => {
                let Ok(length @ 1..) = length else { return };
                if client.write_all(&heard[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A database with something to do for every job.
async fn busy() -> TestDatabase {
    let test = TestDatabase::new().await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"];
    test.periodd(&[&add[..], &["--period-start", "2026-01-01T00:00:00Z"]].concat()).exits(0);
    test
}

/// A daemon behind the proxy that has one job, each second.
fn daemon(test: &TestDatabase, freezer: &Freezer, job: &str) -> Daemon {
    let mut off = String::new();
    for other in Job::ALL.into_iter().filter(|other| other.name() != job) {
        writeln!(off, "[schedule.{other}]\nenabled = false").expect("a string takes it");
    }
    test.configure(&format!(
        "{off}[schedule.{job}]\ncron = \"* * * * * *\"\njitter = \"0s\"\ntimeout = \"2s\"\n"
    ));
    let mut command = test.command(&["run"]);
    command.env("PERIODD__DATABASE__URL", freezer.url(test));
    command.env("PERIODD__DATABASE__STATEMENT_TIMEOUT", "2s");
    Daemon::spawn(command)
}

/// The job runs again after a connection froze as it said these words.
async fn runs_again(job: &'static str, words: &'static str) {
    let test = busy().await;
    let freezer = Freezer::at(words).await;
    let mut daemon = daemon(&test, &freezer, job);
    wait_until(&format!("{job} says `{words}`"), || freezer.frozen() == 1).await;
    let frozen = test.rows("select coalesce(max(id), 0) from periodd_runs").await;
    let again = format!(
        "select count(*) > 0 from periodd_runs
         where job = '{job}' and outcome = 'done' and id >= {}",
        frozen[0]
    );
    until(&test, &again, "true").await;
    assert!(daemon.is_alive(), "{}", daemon.log());
    assert_eq!(daemon.stop().await.code(), Some(0), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_again_after_a_connection_froze_amid_its_statement() {
    let frozen = [
        ("rollover", "insert into billing_periods"),
        ("sync", "usage_metrics"),
        ("audit", "usage_counters"),
        ("alerts", "periodd_alerts"),
        ("deliver", "periodd_outbox"),
        ("retention", "delete from periodd_runs"),
    ];
    assert_eq!(frozen.map(|(job, _)| job), Job::ALL.map(Job::name), "every job");
    let all = frozen.map(|(job, words)| tokio::spawn(runs_again(job, words)));
    for task in all {
        task.await.expect("it runs again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedules_go_on_after_their_own_connection_froze() {
    // What is read once a second; a daemon that cannot begin at all ends, and is started again.
    runs_again("sync", "from periodd_schedules order by").await;
    runs_again("sync", "update periodd_schedules").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_wait_for_a_frozen_connection() {
    let test = busy().await;
    let freezer = Freezer::at("billing_periods").await;
    let mut command = test.command(&["rollover"]);
    command.env("PERIODD__DATABASE__URL", freezer.url(&test));
    command.env("PERIODD__DATABASE__STATEMENT_TIMEOUT", "1s");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a task");
    let output = output.expect("the binary starts");
    assert_eq!(freezer.frozen(), 1);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    // What the server was left in the middle of is rolled back there, and the next one does all.
    let mut command = test.command(&["rollover"]);
    command.env("PERIODD__DATABASE__URL", freezer.url(&test));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a task");
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_from_a_failover_are_left_as_soon_as_the_server_is_writable() {
    let test = busy().await;
    test.configure("[schedule.sync]\ncron = \"* * * * * *\"\njitter = \"0s\"\n");
    let daemon = Daemon::start(&test);
    let done = "select count(*) > 0 from periodd_runs where job = 'sync' and outcome = 'done'";
    until(&test, done, "true").await;
    let name = &test.name;
    test.sql(&format!("alter database {name} set default_transaction_read_only = on")).await;
    // Each connection but the one that asks.
    let end = "select count(pg_terminate_backend(pid)) > 0 from pg_stat_activity
               where datname = current_database() and application_name = 'periodd'";
    until(&test, end, "true").await;
    wait_until("the outage is told", || daemon.said("the database is unavailable; runs wait") == 1)
        .await;
    wait_until("why is told", || daemon.said("is read-only") > 0).await;
    let writable = format!("alter database {name} reset default_transaction_read_only");
    test.sql(&format!("begin read write; {writable}; commit")).await;
    wait_until("its end is told", || daemon.said("the database is back") == 1).await;
    let before = test.rows("select max(id) from periodd_runs").await;
    let again = format!(
        "select count(*) > 0 from periodd_runs
         where job = 'sync' and outcome = 'done' and id > {}",
        before[0]
    );
    until(&test, &again, "true").await;
    assert!(daemon.said("\"level\":\"ERROR\"") < 10, "{}", daemon.log());
    assert_eq!(daemon.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_each_second_in_the_same_way_is_said_once() {
    let test = busy().await;
    test.configure("[schedule.alerts]\ncron = \"* * * * * *\"\njitter = \"0s\"\n");
    test.sql("alter table periodd_alerts rename to periodd_alerts_gone").await;
    let daemon = Daemon::start(&test);
    let failed =
        "select count(*) >= 4 from periodd_runs where job = 'alerts' and outcome = 'failed'";
    until(&test, failed, "true").await;
    let lines = daemon.log();
    let told = lines
        .lines()
        .filter(|line| line.contains("\"job\":\"alerts\"") && line.contains("\"level\":\"ERROR\""));
    assert_eq!(told.count(), 1, "{lines}");
    assert_eq!(daemon.stop().await.code(), Some(0));
}

#[tokio::test]
async fn another_password_is_taken_and_another_database_is_not() {
    let test = TestDatabase::new().await;
    let url = test.url();
    let other = url.replace("user=postgres", "user=postgres&password=new");
    assert!(test.database.point_to(&other).expect("a URL"));
    assert!(test.database.now().await.is_ok());
    let elsewhere = url.replace(&test.name, "postgres");
    assert!(!test.database.point_to(&elsewhere).expect("a URL"));
    let somebody = url.replace("user=postgres", "user=nobody");
    assert!(!test.database.point_to(&somebody).expect("a URL"));
    assert!(test.database.point_to("nonsense").is_err());
}

#[tokio::test]
async fn a_rotated_password_is_taken_up_by_the_next_connection() {
    let test = TestDatabase::new().await;
    let role = format!("rotating_{}", uuid::Uuid::new_v4().simple());
    test.sql(&format!(
        "do $$ begin
             create role periodd_passwords;
         exception when duplicate_object or unique_violation then null; end $$;
         create role {role} login password 'old' in role periodd_passwords, postgres"
    ))
    .await;
    let url = |password: &str| {
        test.url().replace("user=postgres", &format!("user={role}&password={password}"))
    };
    let wrong = Database::connect(&url("wrong"), 1).await;
    assert!(wrong.is_err(), "the password is asked for");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), url("old")).expect("written");
    let database = Database::connect(&url("old"), 2).await.expect("the old password");
    let path = file.path().to_owned();
    database.read_again(move || std::fs::read_to_string(&path).ok());
    let held = database.connection().await.expect("a connection from before");
    test.sql(&format!("alter role {role} password 'new'")).await;
    assert!(database.connection().await.is_err(), "nobody has said the new one here");
    std::fs::write(file.path(), url("new")).expect("written");
    drop(database.connection().await.expect("the new password"));
    drop(held);
    // The daemon works on, too, when it loses all that it had.
    std::fs::write(file.path(), url("new")).expect("written");
    let config = format!(
        "[database]\nurl_file = \"{}\"\n[schedule.alerts]\ncron = \"* * * * * *\"\n\
         jitter = \"0s\"\n[mail]\ntransport = \"none\"\n",
        file.path().display()
    );
    std::fs::write(test.config(), config).expect("written");
    let daemon = Daemon::start(&test);
    let runs = "select count(*) > 0 from periodd_runs where job = 'alerts' and outcome = 'done'";
    until(&test, runs, "true").await;
    test.sql(&format!("alter role {role} password 'newer'")).await;
    std::fs::write(file.path(), url("newer")).expect("written");
    let ended = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '{role}'"
    );
    test.rows(&ended).await;
    test.sql("delete from periodd_runs where job = 'alerts'").await;
    until(&test, runs, "true").await;
    assert_eq!(daemon.stop().await.code(), Some(0));
}
