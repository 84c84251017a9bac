//! `periodd explain`: one page about one customer.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::session::{Schema, Session, with_session};
use super::sync::targets_besides_defaults;
use super::{Exit, Failure, Global};
use crate::jobs::explain;
use crate::store::derived::Target;

mod html;
pub(super) mod page;
mod picture;

pub(super) use page::findings;

const NOTES: &str = "\
The first thing to ask when a customer says that something is wrong: what is used, included, bought
and left, whether every stored copy of these numbers agrees, whether one more unit would be allowed
and if not why, and what to do about what is found. Nothing is changed.

Examples:
  periodd explain acme
  periodd explain ann@acme.example
  periodd explain acme --html acme.html
  periodd explain acme --at 2026-05-01T00:00:00Z --format json";

/// What `periodd explain` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Slug or id of an org, or the email of one of its users
    #[arg(value_name = "ORG")]
    subject: String,
    /// Write the page into a file as well, self-contained, to be opened in a browser
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    html: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let now = session.now().await?;
        let subject = explain::find(&session.database, &args.subject).await?;
        let derived = derived(session).await?;
        let (database, tz) = (&session.database, &session.tz);
        let found = explain::explain(database, tz, &derived, subject, now).await?;
        if let Some(file) = &args.html {
            let written = std::fs::File::create(file)
                .and_then(|mut to| to.write_all(html::document(&found, &session.tz).as_bytes()));
            written.map_err(|error| {
                Failure::usage(format!("cannot write {}: {error}", file.display()))
            })?;
            session.screen.note(&format!("written to {}", file.display()));
        }
        session.screen.show(&page::Answer::new(&found, &session.tz, session.screen.width()))?;
        Ok(Exit::Done)
    })
}

/// The configured columns beside those that every org has. A name that the database does not know
/// is a fault of the configuration, and no reason to say nothing of a customer.
async fn derived(session: &Session) -> Result<Arc<[Target]>, Failure> {
    match targets_besides_defaults(session).await {
        Ok(targets) => Ok(targets),
        Err(failure) if failure.exit == Exit::Configuration => {
            session.screen.note(&format!("{}; derived columns are left out", failure.message));
            Ok(Arc::from([]))
        }
        Err(failure) => Err(failure),
    }
}
