//! `periodd forecast`: how well forecasts did.

use super::output::{Cell, Format, Output, Page, Table, counted};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::forecast::backtest::Method;
use crate::jobs::usage::backtest::{self, Backtest};

const NOTES: &str = "\
Replays closed periods: at a quarter, half and three quarters of each, compares the forecast of that
moment with what was used in the end. Beside it are two simple forecasts: usage so far goes on
evenly, and the period ends as the last one did. `periodd explain` shows the forecast of now.

Columns:
  error   median error of the total, in percent of what was used
  days    median error of the day on which the included quantity was used up
  missed  periods in which it was used up without a warning
  false   periods with a warning in which it was not used up

Examples:
  periodd forecast --backtest
  periodd forecast --backtest --org acme --periods 12";

/// What `periodd forecast` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Compare forecasts with closed periods
    #[arg(long, required = true)]
    backtest: bool,
    /// Only this org (slug or id); repeatable [default: the first 1,000]
    #[arg(long, value_name = "ORG")]
    org: Vec<String>,
    /// Closed periods of each org
    #[arg(long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=120))]
    periods: u32,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| backtest(session, args).await)
}

async fn backtest(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let orgs = session.named_orgs(&args.org).await?;
    let mut connection = session.database.connection().await?;
    let found = backtest::backtest(&mut connection, &session.tz, &orgs, args.periods).await?;
    if session.screen.format() != Format::Json {
        if found.is_sample {
            session.screen.note(&format!("the first {} orgs; name others with --org", found.orgs));
        }
        if found.without_metrics > 0 {
            let periods = counted(found.without_metrics, "period");
            session.screen.note(&format!("skipped {periods} whose metrics have been removed"));
        }
    }
    session.screen.show(&Answer(found))?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct Answer(Backtest);

impl Output for Answer {
    fn page(&self) -> Page {
        let Self(found) = self;
        if found.figures.is_empty() {
            return Page::new()
                .line("nothing to compare: no closed period with a week of usage before it");
        }
        let headings = [
            "feature", "after", "forecast", "count", "error", "foreseen", "days", "missed", "false",
        ];
        let mut table = Table::new(headings);
        for row in &found.figures {
            table.row([
                Cell::text(&row.feature),
                Cell::number(format!("{} %", row.percent)),
                Cell::text(match row.method {
                    Method::Weekdays => "by weekdays",
                    Method::StraightLine => "straight line",
                    Method::LastPeriod => "last period",
                }),
                Cell::number(row.forecasts),
                Cell::number(format!("{} %", row.total_error_percent)),
                Cell::number(row.foreseen),
                Cell::number(row.days_off.map_or_else(String::new, |days| days.to_string())),
                Cell::number(row.missed),
                Cell::number(row.false_alarms),
            ]);
        }
        table.into()
    }
}
