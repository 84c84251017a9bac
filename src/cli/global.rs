//! The flags that every command has.

use std::path::PathBuf;

use clap::ArgAction;

use super::output::{Format, Screen};
use crate::billing::when::InvalidWhen;
use crate::billing::{Instant, When, Zone};
use crate::clock;

/// The flags that every command understands.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Business time, which decides what is due, open, late or expired: RFC 3339, a date in UTC,
    /// or relative (2h ago, yesterday) [default: now]
    #[arg(long, global = true, value_name = "T")]
    pub at: Option<When>,

    /// Show times in UTC instead of the org's time zone
    #[arg(long, global = true)]
    pub utc: bool,

    /// Output format
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,

    /// Suppress notes and progress on stderr; errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// More detail in the log (-vv for all)
    #[arg(short, long = "verbose", global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Confirm without asking
    #[arg(long, short, global = true)]
    pub yes: bool,
}

impl Global {
    /// Where this run's answers and notes go.
    pub fn screen(&self) -> Screen {
        Screen::new(self.format, self.quiet)
    }

    /// `--at`, else the machine's clock: the business time of a command without a database.
    ///
    /// # Errors
    /// [`InvalidWhen`] beyond the years 1 to 9999.
    pub fn at_or_now(&self, zone: &Zone) -> Result<Instant, InvalidWhen> {
        let now = clock::now();
        self.at.map_or(Ok(now), |when| when.at(zone, now))
    }
}
