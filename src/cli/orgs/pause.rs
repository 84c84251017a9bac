//! `periodd orgs pause` and `resume`: a customer who uses nothing and pays nothing for a while.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Tone};
use super::super::session::Session;
use super::super::times::Local;
use super::super::{Exit, Failure};
use crate::billing::When;
use crate::billing::org::pause::{Beginning, Pause, Refused};
use crate::command::Command;
use crate::jobs::orgs::pause::{self, Asked, Changed, Error};
use crate::store::orgs;

const PAUSE_NOTES: &str = "\
Increments of a paused org are refused, and it gets no alerts. Periods that lie within the pause
altogether are closed as paused: nothing is included, and packs are kept. Usage can still be
recorded. An org that is paused already keeps the beginning of its pause, and gets the new end and
reason.

Examples:
  periodd orgs pause acme --reason 'closed for the winter' --until 2027-03-01
  periodd orgs pause acme --from period-end --reason 'asked for in ticket 4711'";

const RESUME_NOTES: &str = "\
The period that contains now includes its full quantity. A pause that has not begun is removed.

Example:
  periodd orgs resume acme";

/// What `pause` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = PAUSE_NOTES)]
pub(super) struct PauseArgs {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Start of the pause: now, or the end of the open period
    #[arg(long, value_name = "WHEN", default_value = "now", value_parser = ["now", "period-end"])]
    from: String,
    /// End of the pause; a date is its first instant [default: until `orgs resume`]
    #[arg(long, value_name = "T")]
    until: Option<When>,
    /// Reason, shown by `orgs show` and explain
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What `resume` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = RESUME_NOTES)]
pub(super) struct ResumeArgs {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
}

/// Pauses an org.
pub(super) async fn pause(session: &Session, args: &PauseArgs) -> Result<Exit, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Failure::usage("--reason must be one line of text and not empty"));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let until = match args.until {
        Some(when) => Some(session.instant(when, org).await?),
        None => None,
    };
    let beginning = if args.from == "period-end" { Beginning::PeriodEnd } else { Beginning::Now };
    let asked = Asked::Pause { beginning, until, reason: reason.to_owned() };
    change(session, &args.org, org, &asked).await
}

/// Has an org resume.
pub(super) async fn resume(session: &Session, args: &ResumeArgs) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    change(session, &args.org, org, &Asked::Resume).await
}

async fn change(session: &Session, name: &str, org: Uuid, asked: &Asked) -> Result<Exit, Failure> {
    let now = session.now().await?;
    let changed = pause::change(&session.database, org, asked, now).await;
    let changed = changed.map_err(|error| failure(name, error))?;
    let times = session.times().await?.local(&orgs::time_zone(&session.database, org).await?);
    let Changed { pause, reason, changed } = changed;
    let is_paused = pause.is_some_and(|pause| pause.contains(now));
    let is_coming = pause.is_some_and(|pause| now < pause.from);
    let name = name.to_owned();
    session.screen.show(&Answer {
        org,
        name,
        pause,
        reason,
        is_paused,
        is_coming,
        changed,
        times,
    })?;
    Ok(Exit::Done)
}

fn failure(name: &str, error: Error) -> Failure {
    let command = |words: &[&str]| Command::periodd(words.iter().copied());
    match error {
        Error::Store(error) => error.into(),
        Error::Gone => Failure::usage(format!("the org `{name}` has just gone")),
        Error::Refused(why @ Refused::Due) => {
            let rollover = command(&["rollover", "--org", name]);
            Failure::refused(format!("{name} cannot be paused: {why}; run `{rollover}` first"))
        }
        Error::Refused(why @ Refused::NoEnd) => Failure::usage(format!(
            "{name} cannot be paused from the end of its period: {why}; leave --from out"
        )),
        Error::Refused(why @ Refused::Ended) => {
            Failure::usage(format!("{name} cannot be paused: {why}; give a later --until"))
        }
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    org: Uuid,
    #[serde(skip)]
    name: String,
    /// The pause, past or present; null: none.
    pause: Option<Pause>,
    /// Its reason.
    reason: Option<String>,
    /// Whether the org is paused now.
    is_paused: bool,
    #[serde(skip)]
    is_coming: bool,
    /// Whether this command changed it.
    changed: bool,
    #[serde(skip)]
    times: Local,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Self { name, pause, reason, is_paused, is_coming, times, .. } = self;
        let Some(pause) = pause.filter(|_| *is_paused || *is_coming) else {
            let word = if self.changed { "is no longer paused" } else { "is not paused" };
            return Page::new().line(format!("{name} {word}"));
        };
        let until = pause.until.map_or_else(
            || format!("`{}`", Command::periodd(["orgs", "resume", name.as_str()])),
            |until| times.beside(until),
        );
        let since = if *is_paused { "since" } else { "from" };
        let reason = reason.as_deref().unwrap_or("no reason was given");
        let said = format!(
            "{name} is paused {since} {} until {until}: {reason}",
            times.beside(pause.from)
        );
        let page = Page::new().line(Cell::text(said).tone(Tone::Warning));
        if self.changed { page } else { page.line("nothing changed") }
    }
}
