//! `periodd explain`: one page about one customer.
//!
//! Never: a write to the database.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::session::{Schema, Session, with_session};
use super::sync::{standing_request, targets_besides_defaults};
use super::{Exit, Failure, Global};
use crate::jobs::columns::ColumnLeftOut;
use crate::jobs::explain::{self, Explanation};
use crate::jobs::finding::Check;
use crate::jobs::sync::{self, Scope};
use crate::store::audit::derived::Target;

mod html;
pub(super) mod page;

const NOTES: &str = "\
The first command to run when a customer reports a problem. Shows what is used, included, purchased
and left, whether all stored copies of these numbers agree, whether one more unit would be allowed
and if not why, and how to fix each problem. Changes nothing.

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
    /// Also write the page to a self-contained HTML file, without the commands: to send or print
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    html: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    // The process may become a user who cannot write where its caller can.
    let page = args.html.as_deref().map(Document::open);
    with_session(global, Schema::Current, async |session| {
        let now = session.now().await?;
        let subject = explain::find(&session.database, &args.subject).await?;
        let derived = derived(session).await?;
        let (database, tz) = (&session.database, &session.tz);
        let mut found = explain::explain(database, tz, &derived, subject, now).await?;
        foresee_sync(session, &mut found).await?;
        let times = session.times().await?.local(&found.org.time_zone);
        if let Some(page) = page {
            let page = page?;
            page.write(&html::document(&found, times.clone()))?;
            session.screen.note(&format!("written to {}", page.path.display()));
        }
        session.screen.show(&page::Answer::new(&found, times, session.screen.width()))?;
        Ok(Exit::Done)
    })
}

/// Where numbers disagree, says what repairs them: the guard of the audit may refuse to.
async fn foresee_sync(session: &Session, found: &mut Explanation) -> Result<(), Failure> {
    if found.findings.iter().any(|finding| finding.check == Check::Drift) {
        let standing = standing_request(session).await?;
        let (scope, at) = (Scope::Orgs(vec![found.org.id]), Some(found.now));
        let request = sync::Request { scope, at, ..standing };
        let Ok(mend) = sync::repair(&session.database, request).await else { return Ok(()) };
        for finding in found.findings.iter_mut().filter(|found| found.check == Check::Drift) {
            finding.mend = Some(mend.clone());
        }
    }
    Ok(())
}

/// The file that the page is written into.
struct Document<'a> {
    path: &'a Path,
    file: File,
    is_new: bool,
}

impl<'a> Document<'a> {
    /// Opens the file; what is in it stays until there is something to write.
    fn open(path: &'a Path) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        Ok(Self { path, file: file.map_err(|error| unwritable(path, &error))?, is_new })
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        // What is no file, such as /dev/stdout, has nothing to be cut off.
        let empty = match self.file.metadata() {
            Ok(found) if found.is_file() => self.file.set_len(0),
            other => other.map(drop),
        };
        empty
            .and_then(|()| (&self.file).write_all(text.as_bytes()))
            .map_err(|error| unwritable(self.path, &error))
    }
}

impl Drop for Document<'_> {
    /// Removes a file that was made for nothing, as well as this user can.
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
        if self.is_new && is_empty {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}

/// The configured columns beside those that every org has. A name that the database does not know
/// is a fault of the configuration, and no reason to say nothing of a customer.
async fn derived(session: &Session) -> Result<Arc<[Target]>, Failure> {
    match targets_besides_defaults(session).await {
        Ok(columns) => {
            for ColumnLeftOut { column, reason, .. } in &columns.left_out {
                session.screen.note(&format!("{column} is left out: {reason}"));
            }
            Ok(columns.targets)
        }
        Err(failure) if failure.exit == Exit::Configuration => {
            session.screen.note(&format!("{}; derived columns are not shown", failure.message));
            Ok(Arc::from([]))
        }
        Err(failure) => Err(failure),
    }
}
