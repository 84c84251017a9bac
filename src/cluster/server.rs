//! Starting and stopping the server.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::conf::WalCompression;
use super::layout::Layout;
use super::owner::{Owner, run, words};
use super::ping::{Answer, ping};
use super::server_log::ServerLog;
use super::{ClusterError, Settings, conf, initialise, pidfile};

/// How often a server that is starting is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the server may take to stop, in seconds: it writes out what it has in memory.
const STOP_SECONDS: u64 = 120;

/// How many lines of the log an error shows, and where to look for them.
const TAIL_LINES: usize = 8;
const TAIL_BYTES: u64 = 8192;

/// What starting came to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Started {
    /// Connections are accepted.
    Yes,
    /// The server runs, with its socket elsewhere.
    Elsewhere,
}

/// Everything that is needed to start or stop the server of one layout.
pub(super) struct Server<'a> {
    layout: &'a Layout,
    owner: Owner,
    binaries: Binaries,
    timeout: Duration,
}

/// Whether our server accepts connections on the socket.
pub(super) fn is_serving(layout: &Layout) -> Result<bool, ClusterError> {
    if ping(&layout.socket()) != Answer::Accepting {
        return Ok(false);
    }
    if pidfile::is_ours(layout) {
        return Ok(true);
    }
    Err(ClusterError::SocketTaken { socket: layout.socket() })
}

impl<'a> Server<'a> {
    /// Finds the owner and the binaries, and makes the data directory if there is none.
    pub(super) fn new(layout: &'a Layout, settings: &Settings) -> Result<Self, ClusterError> {
        let owner = Owner::of(layout)?;
        let version = layout.version()?;
        let binaries = Binaries::find(settings, &owner, &layout.data, version.as_deref())?;
        if version.is_none() {
            initialise::initialise(layout, &owner, &binaries)?;
        }
        Ok(Self { layout, owner, binaries, timeout: settings.start_timeout })
    }

    /// Starts the server unless it runs, and waits until it accepts connections. The caller holds
    /// the start lock.
    pub(super) fn start(&self) -> Result<Started, ClusterError> {
        let begun = Instant::now();
        while begun.elapsed() < self.timeout {
            if is_serving(self.layout)? {
                return Ok(Started::Yes);
            }
            if !self.is_running()? {
                self.launch(begun)?;
            } else if self.is_elsewhere() {
                return Ok(Started::Elsewhere);
            } else if pidfile::is_ready(self.layout) && self.has_lost_its_socket() {
                let socket = self.layout.socket();
                let socket = socket.display();
                tracing::warn!(%socket, "the server's socket is gone; restarting the server");
                self.stop()?;
            }
            thread::sleep(PAUSE);
        }
        let seconds = self.timeout.as_secs();
        Err(ClusterError::Slow { seconds, log: self.layout.log.clone(), tail: self.tail(0) })
    }

    /// Stops the server if it runs; returns when it has ended.
    pub(super) fn stop(&self) -> Result<(), ClusterError> {
        if !self.is_running()? {
            return Ok(());
        }
        let seconds = STOP_SECONDS.to_string();
        let (done, output) = self.pg_ctl(&["stop", "-s", "-w", "-m", "fast", "-t", &seconds])?;
        // It may have ended by itself between the question and the order.
        if done || !self.is_running()? {
            return Ok(());
        }
        Err(ClusterError::Stop { output, log: self.layout.log.clone() })
    }

    /// Where the running server says its socket is.
    pub(super) fn socket_dir(&self) -> Option<std::path::PathBuf> {
        pidfile::socket_dir(self.layout)
    }

    fn is_running(&self) -> Result<bool, ClusterError> {
        Ok(self.pg_ctl(&["status"])?.0 && !pidfile::is_strangers(self.layout))
    }

    fn is_elsewhere(&self) -> bool {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or(path.to_owned());
        let here = real(&self.layout.socket_dir);
        self.socket_dir().is_some_and(|there| real(&there) != here)
    }

    /// A server makes its socket before it says that it is ready, and says that it stops before it
    /// removes it.
    fn has_lost_its_socket(&self) -> bool {
        let found = fs::symlink_metadata(self.layout.socket());
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// One attempt. Children of a killed server hold its memory for a moment after it; that
    /// refusal is not final.
    fn launch(&self, begun: Instant) -> Result<(), ClusterError> {
        self.configure()?;
        ServerLog::new(self.layout).bound();
        if pidfile::is_strangers(self.layout) {
            pidfile::disown(self.layout, &self.owner)?;
        }
        let before = fs::metadata(&self.layout.log).map_or(0, |found| found.len());
        let left = self.timeout.saturating_sub(begun.elapsed()).as_secs().max(1).to_string();
        let log = self.layout.log.to_string_lossy();
        let (done, output) = self.pg_ctl(&["start", "-s", "-w", "-t", &left, "-l", &log])?;
        let tail = self.tail(before);
        // `pg_ctl` also fails when its time is up; the caller's loop sees to that.
        if done || tail.contains("still in use") || self.is_running()? {
            return Ok(());
        }
        let tail = if tail.is_empty() { output } else { tail };
        Err(ClusterError::Start { log: self.layout.log.clone(), tail })
    }

    /// Writes the configuration. The server itself says how it can compress, and reads its files
    /// before it does.
    fn configure(&self) -> Result<(), ClusterError> {
        conf::write(self.layout, &self.owner, WalCompression::Pglz)?;
        let mut command = self.owner.command(self.binaries.program("postgres"));
        command.arg("-D").arg(&self.layout.data).arg("-c");
        command.arg(format!("wal_compression={}", WalCompression::Lz4.setting()));
        command.args(["-C", "wal_compression"]);
        let output = run(&mut command, "").map_err(|error| ClusterError::Tool {
            doing: "postgres -C wal_compression".to_owned(),
            output: error.to_string(),
        })?;
        if output.status.success() {
            conf::write(self.layout, &self.owner, WalCompression::Lz4)?;
        }
        Ok(())
    }

    /// Runs `pg_ctl`; whether it succeeded, and what it said.
    fn pg_ctl(&self, args: &[&str]) -> Result<(bool, String), ClusterError> {
        let mut command = self.owner.command(self.binaries.program("pg_ctl"));
        command.args(args).arg("-D").arg(&self.layout.data);
        let output = run(&mut command, "").map_err(|error| ClusterError::Tool {
            doing: format!("pg_ctl {}", args[0]),
            output: error.to_string(),
        })?;
        Ok((output.status.success(), words(&output)))
    }

    /// The log's last lines, of those after byte `from`.
    fn tail(&self, from: u64) -> String {
        let text = read_end(&self.layout.log, from).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

fn read_end(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
