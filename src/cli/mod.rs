//! The command line: what can be asked, and how it is answered.
//!
//! One file per verb. A verb reads its arguments, calls the job that does the work and shows the
//! answer; it decides nothing itself.
//!
//! Never: a rule of billing, a statement, an answer without a JSON Schema.

use clap::{Parser, Subcommand};

use crate::demo;

mod adoption;
mod alerts;
mod caller;
mod capacity;
mod complete;
mod completions;
mod config;
mod dashboard;
mod db;
mod doctor;
mod drift;
mod events;
mod explain;
mod export;
mod failure;
mod findings;
mod forecast;
mod global;
mod ids;
mod interrupt;
mod limits;
pub(crate) mod orgs;
pub mod output;
pub(crate) mod owner;
mod packs;
mod periods;
pub(crate) mod rollover;
mod run;
mod runs;
mod said;
mod schedule;
mod schemas;
pub(crate) mod session;
mod statements;
mod status;
pub(crate) mod sync;
mod tiers;
pub(crate) mod times;
mod tokens;
mod usage;
mod users;
mod watch;
mod webhooks;
mod whole_file;

pub use complete::command;
pub use failure::{Exit, Failure};
pub use global::Global;
use output::Format;

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

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the daemon: close every period on time and run the scheduled jobs
    ///
    /// Runs until it is stopped, alone or beside other daemons on the same database. Schedules are
    /// set in the configuration; `periodd schedule next` shows them.
    Run(run::Args),
    /// Close ended periods and open the next ones, including any that were missed
    ///
    /// Does what the daemon's schedule does. Safe to repeat and to run beside a daemon: each period
    /// is closed once.
    Rollover(rollover::Args),
    /// Count pending usage; --full and --org also find and repair drift
    ///
    /// `usage_metrics` is the source of truth; counters and copies are derived from it. Safe to
    /// repeat and to run beside a daemon.
    Sync(sync::Args),
    /// Show everything about one customer, with what to do next
    Explain(explain::Args),
    /// Add, show, change and park orgs
    Orgs(orgs::Args),
    /// Add and list users of orgs
    Users(users::Args),
    /// Record and import usage
    Usage(usage::Args),
    /// Grant, list and refund packs of overage
    Packs(packs::Args),
    /// Show, apply and export tiers, their limits and packs on sale
    Tiers(tiers::Args),
    /// Override a limit of one org
    Limits(limits::Args),
    /// Compare forecasts with closed periods
    ///
    /// Says for each feature how far forecasts were off, beside two simple ones.
    Forecast(forecast::Args),
    /// Show problems, each with the command that fixes it
    Status(status::Args),
    /// Check schema, periods, books, zones, clocks, files and mail in depth; read-only
    Doctor(doctor::Args),
    /// Make, list and revoke tokens for the HTTP API
    Tokens(tokens::Args),
    /// Show the dashboard: without a daemon, as files, or logged in to the daemon's
    ///
    /// Pages for people, problems first: what comes next, every org, every run.
    Dashboard(dashboard::Args),
    /// Create, check and show the configuration
    Config(config::Args),
    /// List and show runs and skipped occurrences
    Runs(runs::Args),
    /// List what audits found wrong and repaired
    Drift(drift::Args),
    /// Show, pause and resume scheduled jobs
    Schedule(schedule::Args),
    /// Find crossed thresholds, send due emails, list emails
    Alerts(alerts::Args),
    /// List events, as programs read them
    Events(events::Args),
    /// List, apply, ping and resume endpoints of webhooks
    Webhooks(webhooks::Args),
    /// Show closed periods as finance reads them, with amounts that add up
    Statements(statements::Args),
    /// Export closes, packs, the ledger and adjustments, each row once
    Export(export::Args),
    /// Manage the database schema
    Db(db::Args),
    /// Print the period boundaries of any calendar; needs no database
    ///
    /// Prints the period that contains --at (any time; default now) and the following ones.
    /// Boundaries are midnights in the zone, or at --anchor-time, by the newest tz database
    /// available.
    Periods(periods::Args),
    /// Work out how large the database becomes and what it runs on; needs no database
    Capacity(capacity::Args),
    /// Run a sample company through several months, in its own state directory
    ///
    /// A dozen customers in a dozen time zones, on a new private PostgreSQL cluster; nothing else
    /// is touched. Its clock runs through five months in seconds, and the regular rollover closes
    /// each period: with daylight saving, packs that are drawn and expire, changes of tier and
    /// zone, and an outage that is caught up.
    Demo(demo::Args),
    /// Print shell completions, man pages and the schemas of answers
    Completions(completions::Args),
}

