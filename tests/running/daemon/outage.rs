//! The database goes away under a running daemon, and comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use periodd::cluster::{Cluster, Settings};
use periodd::store::Database;
use periodd::store::runs::{self, Filter, Outcome, Run};

use crate::daemon::process::{Daemon, PATIENCE, binary, signal, wait_until};

/// A private cluster in a directory of its own, which every user may walk through.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pd-").tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("permissions");
        Self { dir }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.state())
    }

    pub(crate) fn postmaster(&self) -> Option<u32> {
        let pid = self.state().join("postgresql/data/postmaster.pid");
        std::fs::read_to_string(pid).ok()?.lines().next()?.parse().ok()
    }

    /// A file with these lines of configuration.
    fn configured(&self, lines: &str) -> PathBuf {
        let config = self.dir.path().join("periodd.toml");
        std::fs::write(&config, lines).expect("the configuration is written");
        config
    }

    /// The same, on the private cluster here.
    pub(crate) fn embedded(&self, lines: &str) -> PathBuf {
        let state = self.state().display().to_string();
        self.configured(&format!(
            "[daemon]\nstate_dir = \"{state}\"\nsocket_dir = \"{state}/run\"\n{lines}"
        ))
    }

    /// A daemon with these lines of configuration.
    fn daemon(&self, lines: &str) -> Daemon {
        Daemon::spawn(binary(&self.configured(lines), &["run"]))
    }
}

impl Drop for Place {
    /// A test that failed leaves no server behind: joining and leaving as the last stops it.
    fn drop(&mut self) {
        if self.postmaster().is_some() {
            drop(Cluster::open(&self.settings()));
        }
    }
}

/// What has run, the oldest first; empty while nobody can be asked.
async fn ran(url: &str) -> Vec<Run> {
    let read = async {
        let database = Database::connect(url, 1).await?;
        let mut connection = database.connection().await?;
        let rollovers = Filter { job: Some("rollover".to_owned()), ..Filter::default() };
        runs::list(&mut connection, &rollovers, 1_000).await
    };
    let mut runs = read.await.unwrap_or_default();
    runs.reverse();
    runs
}

async fn wait_for_runs(url: &str, done: impl Fn(&[Run]) -> bool) -> Vec<Run> {
    let begun = std::time::Instant::now();
    loop {
        let runs = ran(url).await;
        if done(&runs) {
            return runs;
        }
        assert!(begun.elapsed() < PATIENCE, "{runs:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long the database is away; `make test-clock` has it away for a minute.
fn outage() -> Duration {
    let is_long = std::env::var_os("PERIODD_TEST_SPELL").is_some();
    Duration::from_secs(if is_long { 60 } else { 20 })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_is_survived_and_made_up_for() {
    let place = Place::new();
    let settings = place.settings();
    let cluster = tokio::task::spawn_blocking(move || Cluster::open(&settings)).await;
    let cluster = cluster.expect("a task").expect("a server");
    let url = cluster.url();
    let database = Database::connect(&url, 1).await.expect("it serves");
    let now = database.now().await.expect("it serves");
    let tz = periodd::tz::TzData::newest();
    periodd::jobs::zones::migrate(&database, &tz, now).await.expect("migrated");
    database.close().await;

    let lines =
        format!("[database]\nurl = \"{url}\"\n[schedule.rollover]\ncron = \"*/2 * * * * *\"\n");
    let mut daemon = place.daemon(&lines);
    wait_for_runs(&url, |runs| runs.iter().any(|run| run.outcome == Outcome::Done)).await;

    signal(place.postmaster().expect("a server"), "INT");
    wait_until("the server is gone", || place.postmaster().is_none()).await;
    wait_until("the outage is told", || daemon.said("the database is unavailable; runs wait") == 1)
        .await;
    let (before, outage) = (daemon.processor_time(), outage());
    tokio::time::sleep(outage).await;
    let spent = daemon.processor_time().saturating_sub(before);
    assert!(daemon.is_alive(), "{}", daemon.log());
    assert!(spent < outage / 20, "a busy loop: {spent:?} in {outage:?}");
    assert_eq!(daemon.said("the database is unavailable; runs wait"), 1, "said once");

    let cluster = tokio::task::spawn_blocking(move || cluster.revive().map(|_| cluster)).await;
    let cluster = cluster.expect("a task").expect("it starts again");
    wait_until("its return is told", || daemon.said("the database is back") == 1).await;
    let made_up = |runs: &[Run]| {
        let missed = runs.iter().position(|run| run.reason.as_deref() == Some("too late"));
        missed.is_some_and(|at| runs[at..].iter().any(|run| run.outcome == Outcome::Done))
    };
    let runs = wait_for_runs(&url, made_up).await;
    let missed: Vec<_> =
        runs.iter().filter(|run| run.reason.as_deref() == Some("too late")).collect();
    assert_eq!(missed.len(), 1, "one row for all that was missed: {missed:#?}");
    let due = outage.as_secs() / 2 - 5;
    assert!(u64::try_from(missed[0].occurrences).is_ok_and(|n| n >= due), "{due}: {missed:#?}");
    assert_eq!(daemon.stop().await.code(), Some(0));
    tokio::task::spawn_blocking(move || cluster.close()).await.expect("a task").expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_is_started_again_when_somebody_kills_it() {
    let place = Place::new();
    let config = place.embedded("[schedule.rollover]\ncron = \"* * * * * *\"\n");
    let daemon = Daemon::spawn(binary(&config, &["run"]));
    wait_until("it has run", || daemon.said("\"done\"") > 0).await;
    for kills in 1..=2 {
        let killed = place.postmaster().expect("a server");
        signal(killed, "KILL");
        wait_until("it is started again", || daemon.said("not running; restarted") == kills).await;
        let before = daemon.said("\"done\"");
        wait_until("it runs again", || daemon.said("\"done\"") > before).await;
        assert_ne!(place.postmaster(), Some(killed));
    }
    assert_eq!(daemon.stop().await.code(), Some(0));
    assert_eq!(place.postmaster(), None, "it takes its server with it");
}
