//! How emails travel: to a mail server, into a directory, or nowhere.
//!
//! Never: a word before TLS where TLS is required; an outcome that is guessed.

mod dialogue;
mod directory;
mod pool;
mod reply;
mod settings;
mod smtp;
mod stream;
mod words;

pub use directory::Directory;
pub use pool::Pace;
pub use settings::{Login, Settings, Tls, Unusable};
pub use smtp::Smtp;
pub use words::alike;

use std::path::PathBuf;

use super::email::Email;

/// Where emails go.
#[derive(Debug)]
pub enum Transport {
    /// To a mail server.
    Smtp(Box<Smtp>),
    /// Into a directory, as `.eml` files.
    Directory(Directory),
    /// Nowhere: everything counts as sent.
    None,
}

impl Transport {
    /// A mail server. Nothing is said to it yet.
    ///
    /// # Errors
    /// [`Unusable`] when the certificates cannot be read, or when emails would travel in the
    /// clear.
    pub fn smtp(settings: Settings) -> Result<Self, Unusable> {
        Ok(Self::Smtp(Box::new(Smtp::new(settings)?)))
    }

    /// A directory; made when the first email is written.
    pub const fn directory(path: PathBuf) -> Self {
        Self::Directory(Directory::new(path))
    }

    /// Sends one email, and says what became of it.
    ///
    /// Waits for its turn first: for the rate limit, and for one of the few connections. Any
    /// number of calls may wait side by side; more than [`Transport::concurrency`] gains nothing.
    /// The deadline per email begins when its turn has come.
    ///
    /// A call that is dropped half-way has sent the email, or not: as with
    /// [`SendError::Ambiguous`] it is sent again with the same Message-ID.
    pub async fn send(&self, email: &Email) -> Result<Sent, SendError> {
        match self {
            Self::Smtp(smtp) => smtp.send(email).await,
            Self::Directory(directory) => directory.write(email).await,
            Self::None => Ok(Sent { note: String::new() }),
        }
    }

    /// Goes as far as one can without sending anything: finds the mail server, sees its
    /// certificate, logs in, says goodbye. Returns where emails go.
    ///
    /// # Errors
    /// [`SendError::Unreachable`] or [`SendError::Credentials`].
    pub async fn greet(&self) -> Result<String, SendError> {
        match self {
            Self::Smtp(smtp) => smtp.greet().await,
            Self::Directory(directory) => Ok(directory.to_string()),
            Self::None => Ok("nowhere".to_owned()),
        }
    }

    /// How many emails can travel at once.
    pub fn concurrency(&self) -> usize {
        match self {
            Self::Smtp(smtp) => smtp.concurrency(),
            Self::Directory(_) | Self::None => 1,
        }
    }

    /// Ends the connections that wait for further emails, politely. To be called when a pass is
    /// over: servers do not like guests who stay without saying anything.
    pub async fn rest(&self) {
        if let Self::Smtp(smtp) = self {
            smtp.rest().await;
        }
    }
}

/// What whoever took the email said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The server's word (`250 2.0.0 Ok: queued as 4F1`), the path of the file, or nothing.
    pub note: String,
}

/// Why an email was not sent, by what can be done about it. Each holds one sentence without a
/// full stop, without control characters and without secrets, fit to be stored and listed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// Not this time: the server asked to come back later. Other emails may well go through.
    #[error("{0}")]
    Temporary(String),
    /// There was no server to talk to: down, out of reach, silent, or not who it should be. The
    /// next email will fare no better, and nobody's address is to blame.
    #[error("{0}")]
    Unreachable(String),
    /// The server does not know the recipient, and never will: the address is dead.
    #[error("{0}")]
    Refused(String),
    /// The server does not want this message, and never will; the address may be sound.
    #[error("{0}")]
    Rejected(String),
    /// The server refuses the recipient for good, and does not say what for.
    #[error("{0}")]
    Declined(String),
    /// The server takes no email of ours for this recipient: relaying, SPF, HELO, a block list. The
    /// address is not to blame, and others may be taken.
    #[error("{0}")]
    Barred(String),
    /// The server takes no email of this account or sender, whomever it is for.
    #[error("{0}")]
    Account(String),
    /// The server does not accept the login. The configuration has to be mended, and no email is
    /// given up for it.
    #[error("{0}")]
    Credentials(String),
    /// The connection ended after the whole email had been sent and before the server's word: it
    /// may have been accepted. To be sent again with the same Message-ID.
    #[error("{0}")]
    Ambiguous(String),
}
