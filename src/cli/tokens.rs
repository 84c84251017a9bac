//! `periodd tokens`: who may use the HTTP API.

use jiff::Span;
use jiff::tz::TimeZone;

use super::output::{Cell, Output, Page, Table, Tone};
use super::session::{Schema, Session, with_session};
use super::times::Local;
use super::{Exit, Failure, Global};
use crate::billing::Instant;
use crate::command::Command as Proposed;
use crate::store::orgs;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::{self, NewToken, Scope, TokenRow};

const NOTES: &str = "Examples:
  periodd tokens add backend --scope read --scope record
  periodd tokens add acme-portal --scope read --org acme --expires 90d
  periodd tokens list
  periodd tokens revoke backend";
const ADD_NOTES: &str = "\
The token is shown once, on the standard output; only a digest of it is stored. Send it as
`Authorization: Bearer TOKEN`.

Examples:
  periodd tokens add backend --scope read --scope record
  periodd tokens add prometheus --scope metrics
  periodd tokens add acme-portal --scope read --org acme --expires 90d";

/// What `periodd tokens` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Make a token and show it once
    #[command(after_help = ADD_NOTES)]
    Add {
        /// Name for lists and logs
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
        /// What it permits; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// Only this org (slug or id) [default: all]
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Time until it expires, such as 90d or 12h [default: never]
        #[arg(long, value_name = "DURATION", value_parser = span)]
        expires: Option<Span>,
    },
    /// List tokens
    #[command(after_help = "Examples:\n  periodd tokens list")]
    List,
    /// Revoke a token; servers refuse it within 5 seconds
    #[command(after_help = "Examples:\n  periodd tokens revoke backend")]
    Revoke {
        /// Name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List)
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    let found = Scope::ALL.into_iter().find(|scope| scope.name() == text);
    found.ok_or_else(|| {
        let all = Scope::ALL.map(Scope::name).join(", ");
        format!("unknown scope; known scopes: {all}")
    })
}

/// How long a token is good for.
fn span(text: &str) -> Result<Span, String> {
    let span: Option<Span> = text.parse().ok();
    let span = span.filter(|span| span.is_positive());
    span.ok_or_else(|| "write a number with its unit, such as 90d or 12h".to_owned())
}

/// A name that fits into lists, logs and commands.
fn name(text: &str) -> Result<String, String> {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.len() <= 63 && text.chars().all(is_sound) {
        return Ok(text.to_owned());
    }
    Err("use at most 63 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
        .to_owned())
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::Add { name, scopes, org, expires } => {
            add(session, name, scopes, org.as_deref(), *expires).await
        }
        Command::List => list(session).await,
        Command::Revoke { name } => revoke(session, name).await,
    })
}

async fn add(
    session: &Session,
    name: &str,
    scopes: &[Scope],
    org: Option<&str>,
    expires: Option<Span>,
) -> Result<Exit, Failure> {
    let org_id = match org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let expires_at = match expires {
        None => None,
        Some(span) => {
            let now = session.database.now().await?.timestamp().to_zoned(TimeZone::UTC);
            let at = now.checked_add(span).map_err(|_| Failure::usage("--expires is too long"))?;
            Some(Instant::from(at.timestamp()))
        }
    };
    let secret = Secret::random().map_err(|error| {
        Failure::failed(format!("the system has no randomness for a token: {error}"))
    })?;
    let new = NewToken { name, digest: secret.digest(), scopes, org: org_id, expires_at };
    if !tokens::add(&mut *session.database.connection().await?, &new).await? {
        return Err(Failure::usage(format!(
            "a token named {name} exists already; choose another name, or revoke it first: {}",
            Proposed::periodd(["tokens", "revoke", name])
        )));
    }
    session.screen.note("this token is not shown again");
    session.screen.show(&Added {
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        org: org.map(str::to_owned),
        expires_at,
        token: secret.reveal().to_owned(),
    })?;
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let found = tokens::list(&mut *session.database.connection().await?, None).await?;
    let times = session.times().await?.utc();
    session.screen.show(&List { tokens: found, times })?;
    Ok(Exit::Done)
}

async fn revoke(session: &Session, name: &str) -> Result<Exit, Failure> {
    if !tokens::revoke(&mut *session.database.connection().await?, name).await? {
        return Err(Failure::usage(format!(
            "no valid token is named {name}; list them with: {}",
            Proposed::periodd(["tokens", "list"])
        )));
    }
    session.screen.show(&Revoked { name: name.to_owned(), revoked: true })?;
    Ok(Exit::Done)
}

/// A new token.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Added {
    name: String,
    scopes: Vec<Scope>,
    /// The only org that it is for; null: all.
    org: Option<String>,
    expires_at: Option<Instant>,
    /// The token itself, shown here alone.
    token: String,
}

impl Output for Added {
    fn page(&self) -> Page {
        Page::new().line(&self.token)
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(super) struct List {
    tokens: Vec<TokenRow>,
    #[serde(skip)]
    times: Local,
}

impl Output for List {
    fn page(&self) -> Page {
        if self.tokens.is_empty() {
            return Page::new().line("no tokens");
        }
        let mut table =
            Table::new(["name", "scopes", "org", "created", "expires", "last used", "state"]);
        for token in &self.tokens {
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
            let at = |at| self.times.at(at);
            let state = match token.revoked_at {
                Some(_) => Cell::text("revoked").tone(Tone::Warning),
                None => Cell::text("valid"),
            };
            table.row([
                Cell::text(&token.name),
                Cell::text(scopes.join(" ")),
                Cell::text(token.org.as_deref().unwrap_or("all")),
                Cell::whole(at(token.created_at)),
                Cell::whole(token.expires_at.map_or_else(|| "never".to_owned(), at)),
                Cell::whole(token.last_used_at.map_or_else(|| "never".to_owned(), at)),
                state,
            ]);
        }
        table.into()
    }
}

/// A revoked token.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Revoked {
    name: String,
    revoked: bool,
}

impl Output for Revoked {
    fn page(&self) -> Page {
        Page::new().line(format!("{} is revoked", self.name))
    }
}
