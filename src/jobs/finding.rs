//! What a look at an org or at the whole finds: what, how bad, and what to do about it.

use std::borrow::Cow;
use std::fmt;

pub use super::checks::Check;
use crate::billing::Instant;
use crate::store::StoreError;

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

    /// The same with the commands as whoever asked has to type them.
    pub fn called_by(self, caller: &Caller) -> Self {
        Self { mend: self.mend.map(|mend| mend.called_by(caller)), ..self }
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

    fn called_by(self, caller: &Caller) -> Self {
        match self {
            Self::Command(commands) => Self::Command(commands.called_by(caller)),
            Self::Advice(Advice { what, then }) => {
                Self::Advice(Advice { what, then: then.called_by(caller) })
            }
            Self::Sql(statement) => Self::Sql(statement),
        }
    }
}

impl From<Command> for Mend {
    fn from(command: Command) -> Self {
        Self::Command(Commands(vec![command]))
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

/// Has a type serialised as it is displayed.
macro_rules! written_as_text {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                String::schema_name()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
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

/// Commands, each of which runs once the one before it has done its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands(pub Vec<Command>);

written_as_text!(Commands);

impl Commands {
    fn called_by(self, caller: &Caller) -> Self {
        let commands = self.0.into_iter().map(|command| command.called_by(caller));
        Self(commands.collect())
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, command) in self.0.iter().enumerate() {
            let and = if place == 0 { "" } else { " && " };
            write!(f, "{and}{command}")?;
        }
        Ok(())
    }
}

/// A command for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    words: Vec<String>,
    /// Is it one of periodd's own? Then `words` begin after the program.
    is_ours: bool,
    /// Does it work at a business time? A daemon works by the clock.
    has_time: bool,
    caller: Caller,
}

impl Command {
    /// A command of periodd's, by its words.
    pub fn periodd<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(str::to_owned).collect();
        Self { words, is_ours: true, has_time: true, caller: Caller::default() }
    }

    /// The daemon.
    pub fn daemon() -> Self {
        Self { has_time: false, ..Self::periodd(["run"]) }
    }

    /// A command of somebody else's.
    pub fn other<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self { is_ours: false, ..Self::periodd(words) }
    }

    /// This one, and another after it.
    pub fn and(self, next: Self) -> Mend {
        Mend::Command(Commands(vec![self, next]))
    }

    /// The same as whoever asked has to type it.
    pub fn called_by(self, caller: &Caller) -> Self {
        Self { caller: caller.clone(), ..self }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ours {
            self.caller.fmt(f)?;
        }
        if let Some(at) = self.caller.at.filter(|_| self.is_ours && self.has_time) {
            write!(f, " --at {at}")?;
        }
        for (place, word) in self.words.iter().enumerate() {
            let gap = if place > 0 || self.is_ours { " " } else { "" };
            write!(f, "{gap}{}", shell_word(word))?;
        }
        Ok(())
    }
}

/// How periodd was called: what each of its commands has to repeat in order to work on the same
/// database, with the same settings and at the same business time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Variables of the environment that say where something is.
    pub variables: Vec<(String, String)>,
    /// The program, as a shell finds it.
    pub program: String,
    /// Options that every command understands.
    pub options: Vec<String>,
    /// The business time that was asked for.
    pub at: Option<Instant>,
}

impl Default for Caller {
    fn default() -> Self {
        let program = "periodd".to_owned();
        Self { variables: Vec::new(), program, options: Vec::new(), at: None }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", shell_word(value))?;
        }
        f.write_str(&shell_word(&self.program))?;
        self.options.iter().try_for_each(|option| write!(f, " {}", shell_word(option)))
    }
}

/// A word of a command line, quoted for a POSIX shell where it has to be.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_carry_what_they_were_called_with_and_are_quoted_for_a_shell() {
        let caller = Caller {
            variables: vec![("STATE_DIRECTORY".to_owned(), "/srv/a b".to_owned())],
            program: "periodd".to_owned(),
            options: vec!["--config".to_owned(), "/etc/x.toml".to_owned()],
            at: Some("2026-05-16T12:00:00Z".parse().expect("an instant")),
        };
        let unpark = Command::periodd(["orgs", "unpark", "o'hara"]);
        let mend = Command::other(["chmod", "600", "/a b"]).and(unpark).called_by(&caller);
        assert_eq!(
            mend.to_string(),
            "chmod 600 '/a b' && STATE_DIRECTORY='/srv/a b' periodd --config /etc/x.toml --at \
             2026-05-16T12:00:00Z orgs unpark 'o'\\''hara'"
        );
        let daemon = Command::daemon().called_by(&caller).to_string();
        assert!(daemon.ends_with("--config /etc/x.toml run"), "{daemon}");
        assert_eq!(Mend::periodd(["rollover"]).to_string(), "periodd rollover");
    }

    #[test]
    fn a_word_reaches_the_program_as_it_is() {
        for (word, quoted) in [
            ("2026-05-01T00:00:00+02:00", "2026-05-01T00:00:00+02:00"),
            ("", "''"),
            ("Acme GmbH", "'Acme GmbH'"),
            ("O'Hara; rm -rf ~", "'O'\\''Hara; rm -rf ~'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }

    #[test]
    fn json_says_who_does_what() {
        let finding = Finding::note(Check::Disk, "full").mend(Mend::advice("free some space"));
        let json = serde_json::to_value(&finding).expect("JSON");
        assert_eq!((&json["by"], &json["mend"]), (&"advice".into(), &"free some space".into()));
        let advice = Mend::advice_then("repair it", Command::periodd(["sync"]));
        assert_eq!(advice.to_string(), "repair it; then: periodd sync");
    }
}
