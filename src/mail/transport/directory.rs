//! A directory that emails are written into, as `.eml` files that mail programs open.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions, create_dir_all, remove_file, rename};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{SendError, Sent};
use crate::mail::email::Email;

/// A directory for emails; made when the first one is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Directory {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes one email, whole or not at all. Written again it replaces itself.
    pub(super) async fn write(&self, email: &Email) -> Result<Sent, SendError> {
        let file = self.path.join(format!("{}.eml", email.file_stem));
        match self.write_to(&file, email).await {
            Ok(()) => Ok(Sent { note: file.display().to_string() }),
            Err(why) => {
                let file = file.display();
                Err(SendError::Temporary(format!("the email cannot be written to {file}: {why}")))
            }
        }
    }

    async fn write_to(&self, file: &Path, email: &Email) -> std::io::Result<()> {
        create_dir_all(&self.path).await?;
        // Another process may be writing the same email, after its lease on it ran out. The name
        // cannot be foreseen, and what bears it already, a link above all, is not written to.
        let beside = self.path.join(format!(".{}.{}.tmp", email.file_stem, Uuid::new_v4()));
        let written = async {
            // Emails speak of customers: not for every user of the machine.
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o640);
            let mut out = options.open(&beside).await?;
            out.write_all(&email.message).await?;
            // The outbox will say that it was sent: it must survive what the database survives.
            out.sync_all().await?;
            rename(&beside, file).await?;
            File::open(&self.path).await?.sync_all().await
        };
        let result = written.await;
        if result.is_err() {
            // Best effort: the error that counts is the first one.
            let _ = remove_file(&beside).await;
        }
        result
    }
}
