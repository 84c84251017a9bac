//! Logs: what the program says while it works, on stderr.
//!
//! Field names are the domain's words (`org`, `zone`, `periods_closed`). Addresses are masked and
//! secrets never get here: they live in types that print stars.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Level, Log, LogFormat};

/// How much more or less than configured is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbosity {
    /// Errors only.
    pub quiet: bool,
    /// Steps towards more: `-v`, `-vv`.
    pub louder: u8,
}

/// Begins to log. The first call of a process decides; later ones change nothing.
pub fn init(log: &Log, verbosity: Verbosity) {
    let level = level(log.level, verbosity);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let pretty = log.format == LogFormat::Pretty || (log.format == LogFormat::Auto && terminal);
    let started = if log.format == LogFormat::Json || (log.format == LogFormat::Auto && !terminal) {
        builder.json().flatten_event(true).try_init()
    } else {
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(pretty && coloured).with_target(false).try_init()
    };
    // A second start within a process (tests) finds the first one's subscriber in place.
    drop(started);
}

/// The level in force: `--quiet` keeps errors, every `-v` is one step more.
fn level(configured: Level, verbosity: Verbosity) -> LevelFilter {
    const STEPS: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let base = match configured {
        Level::Error => 0,
        Level::Warn => 1,
        Level::Info => 2,
        Level::Debug => 3,
        Level::Trace => 4,
    };
    let step = if verbosity.quiet { 0 } else { base + usize::from(verbosity.louder) };
    STEPS[step.min(STEPS.len() - 1)]
}
