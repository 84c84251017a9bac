//! `periodd orgs remove` and `merge`: orgs that go, and what becomes of what they had.

use uuid::Uuid;

use super::super::output::{Cell, Output, Page, Table, Tone};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::command::Command;
use crate::jobs::orgs::departures::{self, Asked, Obstacles};
use crate::store::orgs;
use crate::store::orgs::departures::{Step, What};

const REMOVE_NOTES: &str = "\
Deletes everything that names somebody: users, contacts, emails. Closed periods, packs with their
ledger and metrics are kept as books, without users. While something is open (usage of the open
period, packs with something left), the removal is refused. --with-history removes the org as it
stands, books included.

Examples:
  periodd orgs remove acme --dry-run
  periodd orgs remove acme
  periodd orgs remove acme --with-history --yes";

const MERGE_NOTES: &str = "\
Users, contacts, packs, idempotency keys and the usage of FROM's open period become INTO's. That
usage counts in INTO's periods, on INTO's tier; to bill it to FROM, close it first with
`periodd rollover --early --org FROM`. FROM's closed periods stay its own books. INTO's limits and
settings hold; FROM's HTTP tokens are revoked.

Examples:
  periodd orgs merge bolt acme --dry-run
  periodd orgs merge bolt acme";

/// What `remove` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = REMOVE_NOTES)]
pub(super) struct Remove {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Remove its books as well, and what is still open
    #[arg(long)]
    with_history: bool,
    /// Show what would be removed and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What `merge` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = MERGE_NOTES)]
pub(super) struct Merge {
    /// Slug or id of the org that goes
    #[arg(value_name = "FROM")]
    from: String,
    /// Slug or id of the org that stays
    #[arg(value_name = "INTO")]
    into: String,
    /// Show what would be moved and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs `remove`.
pub(super) async fn remove(session: &Session, args: &Remove) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let asked = session.asked(args.dry_run).await?;
    let plan = departures::remove(
        &session.database,
        org,
        args.with_history,
        Asked { dry_run: true, ..asked },
    );
    let plan = plan.await.map_err(|error| to_remove(&args.org, error))?;
    let steps = if args.dry_run {
        plan
    } else {
        session.confirm_name(&args.org, "remove").await?;
        let removed = departures::remove(&session.database, org, args.with_history, asked).await;
        removed.map_err(|error| to_remove(&args.org, error))?
    };
    answer(session, (org, &args.org), None, steps, args.dry_run).await
}

/// Runs `merge`.
pub(super) async fn merge(session: &Session, args: &Merge) -> Result<Exit, Failure> {
    let from = orgs::find(&session.database, &args.from).await?;
    let into = orgs::find(&session.database, &args.into).await?;
    let asked = session.asked(args.dry_run).await?;
    let plan =
        departures::merge(&session.database, from, into, Asked { dry_run: true, ..asked }).await;
    let failed = |error| to_merge(&args.from, &args.into, error);
    let plan = plan.map_err(failed)?;
    let steps = if args.dry_run {
        plan
    } else {
        session.confirm_name(&args.from, "merge").await?;
        departures::merge(&session.database, from, into, asked).await.map_err(failed)?
    };
    answer(session, (from, &args.from), Some((into, &args.into)), steps, args.dry_run).await
}

async fn answer(
    session: &Session,
    (org, name): (Uuid, &str),
    into: Option<(Uuid, &str)>,
    steps: Vec<Step>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    // An org whose books are kept has another name from now on.
    let kept = match orgs::view(&session.database, org).await? {
        Some(view) if !dry_run => Some(view.slug),
        _ => None,
    };
    let (into, into_name) = into.map(|(id, name)| (id, name.to_owned())).unzip();
    let answer = Answer { org, name: name.to_owned(), into, into_name, dry_run, kept, steps };
    session.screen.show(&answer)?;
    Ok(if dry_run { Exit::Found } else { Exit::Done })
}

fn to_remove(org: &str, error: departures::Error) -> Failure {
    let hint = match &error {
        departures::Error::Open(open) => {
            let all = Command::periodd(["orgs", "remove", org, "--with-history"]);
            let first = first(org, open).map(|first| format!("{first}; or ")).unwrap_or_default();
            format!("; {first}remove all of it: {all}")
        }
        _ => String::new(),
    };
    let failure = Failure::from(error);
    Failure { message: format!("{org}: {}{hint}", failure.message), ..failure }
}

fn to_merge(from: &str, into: &str, error: departures::Error) -> Failure {
    let hint = match &error {
        departures::Error::Open(open) => {
            // What else comes first concerns the org that goes.
            let of_both = |step: &&Step| matches!(step.what, What::EndedPeriod | What::NoPeriod);
            let of_into = Obstacles(open.0.iter().filter(of_both).cloned().collect());
            let steps = [first(from, open), first(into, &of_into)];
            let steps: Vec<String> = steps.into_iter().flatten().collect();
            if steps.is_empty() { String::new() } else { format!("; {}", steps.join(", ")) }
        }
        _ => String::new(),
    };
    let failure = Failure::from(error);
    Failure { message: format!("{from}: {}{hint}", failure.message), ..failure }
}

/// The command that comes first; nothing where a person decides.
pub(in crate::cli) fn first(org: &str, open: &Obstacles) -> Option<String> {
    let words = open.0.iter().find_map(|step| match step.what {
        What::EndedPeriod | What::UnsettledPacks | What::NoPeriod => {
            Some(vec!["rollover", "--org", org])
        }
        What::UncountedUsage | What::LateUsage => Some(vec!["sync", "--org", org]),
        What::OpenUsage | What::DrawnPacks | What::EarlierUsage | What::OpenPurchases => {
            Some(vec!["rollover", "--early", "--org", org])
        }
        What::PacksLeft => Some(vec!["packs", "list", "--org", org, "--left"]),
        _ => None,
    });
    words.map(|words| format!("first: {}", Command::periodd(words)))
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    /// The org that goes.
    org: Uuid,
    #[serde(skip)]
    name: String,
    /// The org that it was merged into; null: it was removed.
    into: Option<Uuid>,
    #[serde(skip)]
    into_name: Option<String>,
    /// Nothing was written: this is what the command would do.
    dry_run: bool,
    /// The name under which its books are kept; null: nothing is kept, or a dry run.
    kept: Option<String>,
    /// What was done, or would be.
    steps: Vec<Step>,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Self { name, into_name, dry_run, kept, steps, .. } = self;
        let would = if *dry_run { "would be " } else { "" };
        let title = match into_name {
            Some(into) => format!("{name} {would}merged into {into}"),
            None => format!("{name} {would}removed"),
        };
        let mut page = Page::new().line(Cell::text(title).tone(Tone::Title));
        if !steps.is_empty() {
            let mut table = Table::new(["what", "feature", "quantity"]);
            for step in steps {
                table.row([
                    Cell::text(words(step.what, into_name.is_some())),
                    Cell::text(step.feature.as_deref().unwrap_or_default()),
                    Cell::number(step.quantity),
                ]);
            }
            page = page.table(table);
        }
        match kept {
            Some(kept) => page.line(format!("its books are kept as {kept}")),
            None => page,
        }
    }
}

/// A step in words.
fn words(what: What, moves: bool) -> &'static str {
    match what {
        What::Users if moves => "users moved",
        What::Users => "users deleted",
        What::Contacts if moves => "contacts moved",
        What::Contacts => "contacts deleted",
        What::Emails => "emails deleted",
        What::Limits => "own limits deleted",
        What::AlertSettings => "alert settings deleted",
        What::Tokens => "HTTP tokens revoked",
        What::Usage => "open usage moved",
        What::Packs if moves => "packs moved",
        What::Packs => "packs deleted",
        What::Periods => "closed periods deleted",
        What::Metrics => "metrics deleted",
        What::KeptPeriods => "closed periods kept",
        What::KeptPacks => "packs kept",
        What::KeptMetrics => "metrics kept, without users",
        _ => "other",
    }
}
