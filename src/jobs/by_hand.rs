//! What only people set off: no schedule starts it. The ledger has it beside the jobs.

use std::str::FromStr;

use super::catalogue::Job;
use crate::store::runs::{Run, schedules::Ended};

/// What somebody does by a button.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByHand {
    /// An org is taken back.
    Unpark,
    /// A job is paused.
    Pause,
    /// A paused job goes on.
    Resume,
    /// A token is revoked.
    Revoke,
    /// An email is sent once more.
    Resend,
    /// Everything is audited, and nothing changed.
    Check,
}

impl ByHand {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unpark, Self::Pause, Self::Resume, Self::Revoke, Self::Resend, Self::Check];

    /// As the ledger has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unpark => "unpark",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::Resend => "resend",
            Self::Check => "check",
        }
    }

    /// What was done, of which org, job, token or email, and what became of it.
    pub fn ended(of: &str, did: Vec<String>, error: Option<String>) -> Ended {
        Done { of: of.to_owned(), did, why: None }.ended(error)
    }
}

impl FromStr for ByHand {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or(())
    }
}

/// What the ledger keeps of it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// The org, the job, the token or the email.
    pub of: String,
    /// What was done, for people.
    pub did: Vec<String>,
    /// Why, where a reason was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Done {
    /// The end of a run that did this.
    pub fn ended(&self, error: Option<String>) -> Ended {
        Ended { counts: serde_json::to_string(self).ok(), error }
    }

    /// Of a run of the ledger; `None` for one of a job.
    pub fn of(run: &Run) -> Option<Self> {
        ByHand::from_str(&run.job).ok()?;
        serde_json::from_str(run.counts.as_deref()?).ok()
    }
}

/// What a run of the ledger is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entered {
    Job(Job),
    ByHand(ByHand),
}

impl Entered {
    /// As the ledger has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Job(job) => job.name(),
            Self::ByHand(by_hand) => by_hand.name(),
        }
    }
}

impl From<Job> for Entered {
    fn from(job: Job) -> Self {
        Self::Job(job)
    }
}

impl From<ByHand> for Entered {
    fn from(by_hand: ByHand) -> Self {
        Self::ByHand(by_hand)
    }
}
