//! Ready, alive, reloading, stopping: what a service manager hears, and when.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::service::manager::Daemon;
use crate::support::TestDatabase;

/// A schedule that is quick enough for a test.
const EACH_SECOND: &str = "[schedule.rollover]\ncron = \"* * * * * *\"\n";

fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// Listens until a message begins so, and returns what every message on the way was about.
#[track_caller]
fn until(daemon: &Daemon, start: &str, kinds: &mut Vec<String>) -> String {
    loop {
        let message = daemon.hears();
        let kind = message.split('\n').next().unwrap_or_default();
        if !kind.starts_with("STATUS=") && kinds.last().is_none_or(|last| last != kind) {
            kinds.push(kind.to_owned());
        }
        if message.starts_with(start) {
            return message;
        }
    }
}

#[tokio::test]
async fn ready_watchdog_reload_and_stop_are_heard_in_their_order() {
    let database = TestDatabase::new().await;
    let mut daemon = Daemon::on(&database, &[("WATCHDOG_USEC", "400000")]);
    let mut kinds = Vec::new();
    let ready = until(&daemon, "READY=1", &mut kinds);
    assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
    until(&daemon, "WATCHDOG=1", &mut kinds);

    let before = monotonic_micros();
    daemon.signal(Signal::HUP);
    let reloading = until(&daemon, "RELOADING=1", &mut kinds);
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("its time");
    let micros: i64 = micros.parse().expect("a number");
    assert!((before..=monotonic_micros()).contains(&micros), "{micros} since {before}");
    let again = until(&daemon, "READY=1", &mut kinds);
    assert_eq!(again, "READY=1\nSTATUS=the configuration was reloaded");
    until(&daemon, "WATCHDOG=1", &mut kinds);

    daemon.signal(Signal::TERM);
    until(&daemon, "STOPPING=1", &mut kinds);
    assert_eq!(daemon.ends(), 0, "{}", daemon.log());
    let order = ["READY=1", "WATCHDOG=1", "RELOADING=1", "READY=1", "WATCHDOG=1", "STOPPING=1"];
    assert_eq!(kinds, order);
    let after = daemon.heard();
    assert!(after.iter().all(|message| message == "WATCHDOG=1"), "{after:?}");
}

#[tokio::test]
async fn ready_is_not_said_before_it_is_true() {
    let empty = TestDatabase::empty().await;
    let nobody = "postgres://u@127.0.0.1:1/app";
    let config = empty.config().display().to_string();
    let mut without_server = Command::new(env!("CARGO_BIN_EXE_periodd"));
    without_server.arg("run").env("PERIODD__DATABASE__URL", nobody);
    for (command, code, said) in [
        (without_server, 69, "the database is unavailable".to_owned()),
        (empty.command(&["run"]), 78, format!("run `periodd --config {config} db migrate`")),
    ] {
        let mut daemon = Daemon::start(command);
        assert_eq!(daemon.ends(), code, "{}", daemon.log());
        assert_eq!(daemon.heard(), Vec::<String>::new());
        daemon.says(&said);
    }
}

/// How often the schedule has run to its end.
async fn done(database: &TestDatabase) -> i64 {
    let query = "select count(*) from periodd_runs where job = 'rollover' and outcome = 'done'
                 and trigger = 'schedule'";
    database.rows(query).await[0].parse().unwrap()
}

/// Waits until the schedule has run some more.
async fn runs_on(database: &TestDatabase, daemon: &Daemon) {
    let before = done(database).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    while done(database).await < before + 2 {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    let database = TestDatabase::new().await;
    database.configure(EACH_SECOND);
    let mut daemon = Daemon::on(&database, &[]);
    daemon.hears_at_last("READY=1");
    runs_on(&database, &daemon).await;

    // What is good in a bad file does not count, either.
    let file = database.config();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}enabled = false\n[rolover]\n")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.hears_at_last("RELOADING=1\n");
    let ready = daemon.hears_at_last("READY=1");
    assert_eq!(
        ready,
        "READY=1\nSTATUS=the new configuration is invalid; the old one stays in effect"
    );
    let place = format!("{}:7:2: unknown section `rolover`", file.display());
    daemon.logs(|events| {
        events.iter().any(|event| {
            let said = event["message"].as_str().unwrap_or_default();
            event["level"] == "ERROR" && said.contains(&place)
        })
    });
    runs_on(&database, &daemon).await;

    // The same without the mistake: the schedule is off, the daemon is there.
    std::fs::write(&file, format!("{good}enabled = false\n")).unwrap();
    daemon.signal(Signal::HUP);
    let ready = daemon.hears_at_last("READY=1");
    assert_eq!(ready, "READY=1\nSTATUS=the configuration was reloaded");
    std::fs::remove_file(&file).unwrap();
    daemon.signal(Signal::HUP);
    let ready = daemon.hears_at_last("READY=1");
    assert_eq!(
        ready,
        "READY=1\nSTATUS=the new configuration is invalid; the old one stays in effect"
    );
    assert_eq!(daemon.stop(), 0, "{}", daemon.log());
}
