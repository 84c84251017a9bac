//! Logs: what the program says while it works.
//!
//! For eyes on a terminal, with fields of their own in systemd's journal, as JSON elsewhere and on
//! request; on stderr but for the journal. Field names are the domain's words (`org`, `zone`,
//! `periods_closed`); docs/logging.md lists them. Addresses are masked and secrets never get here:
//! they live in types that print stars.
//!
//! Never: a secret, a whole email address, or a line that only a person can parse.

mod json;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::account;
use crate::config::sections::{Level, Log, LogFormat};

/// What the journal's fields begin with: `PERIODD_ORG=acme`.
const JOURNAL_PREFIX: &str = "PERIODD";
/// What the journal files us under, whatever the binary is called.
const JOURNAL_IDENTIFIER: &str = "periodd";

/// How much more or less than configured is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbosity {
    pub quiet: bool,
    /// Steps towards more: `-v`, `-vv`.
    pub louder: u8,
}

/// Begins to log. The first call of a process decides; later ones change nothing.
pub fn init(log: &Log, verbosity: Verbosity) {
    let (form, deaf) = form(log.format, &surroundings());
    let registry = tracing_subscriber::registry().with(filter(level(log.level, verbosity)));
    // A second start within a process (tests) finds the first one's subscriber in place.
    let _ = match form {
        Form::Journald(layer) => registry.with(*layer).try_init(),
        Form::Json => {
            let layer = tracing_subscriber::fmt::layer().event_format(json::Json);
            registry.with(layer.with_writer(io::stderr)).try_init()
        }
        Form::Pretty { colour } => {
            let layer = tracing_subscriber::fmt::layer().with_ansi(colour).with_target(false);
            registry.with(layer.with_writer(io::stderr)).try_init()
        }
    };
    if let Some(error) = deaf {
        tracing::warn!(%error, "the journal is unavailable; logging JSON to stderr");
    }
}

/// How lines are written.
enum Form {
    Pretty { colour: bool },
    Json,
    Journald(Box<tracing_journald::Layer>),
}

/// What stderr is.
struct Surroundings {
    terminal: bool,
    journal: bool,
    colour: bool,
}

fn surroundings() -> Surroundings {
    let terminal = io::stderr().is_terminal();
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    Surroundings {
        terminal,
        journal: stderr_file().is_ok_and(|file| is_stream(&stream, file)),
        colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// The form for a wish, and why the journal cannot be had if it was wished for.
fn form(wanted: LogFormat, around: &Surroundings) -> (Form, Option<io::Error>) {
    let pretty = Form::Pretty { colour: around.colour };
    match wanted {
        LogFormat::Pretty => (pretty, None),
        LogFormat::Auto if around.terminal => (pretty, None),
        LogFormat::Journald => journald(),
        LogFormat::Auto if around.journal => journald(),
        LogFormat::Json | LogFormat::Auto => (Form::Json, None),
    }
}

fn journald() -> (Form, Option<io::Error>) {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    match tracing_journald::layer() {
        Ok(layer) => {
            let layer = layer
                .with_field_prefix(Some(JOURNAL_PREFIX.to_owned()))
                .with_syslog_identifier(JOURNAL_IDENTIFIER.to_owned())
                .with_priority_mappings(priorities);
            (Form::Journald(Box::new(layer)), None)
        }
        Err(error) => (Form::Json, Some(error)),
    }
}

/// Device and inode of stderr.
fn stderr_file() -> io::Result<(u64, u64)> {
    let metadata = File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Is a file the one that systemd names in `JOURNAL_STREAM`, as `DEVICE:INODE`? The variable is
/// inherited by everything that a service starts, so that it says nothing by itself.
fn is_stream(stream: &str, (device, inode): (u64, u64)) -> bool {
    stream == format!("{device}:{inode}")
}

/// What is said at a level. That a connection turned out to be broken when it was made or handed
/// back is no news: whoever needs it is told, unless the next one works. Nor is what the tick tells
/// of itself.
fn filter(level: LevelFilter) -> EnvFilter {
    let wants_details = level >= LevelFilter::DEBUG;
    let others = if wants_details { "" } else { ",sqlx_core::pool=off,tokio_cron_scheduler=warn" };
    // The driver looks for passwords at root's, where the process may not go any more.
    let roots = if account::left_root() { ",sqlx_postgres::options::pgpass=error" } else { "" };
    EnvFilter::new(format!("{level}{others}{roots}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_its_stream_and_not_by_the_variable_alone() {
        assert!(is_stream("8:4711", (8, 4711)));
        for other in ["", "8:471", "8:47110", "4711:8", "8", "8:4711 "] {
            assert!(!is_stream(other, (8, 4711)), "{other}");
        }
    }

    #[test]
    fn a_terminal_gets_text_a_pipe_gets_json() {
        let wish = |wanted, terminal| {
            let around = Surroundings { terminal, journal: false, colour: false };
            match form(wanted, &around).0 {
                Form::Pretty { .. } => "pretty",
                Form::Json => "json",
                Form::Journald(_) => "journald",
            }
        };
        assert_eq!(wish(LogFormat::Auto, true), "pretty");
        assert_eq!(wish(LogFormat::Auto, false), "json");
        assert_eq!(wish(LogFormat::Json, true), "json");
        assert_eq!(wish(LogFormat::Pretty, false), "pretty");
    }
}
