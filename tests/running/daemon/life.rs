//! What the service manager hears from the start to the end.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use periodd::jobs::catalogue::Job;

use crate::daemon::process::{Daemon, PATIENCE, until, wait_until};
use crate::support::TestDatabase;

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        Self { socket, directory, heard: Vec::new() }
    }

    fn daemon(&self, test: &TestDatabase, watchdog: Duration) -> Daemon {
        let mut command = test.command(&["run"]);
        // The daemon's own start takes the variable away; a wrapper puts it back.
        let mut wrapped = std::process::Command::new("env");
        wrapped.arg(format!("NOTIFY_SOCKET={}/notify", self.directory.path().display()));
        wrapped.arg(format!("WATCHDOG_USEC={}", watchdog.as_micros()));
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        command = wrapped;
        Daemon::spawn(command)
    }

    /// Listens until a message holds that text.
    fn hear(&mut self, text: &str) -> String {
        let begun = std::time::Instant::now();
        let mut buffer = [0; 4096];
        loop {
            assert!(begun.elapsed() < PATIENCE, "no {text} after {:#?}", self.heard);
            let Ok(length) = self.socket.recv(&mut buffer) else { continue };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.push(message.clone());
            if message.contains(text) {
                return message;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_status_watchdog_reload_and_stopping_come_in_their_order() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         select 'org-' || i, 'Org', 'Asia/Tokyo', now() - interval '1 day',
                timestamptz '2999-12-31 15:00Z'
         from generate_series(1, 412) i",
    )
    .await;
    let mut manager = Manager::new();
    let daemon = manager.daemon(&test, Duration::from_secs(2));
    manager.hear("READY=1");
    manager.hear("STATUS=next: 412 orgs in Asia/Tokyo at 2999-12-31 15:00Z");
    manager.hear("WATCHDOG=1");

    daemon.signal("HUP");
    let reloading = manager.hear("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hear("READY=1");

    // A bad file changes nothing, and says what is wrong with it.
    let before = std::fs::read_to_string(test.config()).expect("the configuration");
    test.configure("[schedule.rollover]\ncorn = \"* * * * * *\"\n");
    daemon.signal("HUP");
    manager.hear("RELOADING=1");
    assert!(manager.hear("READY=1").contains("the old one stays"));
    wait_until("the fault is told", || daemon.said("did you mean `cron`") == 1).await;
    let lines = "select line from periodd_schedules
                 where job = 'rollover' and trigger = 'schedule'";
    assert_eq!(test.rows(lines).await, ["0 * * * * * UTC"]);

    // A good one counts at once.
    let good = format!("{before}[schedule.rollover]\ncron = \"0 0 4 * * *\"\n");
    std::fs::write(test.config(), good).expect("the configuration is written");
    daemon.signal("HUP");
    manager.hear("RELOADING=1");
    manager.hear("READY=1");
    assert_eq!(test.rows(lines).await, ["0 0 4 * * * UTC"]);

    daemon.signal("TERM");
    manager.hear("STOPPING=1");
    let mut daemon = daemon;
    assert_eq!(daemon.ended().await.code(), Some(0));
    let firsts = ["READY=1", "WATCHDOG=1", "RELOADING=1", "STOPPING=1"];
    let places = firsts.map(|what| manager.heard.iter().position(|m| m.contains(what)));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{:#?}", manager.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_start_on_a_database_that_is_not_migrated_or_not_there() {
    let empty = TestDatabase::empty().await;
    let answer = empty.periodd(&["run"]).exits(78);
    assert!(empty.plain(&answer.stderr).contains("periodd db migrate"), "{answer:?}");
    let nobody = "[database]\nurl = \"postgresql:///nobody?host=/nowhere&user=nobody\"\n";
    empty.periodd_configured(nobody, &["run"]).exits(69);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_it_waits_for_the_schema_and_goes_on_by_itself() {
    let test = TestDatabase::new().await;
    // As an older program left it.
    test.sql("delete from periodd_api where name = (select min(name) from periodd_api)").await;
    let mut manager = Manager::new();
    let mut daemon = manager.daemon(&test, Duration::from_secs(10));
    let waits = manager.hear("STATUS=waiting for `db migrate`");
    assert!(waits.starts_with("EXTEND_TIMEOUT_USEC="), "{waits}");
    manager.hear("EXTEND_TIMEOUT_USEC=");
    assert!(!manager.heard.iter().any(|message| message.contains("READY=1")));
    assert!(daemon.is_alive(), "{}", daemon.log());
    assert_eq!(daemon.said("waiting for `db migrate`"), 1, "said once: {}", daemon.log());
    test.periodd(&["db", "migrate"]).exits(0);
    manager.hear("READY=1");
    assert_eq!(daemon.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_for_the_schema_it_can_be_stopped_and_a_newer_schema_ends_it() {
    let test = TestDatabase::new().await;
    test.sql("delete from periodd_api where name = (select min(name) from periodd_api)").await;
    let daemon = Daemon::start(&test);
    wait_until("it waits", || daemon.said("waiting for `db migrate`") == 1).await;
    assert_eq!(daemon.stop().await.code(), Some(0));
    let mut daemon = Daemon::start(&test);
    wait_until("it waits", || daemon.said("waiting for `db migrate`") == 1).await;
    test.sql(
        "insert into periodd_migrations (version, description, checksum) values (9999, 'x', 'x')",
    )
    .await;
    assert_eq!(daemon.ended().await.code(), Some(78));
    test.periodd(&["run"]).exits(78);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_emails_keeps_no_webhook_from_being_sent() {
    let test = TestDatabase::new().await;
    // Nobody listens there.
    test.configure(
        "[schedule.deliver]\ncron = \"* * * * * *\"\njitter = \"0s\"\n\
         [mail]\ntransport = \"smtp\"\nfrom = \"alerts@periodd.example\"\n\
         [mail.smtp]\nhost = \"127.0.0.1\"\ntls = \"none\"\nusername = \"u\"\n\
         password_file = \"/nonexistent/password\"\n\
         [[webhooks]]\nname = \"app\"\nurl = \"http://127.0.0.1:9/\"\nsecret_env = \"SECRET\"\n",
    );
    test.periodd(&["webhooks", "apply"]).exits(0);
    test.sql(
        "insert into organizations (slug, name, time_zone) values ('acme', 'Acme', 'UTC');
         select grant_overage_pack(id, 'scrapes', 1, 'order-1') from organizations",
    )
    .await;
    let mut command = test.command(&["run"]);
    command.env("SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let daemon = Daemon::spawn(command);
    until(&test, "select attempts > 0 from periodd_webhook_outbox", "true").await;
    let failed = "select count(*) > 0 from periodd_runs where job = 'deliver'
                  and outcome = 'failed' and error like '%/nonexistent/password%'";
    until(&test, failed, "true").await;
    assert_eq!(daemon.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_when_it_is_due() {
    let test = TestDatabase::new().await;
    let jobs = Job::ALL;
    let lines =
        jobs.map(|job| format!("[schedule.{job}]\ncron = \"* * * * * *\"\njitter = \"0s\"\n"));
    test.configure(&lines.concat());
    let daemon = Daemon::start(&test);
    let done = "select count(distinct job) from periodd_runs where outcome = 'done'";
    until(&test, done, &jobs.len().to_string()).await;
    let failed = "select count(*) from periodd_runs where outcome = 'failed'";
    assert_eq!(test.rows(failed).await, ["0"]);
    assert_eq!(daemon.stop().await.code(), Some(0));
}
