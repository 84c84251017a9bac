//! The command line: what can be asked, and how it is answered.
//!
//! One file per verb. A verb reads its arguments, calls the job that does the work and shows the
//! answer; it decides nothing itself.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::billing::Instant;
use crate::clock;

mod adoption;
mod alerts;
mod complete;
mod completions;
mod config;
mod db;
mod demo;
mod doctor;
mod explain;
mod failure;
mod interrupt;
mod orgs;
pub mod output;
mod packs;
mod periods;
mod rollover;
mod run;
mod runs;
mod schedule;
mod schemas;
mod session;
mod status;
mod sync;
mod tiers;
mod usage;

pub use complete::command;
pub use failure::{Exit, Failure};
use output::{Format, Screen};

/// Closes billing periods on time, in every customer's own time zone.
#[derive(Parser, Debug)]
#[command(name = "periodd", version, max_term_width = 100, arg_required_else_help = true)]
#[command(propagate_version = true, infer_long_args = false, after_help = exit_codes())]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that every command understands.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Business time: what is due, open, late or expired is judged at T (RFC 3339)
    #[arg(long, global = true, value_name = "T")]
    pub at: Option<Instant>,

    /// How to write the answer
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,

    /// No notes and no progress on stderr; errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// More detail in the log; twice for everything
    #[arg(short, long = "verbose", global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Answer yes where a command asks for confirmation
    #[arg(long, short, global = true)]
    pub yes: bool,
}

impl Global {
    /// Where this run's answers and notes go.
    #[must_use]
    pub fn screen(&self) -> Screen {
        Screen::new(self.format, self.quiet)
    }

    /// `--at`, else the machine's clock: the business time of a command without a database.
    #[must_use]
    pub fn at_or_now(&self) -> Instant {
        self.at.unwrap_or_else(clock::now)
    }
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the daemon: close every period on time, and whatever else is scheduled
    ///
    /// Works until it is told to stop, on its own or beside others on the same database. What its
    /// schedules are is configuration; `periodd schedule next` shows them.
    Run(run::Args),
    /// Close what has ended, open what comes next; what is past is caught up
    ///
    /// The same code, guards and ledger as the schedule's. Safe to repeat and safe beside a
    /// running daemon: what is closed already is left alone.
    Rollover(rollover::Args),
    /// Count what waits; with --full or --org also look for drift, and mend it
    ///
    /// `usage_metrics` is the truth, everything else is derived from it and must say so when it
    /// lies. Safe to repeat, and safe beside a running daemon.
    Sync(sync::Args),
    /// Everything about one customer, with what to do next
    Explain(explain::Args),
    /// Add, show, change and set aside orgs
    Orgs(orgs::Args),
    /// Record and import usage
    Usage(usage::Args),
    /// Grant, list and refund packs of overage
    Packs(packs::Args),
    /// Tiers, what they include, and packs on sale
    Tiers(tiers::Args),
    /// How things stand: problems first, each with the command that mends it
    Status(status::Args),
    /// Look deeper: schema, periods, books, zones, clocks, files, mail; changes nothing
    Doctor(doctor::Args),
    /// Write, judge, show and describe the configuration
    Config(config::Args),
    /// List and show what ran, and what was left out
    Runs(runs::Args),
    /// Show when jobs run next; pause and resume them
    Schedule(schedule::Args),
    /// Look for crossed thresholds, send what is due, see what became of emails
    Alerts(alerts::Args),
    /// See to the database's schema
    Db(db::Args),
    /// Print the boundaries of any schedule; needs no database
    ///
    /// Prints the period that contains the time given by --at (any time; by default now) and the
    /// ones after it. Boundaries are midnights in the zone, from the newest tz database at hand.
    Periods(periods::Args),
    /// Run a sample company through several months, in a state directory of its own
    ///
    /// A dozen customers in a dozen time zones, on a private PostgreSQL cluster that is made for
    /// it: nothing that is there already is touched. A clock runs through five months in seconds,
    /// and the same rollover as everywhere closes what falls due, with daylight saving, packs that
    /// are drawn and expire, changes of tier and zone, and an outage that is caught up.
    Demo(demo::Args),
    /// Print what completes commands in a shell; write man pages, and schemas of answers
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// A [`Failure`]: the exit code to leave with, and the sentence for stderr.
    pub fn run(self) -> Result<Exit, Failure> {
        let Self { global, command } = self;
        match command {
            Command::Run(args) => run::run(&args, &global),
            Command::Rollover(args) => rollover::run(&args, &global),
            Command::Sync(args) => sync::run(&args, &global),
            Command::Explain(args) => explain::run(&args, &global),
            Command::Status(args) => status::run(&args, &global),
            Command::Doctor(args) => doctor::run(&args, &global),
            Command::Orgs(args) => orgs::run(&args, &global),
            Command::Usage(args) => usage::run(&args, &global),
            Command::Packs(args) => packs::run(&args, &global),
            Command::Config(args) => config::run(&args, &global),
            Command::Runs(args) => runs::run(&args, &global),
            Command::Schedule(args) => schedule::run(&args, &global),
            Command::Alerts(args) => alerts::run(&args, &global),
            Command::Db(args) => db::run(&args, &global),
            Command::Periods(args) => periods::run(&args, &global),
            Command::Demo(args) => demo::run(&args, &global),
            Command::Tiers(args) => tiers::run(&args, &global),
            Command::Completions(args) => completions::run(&args, &global),
        }
    }
}

fn exit_codes() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", codes.join("\n"))
}
