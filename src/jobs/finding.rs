//! What a look at an org or at the whole finds: what, how bad, and the command that mends it.

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
    /// Something is wrong.
    Problem,
}

/// Something that a look has found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What was looked at, in a word that stays the same: the runbook has a chapter for each.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in a sentence.
    pub what: String,
    /// The command that mends it, or what to do where no command can.
    pub mend: Option<String>,
}

impl Finding {
    /// Something is wrong.
    #[must_use]
    pub fn problem(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, severity: Severity::Problem, what: what.into(), mend: None }
    }

    /// It will need a look.
    #[must_use]
    pub fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::problem(check, what) }
    }

    /// Good to know.
    #[must_use]
    pub fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::problem(check, what) }
    }

    /// The same with what mends it.
    #[must_use]
    pub fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}
