//! The daemon that is measured: the binary, as a process of its own.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{Server, process};

/// The jobs of a daemon.
const JOBS: [&str; 6] = ["rollover", "sync", "audit", "alerts", "deliver", "retention"];

/// How a daemon is configured.
#[derive(Default)]
pub(crate) struct Setup {
    /// Whether it serves HTTP, and over how many connections.
    pub(crate) http: Option<u32>,
    /// Further lines of `[http]`.
    pub(crate) lines: &'static str,
    /// Which jobs are on.
    pub(crate) jobs: Jobs,
}

/// Which jobs are switched on, and how often they run.
#[derive(Clone, Copy, Default)]
pub(crate) enum Jobs {
    /// As it is shipped.
    #[default]
    Shipped,
    /// Those of these names, each once a second; the others are off.
    Only(&'static [&'static str]),
}

/// A daemon at work, until it is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    _directory: tempfile::TempDir,
}

impl Daemon {
    pub(crate) async fn start(server: &Server, database: &str, setup: &Setup) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = process::free_address();
        let config = directory.path().join("periodd.toml");
        let mut text = format!(
            "[database]\nurl = \"{}\"\n[daemon]\nstate_dir = \"{}\"\n[log]\nlevel = \"warn\"\n",
            server.url(database),
            directory.path().display()
        );
        if let Some(connections) = setup.http {
            let _ = write!(
                text,
                "[http]\nenabled = true\nlisten = \"{address}\"\nconnections = {connections}\n\
                 requests_per_second = 1000000\n{}\n",
                setup.lines
            );
        }
        if let Jobs::Only(on) = setup.jobs {
            for job in JOBS {
                let is_on = on.contains(&job);
                let _ = write!(text, "[schedule.{job}]\nenabled = {is_on}\n");
                if is_on {
                    text.push_str("cron = \"* * * * * *\"\njitter = \"0s\"\n");
                }
            }
        }
        std::fs::write(&config, text).expect("written");
        let periodd = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
            command.arg("--config").arg(&config).env_remove("DATABASE_URL");
            command
        };
        let name = uuid::Uuid::new_v4().to_string();
        let scopes = ["--scope", "read", "--scope", "record"];
        let added = periodd().args(["tokens", "add", &name]).args(scopes).output();
        let added = added.expect("the binary runs");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let token = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        let child = periodd().arg("run").stdout(Stdio::null()).spawn().expect("it starts");
        let began = Instant::now();
        while setup.http.is_some() && TcpStream::connect(address).await.is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "the daemon does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { child, address, token, _directory: directory }
    }

    /// The time of a processor that it has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        process::processor_time(self.child.id()).expect("it is alive")
    }

    /// The time of a processor that it takes in a while, as a share of one.
    pub(crate) async fn share(&self, span: Duration) -> f64 {
        let before = self.processor_time();
        tokio::time::sleep(span).await;
        self.processor_time().saturating_sub(before).as_secs_f64() / span.as_secs_f64()
    }

    pub(crate) fn memory_mib(&self) -> f64 {
        process::memory_mib(self.child.id()).expect("it is alive")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
