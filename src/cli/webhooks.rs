//! `periodd webhooks`: endpoints that are sent messages about events.

use serde::Serialize;

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::session::{Schema, Session, with_session};
use super::status::length;
use super::times::Local;
use super::{Exit, Failure, Global};
use crate::clock;
use crate::config::Config;
use crate::config::webhooks::Webhook;
use crate::jobs::events::webhooks::{self, NotApplied};
use crate::mail::webhook::Answered;
use crate::store::events::listeners::EndpointRow;

const NOTES: &str = "\
Endpoints are [[webhooks]] of the configuration. The daemon applies them when it starts and when it
reloads; the job `deliver` sends the messages.

Examples:
  periodd webhooks list
  periodd webhooks ping app
  periodd webhooks resume app";

/// What `periodd webhooks` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List endpoints with their pending messages and last failures
    #[command(
        after_help = "Examples:\n  periodd webhooks list\n  periodd webhooks list --format json"
    )]
    List,
    /// Apply [events] and [[webhooks]] of the configuration, where no daemon does
    ///
    /// From then on, events are written for the event table and queued for these endpoints, and for
    /// no others. Safe to repeat.
    #[command(after_help = "Examples:\n  periodd webhooks apply")]
    Apply,
    /// Send a signed message of kind periodd.ping to an endpoint; needs no database
    #[command(after_help = "Examples:\n  periodd webhooks ping app")]
    Ping {
        /// Name of the endpoint
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Switch an endpoint on again that answered 410, and end its waiting time
    #[command(after_help = "Examples:\n  periodd webhooks resume app")]
    Resume {
        /// Name of the endpoint
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List)
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if let Command::Ping { name } = &args.command {
        return ping(name, global);
    }
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::List => list(session).await,
        Command::Apply => apply(session).await,
        Command::Resume { name } => resume(session, name).await,
        // Above: it needs no database.
        Command::Ping { .. } => Ok(Exit::Done),
    })
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let mut connection = session.database.connection().await?;
    let endpoints = webhooks::endpoints(&mut connection, session.now().await?).await?;
    let times = session.times().await?.utc();
    session.screen.show(&List { endpoints, times })?;
    Ok(Exit::Done)
}

async fn apply(session: &Session) -> Result<Exit, Failure> {
    let applied = webhooks::apply(&session.database, &session.config).await?;
    let webhooks::Applied { changed, left_out } = applied;
    let names = session.config.webhooks.iter().map(|webhook| webhook.name.to_string());
    let is_applied = |name: &String| left_out.iter().all(|fault| fault.endpoint != *name);
    let webhooks = names.filter(is_applied).collect();
    let exit = if left_out.is_empty() { Exit::Done } else { Exit::Configuration };
    let events = session.config.events.enabled;
    session.screen.show(&Applied { changed, events, webhooks, left_out })?;
    Ok(exit)
}

async fn resume(session: &Session, name: &str) -> Result<Exit, Failure> {
    if !webhooks::resume(&session.database, name).await? {
        return Err(Failure::usage(unknown(name, &session.config)));
    }
    session.screen.show(&Resumed { endpoint: name.to_owned() })?;
    Ok(Exit::Done)
}

fn ping(name: &str, global: &Global) -> Result<Exit, Failure> {
    let config = Config::load(global.config.as_deref(), Config::environment())
        .map_err(Failure::configuration)?;
    let webhook = config.webhooks.iter().find(|webhook| webhook.name.as_str() == name);
    let webhook = webhook.ok_or_else(|| Failure::usage(unknown(name, &config)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let answer = runtime.block_on(greet(&config, webhook))?;
    global.screen().show(&Pinged { endpoint: name.to_owned(), answer })?;
    Ok(Exit::Done)
}

/// Pings an endpoint, and returns what it answered.
pub(super) async fn greet(config: &Config, webhook: &Webhook) -> Result<String, Failure> {
    let endpoint = webhooks::endpoint(config, webhook).map_err(Failure::configuration)?;
    let name = &webhook.name;
    match webhooks::ping(&endpoint, webhook, clock::now()).await {
        Answered::Accepted(words) => Ok(words),
        Answered::Refused(words) => {
            Err(Failure::failed(format!("the webhook {name} refused the message: {words}")))
        }
        Answered::Gone(words) | Answered::Later(words, _) | Answered::Unreachable(words) => {
            Err(Failure::unavailable(format!(
                "the webhook {name} took no message: {words}; check `url`"
            )))
        }
    }
}

fn unknown(name: &str, config: &Config) -> String {
    let known: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    match known[..] {
        [] => format!("unknown webhook `{name}`; the configuration has no [[webhooks]]"),
        _ => format!("unknown webhook `{name}`; the configuration has {}", known.join(", ")),
    }
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List {
    endpoints: Vec<EndpointRow>,
    #[serde(skip)]
    times: Local,
}

impl Output for List {
    fn page(&self) -> Page {
        if self.endpoints.is_empty() {
            return Page::new().line("no webhooks");
        }
        let mut table =
            Table::new(["endpoint", "state", "pending", "oldest", "given up", "last failure"]);
        for endpoint in &self.endpoints {
            let rests = endpoint.rests_until;
            let (state, tone) = match (endpoint.switched_off_at, rests) {
                (Some(_), _) => ("switched off".to_owned(), Tone::Bad),
                (None, Some(until)) => {
                    (format!("retried at {}", self.times.at(until)), Tone::Warning)
                }
                (None, None) => ("on".to_owned(), Tone::Good),
            };
            let oldest = endpoint.oldest.map(|at| self.times.relative(at)).unwrap_or_default();
            table.row([
                Cell::text(&endpoint.name),
                Cell::text(state).tone(tone),
                Cell::number(length(endpoint.due)),
                Cell::text(oldest),
                Cell::number(length(endpoint.given_up)),
                Cell::text(endpoint.answer.as_deref().unwrap_or_default()),
            ]);
        }
        table.into()
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Applied {
    /// Did anything change?
    changed: bool,
    /// Are events written to the event table?
    events: bool,
    /// The endpoints that are sent messages.
    webhooks: Vec<String>,
    /// Endpoints that could not be applied, each with the reason; they stay as they were.
    left_out: Vec<NotApplied>,
}

impl Output for Applied {
    fn page(&self) -> Page {
        let table = if self.events { "written" } else { "not written" };
        let endpoints = match self.webhooks.len() {
            0 => "no webhooks".to_owned(),
            count => format!("{}: {}", counted(count, "webhook"), self.webhooks.join(", ")),
        };
        let mut page = Page::new().line(format!("event table: {table}")).line(endpoints);
        for NotApplied { endpoint, reason } in &self.left_out {
            let line = format!("the webhook {endpoint} was not applied: {reason}");
            page = page.line(Cell::text(line).tone(Tone::Bad));
        }
        if self.changed { page } else { page.line("nothing changed") }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Resumed {
    endpoint: String,
}

impl Output for Resumed {
    fn page(&self) -> Page {
        Page::new().line(format!("the webhook {} is on", self.endpoint))
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Pinged {
    endpoint: String,
    /// Status and beginning of the answer.
    answer: String,
}

impl Output for Pinged {
    fn page(&self) -> Page {
        Page::new().line(format!("{} answered {}", self.endpoint, self.answer))
    }
}
