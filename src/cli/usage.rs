//! `periodd usage`: recording usage from a shell.

use uuid::Uuid;

use super::output::{Output, Page};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::{Instant, Quantity};
use crate::store::orgs;
use crate::store::usage::{self, NewUsage};

pub(super) mod import;
pub(super) mod limits;

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
    /// Record usage, unconditionally: the metric and its counters move together
    Record(Record),
    /// What an org may use, per feature: used, included, purchased, left
    Limits(limits::Limits),
    /// Whether an org may use so much of a feature now, and what is left of it
    Check(limits::Check),
    /// Import usage from a file of comma-separated values
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
    /// What was used
    #[arg(long, value_name = "F")]
    feature: String,
    /// How much, above zero, with at most 6 decimals
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    quantity: Quantity,
    /// When it was used: decides the period; now if not given
    #[arg(long, value_name = "T")]
    used_at: Option<Instant>,
    /// Who used it
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Idempotency key: a repeated one counts once
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// Take the quantity away again
    #[arg(long)]
    correction: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::Record(args) => {
            record(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Limits(args) => {
            limits::limits(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Check(args) => {
            limits::check(session, args).await?;
            Ok(Exit::Done)
        }
        Command::Import(args) => import::run(session, args).await,
    })
}

async fn record(session: &Session, args: &Record) -> Result<(), Failure> {
    if !args.quantity.is_positive() {
        return Err(Failure::usage(format!(
            "--quantity {} is not above zero; to take usage away, add --correction",
            args.quantity
        )));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let user = match &args.user {
        Some(email) => Some(orgs::find_user(&session.database, org, email).await?),
        None => None,
    };
    let now = session.now().await?;
    let used_at = args.used_at.unwrap_or(now);
    if used_at > now {
        return Err(Failure::refused(format!(
            "--used-at {used_at} lies in the future (it is {now}): record usage when it happens"
        )));
    }
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
        key: args.key.clone(),
    };
    let metric = usage::record(&session.database, &usage).await?;
    session.screen.show(&Recorded { metric, org, feature: usage.feature, quantity, used_at })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Recorded {
    metric: Uuid,
    org: Uuid,
    feature: String,
    quantity: Quantity,
    used_at: Instant,
}

impl Output for Recorded {
    fn page(&self) -> Page {
        let Self { metric, feature, quantity, used_at, .. } = self;
        Page::new().line(format!("recorded {quantity} {feature} used at {used_at} ({metric})"))
    }
}
