//! The pages as files in a directory.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

use super::super::output::{Output, Page, counted};
use super::super::owner::owner;
use super::super::session::Session;
use super::super::{Exit, Failure, Global};
use super::{browser, serve, surroundings};
use crate::config::Config;
use crate::http;
use crate::store::orgs;

/// An empty directory, held open: the process may become a user who does not find it by its name.
pub(super) struct Directory {
    path: PathBuf,
    handle: File,
    is_new: bool,
}

impl Directory {
    /// Opens the directory, and makes it where there is none: for this user alone, or for the one
    /// that this process becomes.
    ///
    /// # Errors
    /// Exit 2 for one that is not empty, or cannot be made.
    pub(super) fn open(path: &Path, global: &Global) -> Result<Self, Failure> {
        let is_new = match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => false,
            Ok(false) => {
                return Err(Failure::usage(format!(
                    "--html {}: the directory is not empty; name an empty or a new one",
                    path.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(|error| unwritable(path, &error))?;
                true
            }
            Err(error) => return Err(unwritable(path, &error)),
        };
        let handle = File::open(path).map_err(|error| unwritable(path, &error));
        let directory = Self { path: path.to_owned(), handle: handle?, is_new };
        if is_new {
            directory.hand_over(global)?;
        }
        Ok(directory)
    }

    /// Gives a directory that was made here to the user that this process becomes.
    fn hand_over(&self, global: &Global) -> Result<(), Failure> {
        let config = Config::load(global.config.as_deref(), Config::environment());
        let account = owner(&config.map_err(Failure::configuration)?)?;
        let given = account
            .map_or(Ok(()), |account| chown(&self.path, Some(account.uid), Some(account.gid)));
        given.map_err(|error| unwritable(&self.path, &error))
    }

    fn write(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(text)
    }
}

impl Drop for Directory {
    /// Removes a directory that was made for nothing, as well as this user can.
    fn drop(&mut self) {
        if self.is_new {
            // One that has files in it stays.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("--html {}: {error}", path.display()))
}

/// Writes the pages.
pub(super) async fn write(
    session: &Session,
    directory: &Directory,
    named: &[String],
    opens: bool,
) -> Result<Exit, Failure> {
    let mut slugs: Vec<String> = Vec::with_capacity(named.len());
    for org in named {
        let only = Some(orgs::find(&session.database, org).await?);
        let filter = orgs::Filter { only, ..orgs::Filter::default() };
        let found = orgs::list(&mut *session.database.connection().await?, &filter).await?;
        slugs.extend(found.into_iter().map(|org| org.slug));
    }
    slugs.sort_unstable();
    slugs.dedup();
    let around = surroundings(session).await?;
    let saved = http::save(around, &slugs).await.map_err(|error| match error {
        http::SaveError::Server(error) => serve::of_server(error),
        error => Failure::failed(error),
    })?;
    for file in &saved.files {
        directory.write(&file.name, &file.text).map_err(|error| {
            Failure::failed(format!("{}: {error}", directory.path.join(&file.name).display()))
        })?;
    }
    let first = directory.path.join("index.html");
    session.screen.show(&Written {
        page: first.display().to_string(),
        files: saved.files.len(),
        orgs: saved.orgs,
        more_orgs: saved.more_orgs,
    })?;
    if opens {
        browser::open(&first.display().to_string(), &session.screen);
    }
    Ok(Exit::Done)
}

/// What was written.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Written {
    /// The first page.
    page: String,
    /// How many files there are.
    files: usize,
    /// How many orgs have a page.
    orgs: usize,
    /// Whether there are orgs without a page.
    more_orgs: bool,
}

impl Output for Written {
    fn page(&self) -> Page {
        let Self { page, files, orgs, more_orgs } = self;
        let said = format!(
            "{} written, with pages of {}: open {page}",
            counted(*files, "file"),
            counted(*orgs, "org")
        );
        let page = Page::new().line(said);
        if *more_orgs {
            page.line("These are parked and overdue orgs first; name others with --org.")
        } else {
            page
        }
    }
}
