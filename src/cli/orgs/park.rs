//! `periodd orgs park` and `unpark`: setting an org aside, and taking it back.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Tone};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::store::orgs;
use crate::store::settings::{self, Parking};

const PARK_NOTES: &str = "\
Rollover, sync and alerts pass a parked org over; application servers go on recording its usage, as
far as its stored ends reach.

Examples:
  periodd orgs park acme --reason 'migrating their data, see ticket 4711'";

const UNPARK_NOTES: &str = "\
What fell due in the meantime is closed by the next rollover. An org that cannot be processed is
parked again, with the reason.

Examples:
  periodd orgs unpark acme
  periodd rollover --org acme";

/// What `park` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = PARK_NOTES)]
pub(super) struct Park {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Why, in a sentence; status and explain show it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What `unpark` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = UNPARK_NOTES)]
pub(super) struct Unpark {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
}

/// Sets an org aside.
pub(super) async fn park(session: &Session, args: &Park) -> Result<Exit, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return Err(Failure::usage("--reason is one line of text, and not empty"));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let parked = settings::park(&session.database, org, reason, now).await?;
    let changed = parked.is_some();
    let parking = match parked {
        Some(parking) => Some(parking),
        None => settings::parking(&session.database, org).await?,
    };
    answer(session, args.org.clone(), org, parking, changed)
}

/// Takes an org back.
pub(super) async fn unpark(session: &Session, args: &Unpark) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let parking = settings::parking(&session.database, org).await?;
    let changed = match &parking {
        Some(parking) => settings::unpark(&session.database, org, parking.at).await?,
        None => false,
    };
    answer(session, args.org.clone(), org, parking.filter(|_| !changed), changed)
}

fn answer(
    session: &Session,
    name: String,
    org: Uuid,
    parked: Option<Parking>,
    changed: bool,
) -> Result<Exit, Failure> {
    session.screen.show(&Answer { org, name, parked, changed })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    org: Uuid,
    #[serde(skip)]
    name: String,
    /// How it stands now; null: it is not set aside.
    parked: Option<Parking>,
    /// Did this command change that?
    changed: bool,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Self { name, parked, changed, .. } = self;
        match (parked, changed) {
            (Some(Parking { reason, .. }), true) => Page::new()
                .line(Cell::text(format!("{name} is parked: {reason}")).tone(Tone::Warning)),
            (Some(Parking { at, reason }), false) => {
                Page::new().line(format!("{name} is parked since {at} already: {reason}"))
            }
            (None, true) => Page::new()
                .line(format!("{name} is not parked any more"))
                .line(format!("what is due is closed by: periodd rollover --org {name}")),
            (None, false) => Page::new().line(format!("{name} is not parked")),
        }
    }
}
