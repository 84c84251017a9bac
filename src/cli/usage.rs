//! `periodd usage`: recording usage from a shell.

use uuid::Uuid;

use super::output::{Output, Page};
use super::session::{Schema, Session, with_session};
use super::times::Local;
use super::{Exit, Failure, Global};
use crate::billing::usage::{self as usage_rules, Implausible, Key};
use crate::billing::{Instant, Quantity, When};
use crate::store::orgs;
use crate::store::usage::{self, NewUsage};

pub(super) mod import;
pub(super) mod limits;
pub(super) mod set;

const NOTES: &str = "Examples:
  periodd usage record --org acme --feature minutes_transcribed --quantity 12.5
  periodd usage record --org acme --feature sms_sent --quantity 1 --key msg-77 \\
    --used-at 2026-05-01T09:30:00Z
  periodd usage record --org acme --feature sms_sent --quantity 3 --correction";

/// What `periodd usage` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Record usage unconditionally: adds a metric and updates its counters
    Record(Record),
    /// Set the level of a feature that does not reset, such as storage or seats
    Set(set::Set),
    /// Show the limits of an org per feature: used, included, purchased, left
    Limits(limits::Limits),
    /// Check whether an org may use a quantity of a feature now; exits 3 when it may not
    Check(limits::Check),
    /// Import usage from a CSV file
    Import(import::Args),
}

const RECORD_NOTES: &str = "Examples:
  periodd usage record --org acme --feature minutes_transcribed --quantity 12.5
  periodd usage record --org acme --feature sms_sent --quantity 3 --correction";

#[derive(clap::Args, Debug)]
#[command(after_help = RECORD_NOTES)]
struct Record {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Feature that was used
    #[arg(long, value_name = "F")]
    feature: String,
    /// Quantity, greater than zero, with at most 6 decimals
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantity: Quantity,
    /// Time of use, which decides the period; a date is its first instant [default: now]
    #[arg(long, value_name = "T")]
    used_at: Option<When>,
    /// User who used it
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Idempotency key; a repeated key counts once
    #[arg(long, value_name = "K")]
    key: Option<Key>,
    /// Subtract the quantity
    #[arg(long)]
    correction: bool,
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::Limits(_))
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    // The process may become a user who cannot read what its caller can.
    let opened = match &args.command {
        Command::Import(args) => Some(import::open(args)),
        _ => None,
    };
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::Record(args) => {
            record(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Set(args) => {
            set::set(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Limits(args) => {
            limits::limits(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Check(args) => limits::check(session, args).await,
        Command::Import(args) => {
            let opened = opened.unwrap_or_else(|| import::open(args))?;
            import::run(session, args, opened).await
        }
    })
}

async fn record(session: &Session, args: &Record) -> Result<(), Failure> {
    if !args.quantity.is_positive() {
        return Err(Failure::usage(format!(
            "--quantity {} must be greater than zero; to subtract usage, add --correction",
            args.quantity
        )));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let user = match &args.user {
        Some(email) => Some(orgs::find_user(&session.database, org, email).await?),
        None => None,
    };
    let now = session.believed_now().await?;
    let used_at = match args.used_at {
        Some(when) => session.instant(when, org).await?,
        None => now,
    };
    usage_rules::check_time(used_at, now).map_err(|why| match why {
        Implausible::Future { .. } => {
            Failure::refused(format!("--used-at {why}: record usage when it happens"))
        }
        Implausible::TooEarly(_) => Failure::usage(format!("--used-at {why}")),
    })?;
    let quantity = if args.correction {
        Quantity::ZERO.minus(args.quantity).map_err(Failure::usage)?
    } else {
        args.quantity
    };
    let usage = NewUsage {
        org,
        feature: args.feature.clone(),
        quantity,
        user,
        used_at,
        key: args.key.as_ref().map(Key::to_string),
    };
    let recorded = usage::record(&session.database, &usage).await?;
    let times = session.times().await?.local(&orgs::time_zone(&session.database, org).await?);
    session.screen.show(&Recorded {
        times,
        metric: recorded.metric,
        org,
        feature: recorded.feature,
        quantity: recorded.quantity,
        used_at: recorded.used_at,
        already_recorded_at: recorded.is_repeat.then_some(recorded.recorded_at),
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Recorded {
    metric: Uuid,
    org: Uuid,
    feature: String,
    quantity: Quantity,
    used_at: Instant,
    /// When an earlier call with the same key recorded it; null: this call did.
    already_recorded_at: Option<Instant>,
    #[serde(skip)]
    times: Local,
}

impl Output for Recorded {
    fn page(&self) -> Page {
        let Self { metric, feature, quantity, used_at, already_recorded_at, times, .. } = self;
        let what = format!("{quantity} {feature} used at {} ({metric})", times.at(*used_at));
        Page::new().line(match already_recorded_at {
            None => format!("recorded {what}"),
            Some(before) => {
                format!("already recorded at {}, nothing changed: {what}", times.at(*before))
            }
        })
    }
}