impl Cli {
    /// Shows why the command line cannot be read, or the help that was asked for, and returns the
    /// code to leave with.
    pub fn misread(error: clap::Error) -> Exit {
        said::misread(error)
    }

    /// Says why a command failed, in the format that was asked for, and returns the code to leave
    /// with.
    pub fn report(failure: &Failure, format: Format) -> Exit {
        said::failure(failure, format)
    }

    /// Runs the command.
    ///
    /// # Errors
    /// A [`Failure`]: the exit code to leave with, and the sentence for stderr.
    pub fn run(self) -> Result<Exit, Failure> {
        let Self { global, command } = self;
        command.requires_a_format_of_its_own(global.format)?;
        match command {
            Command::Run(args) => run::run(&args, &global),
            Command::Rollover(args) => rollover::run(&args, &global),
            Command::Sync(args) => sync::run(&args, &global),
            Command::Explain(args) => explain::run(&args, &global),
            Command::Status(args) => status::run(&args, &global),
            Command::Doctor(args) => doctor::run(&args, &global),
            Command::Orgs(args) => orgs::run(&args, &global),
            Command::Users(args) => users::run(&args, &global),
            Command::Tokens(args) => tokens::run(&args, &global),
            Command::Dashboard(args) => dashboard::run(&args, &global),
            Command::Limits(args) => limits::run(&args, &global),
            Command::Drift(args) => drift::run(&args, &global),
            Command::Forecast(args) => forecast::run(&args, &global),
            Command::Usage(args) => usage::run(&args, &global),
            Command::Packs(args) => packs::run(&args, &global),
            Command::Config(args) => config::run(&args, &global),
            Command::Runs(args) => runs::run(&args, &global),
            Command::Schedule(args) => schedule::run(&args, &global),
            Command::Alerts(args) => alerts::run(&args, &global),
            Command::Events(args) => events::run(&args, &global),
            Command::Webhooks(args) => webhooks::run(&args, &global),
            Command::Statements(args) => statements::run(&args, &global),
            Command::Export(args) => export::run(args, &global),
            Command::Db(args) => db::run(&args, &global),
            Command::Periods(args) => periods::run(&args, &global),
            Command::Capacity(args) => capacity::run(&args, &global),
            Command::Demo(args) => demo::run(&args, &global),
            Command::Tiers(args) => tiers::run(&args, &global),
            Command::Completions(args) => completions::run(&args, &global),
        }
    }
}

impl Command {
    /// Refuses a format that the command does not write.
    fn requires_a_format_of_its_own(&self, format: Format) -> Result<(), Failure> {
        let why_not = match format {
            Format::Table | Format::Json => return Ok(()),
            Format::Csv if self.answers_with_a_list() => return Ok(()),
            Format::Csv => "--format csv is for lists, such as `orgs list`; use --format json",
            Format::Jsonl | Format::Parquet if matches!(self, Self::Export(_)) => return Ok(()),
            Format::Jsonl | Format::Parquet => {
                "--format jsonl and parquet are for `export`; use --format json"
            }
            Format::Html | Format::Pdf if matches!(self, Self::Statements(_)) => return Ok(()),
            Format::Html | Format::Pdf => "--format html and pdf are for `statements`",
        };
        Err(Failure::usage(why_not))
    }

    /// Can the answer be written as CSV? It is then a list of rows.
    fn answers_with_a_list(&self) -> bool {
        match self {
            Self::Orgs(args) => args.answers_with_a_list(),
            Self::Usage(args) => args.answers_with_a_list(),
            Self::Packs(args) => args.answers_with_a_list(),
            Self::Runs(args) => args.answers_with_a_list(),
            Self::Schedule(args) => args.answers_with_a_list(),
            Self::Alerts(args) => args.answers_with_a_list(),
            Self::Drift(_) | Self::Periods(_) | Self::Export(_) | Self::Statements(_) => true,
            Self::Users(args) => args.answers_with_a_list(),
            Self::Tokens(args) => args.answers_with_a_list(),
            Self::Webhooks(args) => args.answers_with_a_list(),
            Self::Run(_)
            | Self::Rollover(_)
            | Self::Sync(_)
            | Self::Explain(_)
            | Self::Limits(_)
            | Self::Tiers(_)
            | Self::Status(_)
            | Self::Doctor(_)
            | Self::Forecast(_)
            | Self::Dashboard(_)
            | Self::Config(_)
            | Self::Events(_)
            | Self::Db(_)
            | Self::Capacity(_)
            | Self::Demo(_)
            | Self::Completions(_) => false,
        }
    }
}

fn exit_codes() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", codes.join("\n"))
}
