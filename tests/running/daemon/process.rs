//! Daemons as processes, and patience with them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::TestDatabase;

/// Nothing here takes that long, unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A daemon at work, with its log in a file.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Daemon {
    /// Starts one on a test's database.
    pub(crate) fn start(test: &TestDatabase) -> Self {
        Self::spawn(test.command(&["run"]))
    }

    /// Starts one as a command says.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let file = std::fs::File::create(&log).expect("a log");
        command.env_remove("NOTIFY_SOCKET").stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("the binary starts");
        Self { child, log, _directory: Some(directory) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often a text is in the log.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// SIGKILL, and its end waited for.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ended");
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The processor time that it has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        // utime and stime, in the hundredths of a second that Linux counts them in.
        let ticks: u64 =
            fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Only a failed test leaves a process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "{pid} is not there to be sent {name}");
}

/// Waits until a query has that answer.
pub(crate) async fn until(test: &TestDatabase, query: &str, answer: &str) {
    let begun = Instant::now();
    loop {
        let rows = test.rows(query).await;
        if rows == [answer] {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{query}: still {rows:?}, not {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for what must come, and says what did not.
pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not yet");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The binary with a configuration file.
pub(crate) fn binary(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.arg("--config").arg(config).args(arguments);
    command.env_remove("DATABASE_URL").env("NO_COLOR", "1");
    command
}
