//! `periodd limits`: what one org is granted instead of what its tier includes.

use super::output::{Cell, Output, Page, Tone, or_unlimited};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::Quantity;
use crate::billing::quota::Included;
use crate::command::Command as Proposed;
use crate::jobs::limits::{self, Changed};
use crate::store::orgs;

const NOTES: &str = "\
Limits are read when a period closes, so a change applies to the open period, too. What had been
used within a higher limit stays included in that period. `periodd usage limits` shows what an org
may use.

Examples:
  periodd limits set --org acme --feature sms_sent --included 5000
  periodd limits set --org acme --feature scrapes --unlimited
  periodd limits set --org acme --feature sms_sent --reset";

/// What `periodd limits` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Override a limit of an org's tier, or remove the override
    #[command(after_help = NOTES)]
    Set(Set),
}

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("limit").required(true).multiple(false))]
struct Set {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Feature whose limit is set
    #[arg(long, value_name = "F")]
    feature: String,
    /// Included per period
    #[arg(long, value_name = "Q", allow_negative_numbers = true, group = "limit")]
    included: Option<Quantity>,
    /// No limit
    #[arg(long, group = "limit")]
    unlimited: bool,
    /// Remove the override: the tier's limit applies
    #[arg(long, group = "limit")]
    reset: bool,
    /// Print what would change and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let Command::Set(args) = &args.command;
    with_session(global, Schema::Current, async |session| set(session, args).await)
}

async fn set(session: &Session, args: &Set) -> Result<Exit, Failure> {
    let included = match args.included {
        Some(included) if included.is_negative() => {
            return Err(Failure::usage(format!("--included {included} must not be negative")));
        }
        Some(included) => Some(Included::Quantity(included)),
        None => args.unlimited.then_some(Included::Unlimited),
    };
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let feature = args.feature.to_lowercase();
    let changed =
        limits::set(&session.database, org, &feature, included, args.dry_run, now).await?;
    let is_changed = changed.is_changed();
    let undo = (is_changed && !args.dry_run).then(|| {
        let back = match changed.before {
            None => vec!["--reset".to_owned()],
            Some(Included::Unlimited) => vec!["--unlimited".to_owned()],
            Some(Included::Quantity(included)) => {
                vec!["--included".to_owned(), included.to_string()]
            }
        };
        let words = ["limits", "set", "--org", &args.org, "--feature", &feature];
        let back = back.iter().map(String::as_str);
        Proposed::periodd(words.into_iter().chain(back)).to_string()
    });
    session.screen.show(&Answer {
        org: args.org.clone(),
        before: changed.before.map(|limit| or_unlimited(limit.column())),
        after: included.map(|limit| or_unlimited(limit.column())),
        changed,
        dry_run: args.dry_run,
        undo,
    })?;
    Ok(if args.dry_run && is_changed { Exit::Found } else { Exit::Done })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    org: String,
    /// The override before, a quantity or `unlimited`; null without one.
    before: Option<String>,
    /// The override since.
    after: Option<String>,
    #[serde(flatten)]
    changed: Changed,
    dry_run: bool,
    /// The command that sets it back.
    undo: Option<String>,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let feature = &self.changed.feature;
        let words = |limit: &'_ Option<String>| {
            limit.clone().unwrap_or_else(|| "as the tier includes".to_owned())
        };
        let (before, after) = (words(&self.before), words(&self.after));
        let mut page = Page::new();
        page = if self.before == self.after {
            page.line(format!("{}: {feature} is {after} already", self.org))
        } else {
            page.line(format!("{}: {feature} {before} → {after}", self.org))
        };
        for limit in &self.changed.limits {
            let line = format!(
                "{} used of {} in the open period",
                limit.used,
                or_unlimited(limit.effective_limit)
            );
            let tone = if limit.is_exceeded() { Tone::Warning } else { Tone::Plain };
            page = page.line(Cell::text(line).tone(tone));
        }
        if self.dry_run {
            return page.line("dry run; nothing was changed");
        }
        match &self.undo {
            Some(undo) => page.line(format!("undo with: {undo}")),
            None => page,
        }
    }
}
