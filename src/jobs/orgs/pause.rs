//! Pausing an org, and having it resume.

use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::org::pause::{self, Beginning, Pause, Refused};
use crate::store::orgs::pausing;
use crate::store::{Attempts, Database, StoreError};

/// What became of it.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The pause as it stands, past or present.
    pub pause: Option<Pause>,
    pub reason: Option<String>,
    /// Did this change it?
    pub changed: bool,
}

/// Why an org was not paused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the org has just gone")]
    Gone,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is asked of the pause of an org.
#[derive(Debug, Clone)]
pub enum Asked {
    Pause { beginning: Beginning, until: Option<Instant>, reason: String },
    Resume,
}

/// Pauses an org, or has it resume.
///
/// # Errors
/// [`Error`].
pub async fn change(
    database: &Database,
    org: Uuid,
    asked: &Asked,
    now: Instant,
) -> Result<Changed, Error> {
    let mut attempts = Attempts::default();
    loop {
        match once(database, org, asked, now).await {
            Err(Error::Store(error)) if attempts.again(&error) => {}
            other => return other,
        }
    }
}

async fn once(
    database: &Database,
    org: Uuid,
    asked: &Asked,
    now: Instant,
) -> Result<Changed, Error> {
    let mut connection = database.connection().await?;
    let read = pausing::read(&mut connection, org).await?.ok_or(Error::Gone)?;
    let (pause, reason) = match asked {
        Asked::Pause { beginning, until, reason } => {
            let pause = pause::pause(read.pause, (*beginning, *until), read.open_end, now)?;
            (Some(pause), Some(reason.clone()))
        }
        Asked::Resume => match pause::resume(read.pause, now) {
            Some(Some(ended)) => (Some(ended), read.reason.clone()),
            Some(None) => (None, None),
            None => (read.pause, read.reason.clone()),
        },
    };
    let changed = (pause, &reason) != (read.pause, &read.reason);
    if changed {
        pausing::write(&mut connection, org, &read, pause, reason.as_deref()).await?;
    }
    Ok(Changed { pause, reason, changed })
}
