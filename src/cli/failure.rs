//! How a command ends: the exit codes, and the one sentence that goes with a bad one.

use std::fmt;
use std::process::ExitCode;

use schemars::JsonSchema;

use crate::command::Command;
use crate::daemon;
use crate::jobs;
use crate::jobs::instance::ServerError;
use crate::store::StoreError;
use crate::text;

/// The exit codes. They are part of the contract: scripts and service managers act on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The command line is wrong, or names something that does not exist.
    Usage = 2,
    /// A check, a dry run, `status`, `doctor` or `db verify` found something; `usage check` says
    /// that the quantity is not allowed.
    Found = 3,
    /// Partly done: this run parked orgs or gave up emails.
    Partly = 4,
    /// A guard refused, or `--at` is in the future without a sandbox.
    Refused = 5,
    /// The database or the mail server cannot be reached (`EX_UNAVAILABLE` of sysexits).
    Unavailable = 69,
    /// The configuration is wrong, or the database is newer than the binary (`EX_CONFIG`).
    Configuration = 78,
    /// Interrupted from the keyboard (128 + SIGINT, as shells count).
    Interrupted = 130,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Found,
        Self::Partly,
        Self::Refused,
        Self::Unavailable,
        Self::Configuration,
        Self::Interrupted,
    ];

    /// The number that the process leaves with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the code means, as `--help` says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "failed",
            Self::Usage => "usage error, or an argument names something that does not exist",
            Self::Found => {
                "a check, a dry run, status, doctor or db verify found something; usage check: not \
                 allowed"
            }
            Self::Partly => "partly done: orgs were parked or emails given up",
            Self::Refused => {
                "refused by a safety check, or --at is in the future without a sandbox"
            }
            Self::Unavailable => "database or mail server unavailable",
            Self::Configuration => "invalid configuration, or a database newer than this program",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked to: an exit code and one sentence that says what,
/// where and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The code to leave with.
    pub exit: Exit,
    /// The sentence, without the program's name and without a full stop.
    pub message: String,
    /// Did it wait in vain for what another session holds?
    pub is_held: bool,
}

impl Failure {
    /// A failure with that code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        let message = text::visible(&message.to_string()).into_owned();
        Self { exit, message, is_held: false }
    }

    /// The command failed: exit 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An argument is wrong or names nothing: exit 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A guard refused, and nothing was written: exit 5.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The database or the mail server cannot be reached: exit 69.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// The configuration is wrong, or the database is newer than the binary: exit 78.
    pub fn configuration(message: impl fmt::Display) -> Self {
        // A file's problems are a list, each with its line of the file.
        let message = text::visible_lines(&message.to_string());
        Self { exit: Exit::Configuration, message, is_held: false }
    }

    /// Interrupted from the keyboard: exit 130.
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self::new(Exit::Interrupted, message)
    }

    /// The same with who holds what it waited for, where that was seen.
    pub fn naming(self, holders: Option<String>) -> Self {
        match holders.filter(|_| self.is_held) {
            Some(who) => {
                let message = format!("{}; {}", self.message, text::visible(&who));
                Self { message, ..self }
            }
            None => self,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Unavailable(_) => Exit::Unavailable,
            StoreError::Invalid(_) => Exit::Usage,
            // Rows to be repaired are a list.
            StoreError::Configuration(_) => return Self::configuration(error),
            StoreError::Outdated(_) | StoreError::Missing(_) => Exit::Configuration,
            StoreError::Clock(_) => {
                return Self::refused(format!(
                    "{error}: correct the wrong clock (timedatectl set-ntp true); if the \
                     database's clock is right, confirm it with `{}`",
                    Command::periodd(["rollover", "--force"])
                ));
            }
            StoreError::Conflict(_)
            | StoreError::MaybeConflict { .. }
            | StoreError::Held(_)
            | StoreError::Cancelled(_)
            | StoreError::Unprocessable(_)
            | StoreError::Refused { .. }
            | StoreError::Failed(_) => Exit::Failed,
        };
        Self { is_held: error.is_held(), ..Self::new(exit, error) }
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Self {
        match error {
            daemon::Error::Store(error) => error.into(),
            daemon::Error::Configuration(error) => Self::configuration(error),
            daemon::Error::Unavailable(message) => Self::unavailable(message),
            other => Self::failed(other),
        }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Configuration(error) => Self::configuration(error),
            ServerError::Cluster(error) => Self::unavailable(error),
            error @ ServerError::Task(_) => Self::failed(error),
        }
    }
}

impl From<jobs::orgs::Error> for Failure {
    fn from(error: jobs::orgs::Error) -> Self {
        match error {
            jobs::orgs::Error::Store(error) => error.into(),
            other => Self::usage(other),
        }
    }
}

impl From<jobs::refund::Error> for Failure {
    fn from(error: jobs::refund::Error) -> Self {
        match error {
            jobs::refund::Error::Store(error) => error.into(),
            jobs::refund::Error::NoSuchPack(_) | jobs::refund::Error::KeyReused(_) => {
                Self::usage(error)
            }
            jobs::refund::Error::Refused(_) | jobs::refund::Error::NotClosed(_) => {
                Self::refused(error)
            }
        }
    }
}

impl From<jobs::orgs::departures::Error> for Failure {
    fn from(error: jobs::orgs::departures::Error) -> Self {
        match error {
            jobs::orgs::departures::Error::Store(error) => error.into(),
            jobs::orgs::departures::Error::SameOrg | jobs::orgs::departures::Error::Nobody => {
                Self::usage(error)
            }
            jobs::orgs::departures::Error::Open(_) => Self::refused(error),
        }
    }
}

impl From<jobs::usage::file::Error> for Failure {
    fn from(error: jobs::usage::file::Error) -> Self {
        match error {
            jobs::usage::file::Error::Store(error) => error.into(),
            other => Self::usage(other),
        }
    }
}

impl From<crate::demo::months::Error> for Failure {
    fn from(error: crate::demo::months::Error) -> Self {
        match error {
            crate::demo::months::Error::Store(error)
            | crate::demo::months::Error::Sync(jobs::sync::Error::Store(error)) => error.into(),
            crate::demo::months::Error::Org(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "periodd: {}", self.message)
    }
}

impl std::error::Error for Failure {}
