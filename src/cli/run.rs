//! `periodd run`: the daemon.

use super::owner::become_owner;
use super::{Exit, Failure, Global, caller};
use crate::config::Config;
use crate::daemon::{self, Options, Shutdown};
use crate::telemetry::{self, Verbosity};

const NOTES: &str = "Examples:
  periodd run
  periodd --config /etc/periodd/periodd.toml run

Signals:
  SIGHUP   reload the configuration; an invalid one is ignored
  SIGTERM  finish running batches and stop, after [daemon] drain_timeout at the latest
  SIGINT   the same; a second signal stops at once";

/// What `periodd run` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {}

/// Runs the daemon.
pub(super) fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    if global.at.is_some() {
        return Err(Failure::usage("--at is for one-shot commands; the daemon uses real time"));
    }
    let file = global.config.clone();
    let config = Config::load(file.as_deref(), Config::environment());
    let config = config.map_err(Failure::configuration)?;
    become_owner(&config)?;
    caller::of(global, &config, None).is_known();
    telemetry::init(&config.log, Verbosity { quiet: global.quiet, louder: global.verbose });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let left = runtime.block_on(daemon::run_until_stopped(Options { config, file }));
    // What is still under way belongs to a server that will notice by itself.
    runtime.shutdown_background();
    match left? {
        Shutdown::Drained | Shutdown::CutOff => Ok(Exit::Done),
        Shutdown::Forced => Err(Failure::interrupted("stopped at once after a second signal")),
    }
}
