//! A daemon under a service manager that only listens.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::TestDatabase;

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon, and what has been heard of it.
pub(crate) struct Daemon {
    child: Child,
    socket: UnixDatagram,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Daemon {
    /// `periodd run` on this database.
    pub(crate) fn on(database: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        let mut command = database.command(&["run"]);
        command.envs(variables.iter().copied());
        Self::start(command)
    }

    /// The command, which is a daemon.
    pub(crate) fn start(mut command: Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // As systemd's, it can be reached by the service's user.
        for (file, mode) in [(directory.path(), 0o755), (path.as_path(), 0o777)] {
            std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
        }
        command.env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_PID");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, said) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, socket, log, _directory: directory }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next message to the manager.
    #[track_caller]
    pub(crate) fn hears(&self) -> String {
        let mut message = [0; 4096];
        match self.socket.recv(&mut message) {
            Ok(length) => String::from_utf8(message[..length].to_vec()).unwrap(),
            Err(error) => panic!("nothing was heard ({error}); the log says\n{}", self.log()),
        }
    }

    /// The next message that begins so; those before it are of no interest.
    #[track_caller]
    pub(crate) fn hears_at_last(&self, start: &str) -> String {
        loop {
            let message = self.hears();
            if message.starts_with(start) {
                return message;
            }
        }
    }

    /// What waits to be heard.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut message) {
            heard.push(String::from_utf8_lossy(&message[..length]).into_owned());
        }
        self.socket.set_nonblocking(false).unwrap();
        heard
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log's events, if it is written as JSON.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the log's events are as wanted.
    #[track_caller]
    pub(crate) fn logs(&self, wanted: impl Fn(&[serde_json::Value]) -> bool) {
        self.until(|| wanted(&self.events()));
    }

    /// Waits until the log says that; what is read from a pipe comes a moment later.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        self.until(|| self.log().contains(words));
    }

    #[track_caller]
    fn until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "the log says\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has ended; the exit code.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it goes on; the log says\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, and waits; the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.ends()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
