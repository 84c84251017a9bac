//! Secrets are in no output and in no process list, however much is said and whatever fails.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::service::manager::Daemon;
use crate::support::{Answer, TestDatabase, server};

const PASSWORD: &str = "hunter2-of-the-database";
const SMTP: &str = "hunter2-of-the-mail";
/// What both have, and nothing else.
const SECRET: &str = "hunter2";

/// The binary with both secrets in its environment, and everything logged that can be.
fn told(database: &TestDatabase, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.env_clear().env("HOME", "/home/me").arg("-vvv").args(arguments);
    command.env("PERIODD__DATABASE__URL", url);
    command.env("PERIODD__MAIL__SMTP__PASSWORD", SMTP);
    command.env("PERIODD__MAIL__SMTP__USERNAME", "periodd");
    command.env("PERIODD__LOG__LEVEL", "trace");
    command.env("PERIODD__DAEMON__STATE_DIR", database.config().parent().unwrap());
    command
}

fn with_password(database: &TestDatabase) -> String {
    let (name, server) = (&database.name, server());
    format!("postgresql://postgres:{PASSWORD}@localhost/{name}?host={server}")
}

#[tokio::test]
async fn no_command_prints_a_secret() {
    let database = TestDatabase::new().await;
    let good = with_password(&database);
    let closed = format!("postgresql://u:{PASSWORD}@127.0.0.1:1/d");
    let misspelt = format!("postgresql://u:{PASSWORD}@127.0.0.1/d?sslmod=off");
    let strange = format!("mysql://u:{PASSWORD}@h/d");
    let broken = format!("postgresql://u:{PASSWORD}@127.0.0.1:port/d");
    let mut codes = Vec::new();
    for url in [&good, &closed, &misspelt, &strange, &broken] {
        for line in [
            "config show",
            "config show --format json",
            "config check",
            "config check --format json",
            "db status",
            "db url",
            "orgs list",
            "rollover",
            "schedule next",
            "runs list",
        ] {
            let arguments: Vec<&str> = line.split(' ').collect();
            let output = told(&database, url, &arguments).output().expect("it runs");
            let answer = Answer::from(output);
            let said = format!("{}{}", answer.stdout, answer.stderr);
            assert!(!said.contains(SECRET), "periodd {line} with {url} says\n{said}");
            codes.push(answer.code);
        }
    }
    for code in [0, 69, 78] {
        assert!(codes.contains(&code), "some end with {code}: {codes:?}");
    }
}

#[tokio::test]
async fn no_log_and_no_process_list_holds_a_secret() {
    let database = TestDatabase::new().await;
    let mut daemon = Daemon::start(told(&database, &with_password(&database), &["run"]));
    daemon.hears_at_last("READY=1");
    let line = std::fs::read(Path::new("/proc").join(daemon.pid().to_string()).join("cmdline"));
    let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
    assert!(line.contains("run") && !line.contains(SECRET), "{line}");
    daemon.logs(|events| events.iter().any(|event| event["duration_ms"].is_u64()));
    assert_eq!(daemon.stop(), 0, "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("tokio_cron_scheduler"), "what is usually left out was said:\n{log}");
    assert!(!log.contains(SECRET), "{log}");
    let recorded = database.rows("select * from periodd_runs").await;
    assert!(!recorded.join("\n").contains(SECRET), "{recorded:?}");
}

/// The private cluster's server is started with nothing of our environment.
#[tokio::test]
async fn the_private_server_is_told_no_secret() {
    let database = TestDatabase::new().await;
    let home = tempfile::tempdir_in("/tmp").unwrap();
    std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).ok();
    let mut command = told(&database, "", &["run"]);
    command.env_remove("PERIODD__DATABASE__URL").env("PERIODD__DAEMON__STATE_DIR", home.path());
    let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap();
    command.env("PERIODD__DATABASE__SERVER_BINARIES", binaries).process_group(0);
    let mut daemon = Daemon::start(command);
    let heard = daemon.hears();
    assert!(heard.starts_with("READY=1\nSTATUS="), "the server itself says nothing: {heard}");
    let pid = std::fs::read_to_string(home.path().join("postgresql/data/postmaster.pid")).unwrap();
    let server = Path::new("/proc").join(pid.lines().next().unwrap());
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(server.join(file)).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{file}");
        assert!(!String::from_utf8_lossy(&text).contains("NOTIFY_SOCKET"), "{file}");
    }
    assert_eq!(daemon.stop(), 0, "{}", daemon.log());
    assert!(!daemon.log().contains(SECRET), "{}", daemon.log());
}
