//! `periodd alerts`: thresholds that were crossed, and the emails about them.

use serde_json::json;
use uuid::Uuid;

use super::output::{Cell, Output, Page, Tone, counted};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::address;
use crate::daemon::work::Job;
use crate::jobs::alerts::{self, Report};
use crate::jobs::deliver::{self, Post};
use crate::mail::SendError;

pub(super) mod list;
pub(super) mod preview;

const NOTES: &str = "Examples:
  periodd alerts run
  periodd alerts list --org acme --state given_up
  periodd alerts preview acme --feature minutes_transcribed
  periodd alerts preview acme --html > alert.html
  periodd alerts test you@example.com
  periodd alerts resend 6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d";

/// What `periodd alerts` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Look for crossed thresholds, then send what is due
    ///
    /// Looks at what has moved since the last pass, limits included, and once a day at everything.
    /// Safe to repeat, and beside a running daemon: each threshold is told once.
    #[command(after_help = "Examples:\n  periodd alerts run\n  periodd alerts run --full")]
    Run {
        /// Look at everything now
        #[arg(long)]
        full: bool,
    },
    /// List emails, alerts that wait for a recipient, and dead addresses
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts list\n\
        \x20 periodd alerts list --org acme --state given_up")]
    List(list::Args),
    /// Send an email once more, with the Message-ID that it had
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts resend 6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d")]
    Resend {
        /// The email, as `alerts list` shows it
        #[arg(value_name = "ID")]
        id: Uuid,
    },
    /// Send a made-up warning to an address, to see whether emails arrive
    #[command(after_help = "Examples:\n  periodd alerts test you@example.com")]
    Test {
        /// Where to
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
    /// Write the email that an org would get now, without sending it
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts preview acme --feature minutes_transcribed\n\
        \x20 periodd alerts preview acme --html > alert.html")]
    Preview(preview::Args),
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::Run { full } => pass(session, *full).await,
        Command::List(args) => list::run(session, args).await,
        Command::Resend { id } => resend(session, *id).await,
        Command::Test { address } => test(session, address).await,
        Command::Preview(args) => preview::run(session, args).await,
    })
}

fn post(session: &Session) -> Result<Post, Failure> {
    Post::of(&session.config).map_err(Failure::configuration)
}

async fn pass(session: &Session, full: bool) -> Result<Exit, Failure> {
    let at = session.business_time(false).await?;
    // What is wrong with the post is said before anything is recorded.
    let post = post(session)?;
    let stop = session.stop_between_batches();
    session
        .recorded(Job::Alerts, false, async |_| {
            let standing = alerts::Request::of(&session.config);
            let request = alerts::Request { full, at, stop: stop.clone(), ..standing };
            let alerts = alerts::run(&session.database, &request).await?;
            let request = deliver::Request { at, stop, ..deliver::Request::of(&session.config) };
            let emails = deliver::run(&session.database, &session.tz, &post, &request).await?;
            let exit = session.exit(exit(&emails));
            let counts = json!({ "alerts": alerts, "emails": emails });
            session.screen.show(&Answer { alerts: Some(alerts), emails })?;
            Ok((exit, counts))
        })
        .await
}

fn exit(emails: &deliver::Report) -> Exit {
    match emails {
        emails if emails.gave_up() => Exit::Partly,
        deliver::Report { locked_out: Some(_), .. } => Exit::Configuration,
        deliver::Report { unreachable: Some(_), .. } => Exit::Unavailable,
        _ => Exit::Done,
    }
}

async fn resend(session: &Session, id: Uuid) -> Result<Exit, Failure> {
    let at = session.business_time(false).await?;
    let post = post(session)?;
    if !post.carries() {
        return Err(no_transport());
    }
    let request = deliver::Request { at, ..deliver::Request::of(&session.config) };
    let emails = deliver::again(&session.database, &session.tz, &post, &request, id).await?;
    let exit = if emails.postponed > 0 && exit(&emails) == Exit::Done {
        Exit::Failed
    } else {
        exit(&emails)
    };
    session.screen.show(&Answer { alerts: None, emails })?;
    Ok(exit)
}

fn no_transport() -> Failure {
    Failure::refused(
        "[mail] transport is \"none\", so nothing can be sent; set it to \"smtp\" or \"directory\"",
    )
}

async fn test(session: &Session, to: &str) -> Result<Exit, Failure> {
    address::check(to).map_err(Failure::usage)?;
    let post = post(session)?;
    if !post.carries() {
        return Err(no_transport());
    }
    let now = session.now().await?;
    match post.send_test(to, now).await {
        Ok(answer) => {
            session.screen.show(&Tested { address: to.to_owned(), answer })?;
            Ok(Exit::Done)
        }
        Err(error) => Err(match error {
            SendError::Unreachable(_) | SendError::Temporary(_) | SendError::Ambiguous(_) => {
                Failure::unavailable(error)
            }
            SendError::Credentials(_) => Failure::configuration(error),
            SendError::Refused(_) | SendError::Rejected(_) => Failure::failed(error),
        }),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Tested {
    address: String,
    answer: String,
}

impl Output for Tested {
    fn page(&self) -> Page {
        Page::new().line(format!("sent to {}: {}", self.address, self.answer))
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Report>,
    emails: deliver::Report,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let mut page = Page::new();
        if let Some(alerts) = &self.alerts {
            page = alert_lines(page, alerts);
        }
        let deliver::Report { sent, postponed, given_up, expired, suppressed, .. } = self.emails;
        let lines = [
            (sent, "sent", Tone::Good),
            (postponed, "to be tried again", Tone::Warning),
            (given_up, "given up", Tone::Bad),
            (expired, "given up because the period has ended", Tone::Bad),
            (suppressed, "to an address that does not exist", Tone::Bad),
        ];
        for (count, words, tone) in lines.into_iter().filter(|(count, ..)| *count > 0) {
            let line = format!("{} {words}", counted(count, "email"));
            page = page.line(Cell::text(line).tone(tone));
        }
        let reasons = [&self.emails.unreachable, &self.emails.locked_out];
        for why in reasons.into_iter().flatten() {
            page = page.line(Cell::text(format!("the mail server: {why}")).tone(Tone::Bad));
        }
        if self.emails.gave_up() {
            page = page.line("what was given up: periodd alerts list --state given_up");
        }
        page
    }
}

fn alert_lines(page: Page, alerts: &Report) -> Page {
    let Report { notified, waiting, recorded, .. } = alerts;
    if notified + waiting + recorded == 0 {
        return page.line("no threshold was newly crossed");
    }
    let told = counted(notified + waiting + recorded, "alert");
    let emails = counted(alerts.emails, "email");
    let page = page.line(format!("{told}, {emails} queued"));
    match *waiting {
        0 => page,
        waiting => {
            let line = format!("{} without anybody to tell", counted(waiting, "alert"));
            page.line(Cell::text(line).tone(Tone::Warning))
        }
    }
}
