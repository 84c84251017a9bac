//! `periodd orgs park` and `unpark`: setting an org aside, and taking it back.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Table, Tone};
use super::super::session::Session;
use super::super::times::Local;
use super::super::{Exit, Failure};
use crate::billing::parking::ParkedCode;
use crate::command::Command;
use crate::store::orgs;
use crate::store::orgs::settings::{self, ParkedOrg, Parking};

const PARK_NOTES: &str = "\
Rollover, sync and alerts skip a parked org. Applications can still record its usage, as far as its
stored period ends reach.

Examples:
  periodd orgs park acme --reason 'migrating their data, see ticket 4711'";

const UNPARK_NOTES: &str = "\
The next rollover closes the periods that ended meanwhile. An org that cannot be processed is parked
again, with the reason.

Examples:
  periodd orgs unpark acme
  periodd rollover --org acme
  periodd orgs unpark --all --code unreadable_row --yes";

/// What `park` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = PARK_NOTES)]
pub(super) struct Park {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Reason, shown by status and explain
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What `unpark` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = UNPARK_NOTES)]
pub(super) struct Unpark {
    /// Slug or id
    #[arg(value_name = "ORG", required_unless_present = "all", conflicts_with = "all")]
    org: Option<String>,
    /// Unpark every parked org
    #[arg(long)]
    all: bool,
    /// With --all: only orgs parked with this code
    #[arg(long, value_name = "CODE", requires = "all", value_parser = code)]
    code: Option<ParkedCode>,
}

/// Reads a kind of reason by its name.
fn code(text: &str) -> Result<ParkedCode, String> {
    let found = ParkedCode::ALL.into_iter().find(|code| code.name() == text);
    found.ok_or_else(|| {
        let all: Vec<&str> = ParkedCode::ALL.into_iter().map(ParkedCode::name).collect();
        format!("unknown code; use one of {}", all.join(", "))
    })
}

/// Sets an org aside.
pub(super) async fn park(session: &Session, args: &Park) -> Result<Exit, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Failure::usage("--reason must be one line of text and not empty"));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let parked = settings::park(&session.database, org, reason, now).await?;
    let changed = parked.is_some();
    let parking = match parked {
        Some(parking) => Some(parking),
        None => settings::parking(&session.database, org).await?,
    };
    let undo = changed.then(|| Command::periodd(["orgs", "unpark", &args.org]).to_string());
    answer(session, args.org.clone(), org, parking, undo).await
}

/// Takes an org back, or all of them.
pub(super) async fn unpark(session: &Session, args: &Unpark) -> Result<Exit, Failure> {
    let Some(name) = &args.org else { return unpark_all(session, args.code).await };
    let org = orgs::find(&session.database, name).await?;
    let parked = settings::parked(&session.database, Some(org), None).await?.into_iter().next();
    let changed = match &parked {
        Some(parked) => settings::unpark(&session.database, parked).await?,
        None => false,
    };
    let undo = parked.as_ref().filter(|_| changed).map(|parked| {
        let words = ["orgs", "park", name.as_str(), "--reason", &parked.reason];
        Command::periodd(words).to_string()
    });
    let next = changed.then(|| Command::periodd(["rollover", "--org", name.as_str()]).to_string());
    let parking = parked.filter(|_| !changed).map(ParkedOrg::into_parking);
    let times = session.times().await?.local(&orgs::time_zone(&session.database, org).await?);
    let answer = Answer { org, name: name.clone(), parked: parking, changed, undo, next, times };
    session.screen.show(&Unparked::One(answer))?;
    Ok(Exit::Done)
}

async fn unpark_all(session: &Session, code: Option<ParkedCode>) -> Result<Exit, Failure> {
    let parked = settings::parked(&session.database, None, code).await?;
    for kind in kinds(&parked) {
        session.screen.note(&kind);
    }
    session.confirm(parked.len(), "unpark").await?;
    let (mut unparked, mut changed) = (Vec::new(), Vec::new());
    for parked in parked {
        let done = settings::unpark(&session.database, &parked).await?;
        if done { &mut unparked } else { &mut changed }.push(parked);
    }
    session.screen.show(&Unparked::All { unparked, changed })?;
    Ok(Exit::Done)
}

/// How many orgs are parked for each kind of reason.
fn kinds(parked: &[ParkedOrg]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::new();
    for org in parked {
        *counts.entry(org.code.map_or("no code", ParkedCode::name)).or_insert(0_usize) += 1;
    }
    counts.into_iter().map(|(code, count)| format!("{code}: {count}")).collect()
}

async fn answer(
    session: &Session,
    name: String,
    org: Uuid,
    parked: Option<Parking>,
    undo: Option<String>,
) -> Result<Exit, Failure> {
    let changed = undo.is_some();
    let times = session.times().await?.local(&orgs::time_zone(&session.database, org).await?);
    session.screen.show(&Answer { org, name, parked, changed, undo, next: None, times })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    org: Uuid,
    #[serde(skip)]
    name: String,
    /// Its parking now; null: it is not parked.
    parked: Option<Parking>,
    /// Whether this command changed it.
    changed: bool,
    /// The command that undoes it.
    undo: Option<String>,
    /// The command that closes what fell due meanwhile.
    #[serde(skip)]
    next: Option<String>,
    #[serde(skip)]
    times: Local,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Self { name, parked, changed, undo, next, times, .. } = self;
        let page = match (parked, changed) {
            (Some(Parking { reason, .. }), true) => Page::new()
                .line(Cell::text(format!("{name} is parked: {reason}")).tone(Tone::Warning)),
            (Some(Parking { at, reason, .. }), false) => {
                let at = at.map_or_else(|| "?".to_owned(), |at| times.beside(at));
                Page::new().line(format!("{name} has been parked since {at} already: {reason}"))
            }
            (None, true) => Page::new().line(format!("{name} is no longer parked")),
            (None, false) => Page::new().line(format!("{name} is not parked")),
        };
        let page = match next {
            Some(next) => page.line(format!("close its due periods with: {next}")),
            None => page,
        };
        match undo {
            Some(undo) => page.line(format!("undo with: {undo}")),
            None => page,
        }
    }
}

/// What `unpark` answers: for one org, or for all.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(in crate::cli) enum Unparked {
    One(Answer),
    All {
        /// Orgs that are no longer parked, with their earlier parking.
        unparked: Vec<ParkedOrg>,
        /// Orgs whose parking was changed by somebody else meanwhile; it is kept.
        changed: Vec<ParkedOrg>,
    },
}

impl Output for Unparked {
    fn page(&self) -> Page {
        let (unparked, changed) = match self {
            Self::One(answer) => return answer.page(),
            Self::All { unparked, changed } => (unparked, changed),
        };
        if unparked.is_empty() && changed.is_empty() {
            return Page::new().line("no parked org has this code");
        }
        let mut table = Table::new(["no longer parked", "was parked for", "because"]);
        for ParkedOrg { slug, code, reason, .. } in unparked {
            let code = code.map_or("?", ParkedCode::name);
            table.row([Cell::text(slug), Cell::text(code), Cell::text(reason)]);
        }
        let mut page = Page::from(table);
        for parked in changed {
            page =
                page.line(format!("{} was parked again meanwhile and stays parked", parked.slug));
        }
        page.line(format!("close due periods with: {}", Command::periodd(["rollover"])))
    }
}
