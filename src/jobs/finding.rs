//! What a look at an org or at the whole finds: what, how bad, and what to do about it.

use std::borrow::Cow;
use std::fmt;

pub use super::checks::Check;
use crate::command::{Command, Commands, written_as_text};
use crate::store::StoreError;
use crate::store::reports::status::MANY;

/// How bad a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It will need a look.
    Warning,
    /// A problem.
    Problem,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What was looked at, in a word that stays the same: the runbook has a chapter for each.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in a sentence.
    pub what: String,
    /// What to do about it.
    #[serde(flatten)]
    pub mend: Option<Mend>,
}

impl Finding {
    /// A problem.
    pub fn problem(check: Check, what: impl Into<String>) -> Self {
        Self { check, severity: Severity::Problem, what: what.into(), mend: None }
    }

    /// It will need a look.
    pub fn warning(check: Check, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::problem(check, what) }
    }

    /// Good to know.
    pub fn note(check: Check, what: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::problem(check, what) }
    }

    /// What was to be looked at, and could not be read.
    ///
    /// `holder` says who held it up, where somebody did.
    pub fn unread(error: &StoreError, holder: Option<&str>) -> Self {
        let who = holder.map(|who| format!("; {who}")).unwrap_or_default();
        let finding = Self::problem(Check::Doctor, format!("check failed: {error}{who}"));
        finding.mend(Mend::advice("repair what the error names, and check again"))
    }

    /// The same with what mends it.
    pub fn mend(self, mend: impl Into<Mend>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// What to do about a finding. A command works as it is printed; what no command can do is advice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "by", content = "mend", rename_all = "snake_case")]
pub enum Mend {
    /// Commands for a shell, as they are pasted.
    Command(Commands),
    /// A statement for the owner of the tables.
    Sql(String),
    /// What a person does, with the commands to run after it.
    Advice(Advice),
}

impl Mend {
    /// A command of periodd's, by its words.
    pub fn periodd<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Command::periodd(words).into()
    }

    /// What a person does.
    pub fn advice(what: impl Into<String>) -> Self {
        Self::Advice(Advice { what: what.into(), then: Commands(Vec::new()) })
    }

    /// A statement.
    pub fn sql(statement: impl Into<String>) -> Self {
        Self::Sql(statement.into())
    }

    /// What a person does, and the command after it.
    pub fn advice_then(what: impl Into<String>, then: Command) -> Self {
        Self::Advice(Advice { what: what.into(), then: Commands(vec![then]) })
    }
}

impl From<Command> for Mend {
    fn from(command: Command) -> Self {
        Commands(vec![command]).into()
    }
}

impl From<Commands> for Mend {
    fn from(commands: Commands) -> Self {
        Self::Command(commands)
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(commands) => commands.fmt(f),
            Self::Sql(statement) => f.write_str(statement),
            Self::Advice(advice) => advice.fmt(f),
        }
    }
}

/// What a person does: no command can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// In words, without a full stop.
    pub what: String,
    /// The commands to run after that; often none.
    pub then: Commands,
}

written_as_text!(Advice);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.then.0.is_empty() { Ok(()) } else { write!(f, "; then: {}", self.then) }
    }
}

/// A number of things, of which more than [`MANY`] were not counted.
pub(super) fn many(length: i64, noun: &str) -> String {
    match length {
        1 => format!("1 {noun}"),
        MANY.. => format!("{MANY} {noun}s or more"),
        length => format!("{length} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_who_does_what() {
        let finding = Finding::note(Check::Disk, "full").mend(Mend::advice("free some space"));
        let json = serde_json::to_value(&finding).expect("JSON");
        assert_eq!((&json["by"], &json["mend"]), (&"advice".into(), &"free some space".into()));
        let advice = Mend::advice_then("repair it", Command::periodd(["sync"]));
        assert_eq!(advice.to_string(), "repair it; then: periodd sync");
    }
}
