//! What an operator decides about a mail server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that decides how the mail server is spoken to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name or address; its certificate must be for it.
    pub host: String,
    pub port: u16,
    /// How the connection is kept private.
    pub tls: Tls,
    /// A file of certificates in PEM: the authorities that the server's certificate must come
    /// from. None: the system's.
    pub ca_file: Option<PathBuf>,
    /// Whom to log in as; none: nobody.
    pub login: Option<Login>,
    /// Connections at once, at most.
    pub max_connections: u32,
    /// Emails per second, at most.
    pub rate_per_second: u32,
    /// How long one email may take, from connecting to the server's word.
    pub timeout: Duration,
}

/// How the connection is kept private.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// Begins in the clear and must switch to TLS before anything is said.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: on this very machine only.
    None,
}

/// A name and a password, which nobody gets to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Settings that no email can be sent with; the sentence says why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);
