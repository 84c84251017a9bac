//! How a command ends: the exit codes, and the one sentence that goes with a bad one.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::daemon;
use crate::jobs;
use crate::store::StoreError;

/// The exit codes. They are part of the contract: scripts and service managers act on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The command line is wrong, or names something that does not exist.
    Usage = 2,
    /// A check, a dry run, `status`, `doctor` or `db verify` found something.
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
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the code means, as `--help` says it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "failed",
            Self::Usage => "usage, or an argument that names nothing",
            Self::Found => "a check, dry run, status, doctor or db verify found something",
            Self::Partly => "partly done: orgs parked by this run, or emails given up",
            Self::Refused => "refused by a guard, or --at in the future without a sandbox",
            Self::Unavailable => "database or mail server unavailable",
            Self::Configuration => "configuration, or a database newer than this binary",
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
}

impl Failure {
    /// A failure with that code.
    #[must_use]
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// The command failed: exit 1.
    #[must_use]
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An argument is wrong or names nothing: exit 2.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A guard refused, and nothing was written: exit 5.
    #[must_use]
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The database or the mail server cannot be reached: exit 69.
    #[must_use]
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// The configuration is wrong, or the database is newer than the binary: exit 78.
    #[must_use]
    pub fn configuration(message: impl fmt::Display) -> Self {
        Self::new(Exit::Configuration, message)
    }

    /// Interrupted from the keyboard: exit 130.
    #[must_use]
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self::new(Exit::Interrupted, message)
    }

    /// Says the sentence on stderr, and returns the code to leave with.
    #[must_use]
    pub fn report(&self) -> Exit {
        // When stderr is closed there is nobody left to tell; the exit code still says it.
        let _ = writeln!(std::io::stderr().lock(), "{self}");
        self.exit
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Unavailable(_) => Exit::Unavailable,
            StoreError::Invalid(_) => Exit::Usage,
            StoreError::Configuration(_) | StoreError::Outdated(_) => Exit::Configuration,
            StoreError::Conflict(_) | StoreError::Unprocessable(_) | StoreError::Failed(_) => {
                Exit::Failed
            }
        };
        Self::new(exit, error)
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
            jobs::refund::Error::NoSuchPack => Self::usage(error),
            jobs::refund::Error::Refused(_) => Self::refused(error),
        }
    }
}

impl From<jobs::usage_file::Error> for Failure {
    fn from(error: jobs::usage_file::Error) -> Self {
        match error {
            jobs::usage_file::Error::Store(error) => error.into(),
            other => Self::usage(other),
        }
    }
}

impl From<jobs::demo::Error> for Failure {
    fn from(error: jobs::demo::Error) -> Self {
        match error {
            jobs::demo::Error::Store(error)
            | jobs::demo::Error::Sync(jobs::sync::Error::Store(error)) => error.into(),
            jobs::demo::Error::Org(error) => error.into(),
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
