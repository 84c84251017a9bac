//! Commands that people are told to run. Wherever one is written, it works as it is pasted: with
//! the configuration, the state directory and the business time of the process that proposes it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use crate::billing::Instant;

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
pub(crate) use written_as_text;

/// Commands, each of which runs once the one before it has done its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands(pub Vec<Command>);

written_as_text!(Commands);

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
}

impl Command {
    /// A command of periodd's, by its words.
    pub fn periodd<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words = words.into_iter().map(str::to_owned).collect();
        Self { words, is_ours: true, has_time: true }
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
    pub fn and(self, next: Self) -> Commands {
        Commands(vec![self, next])
    }

    /// The words after the program, of a command of periodd's.
    pub fn words(&self) -> Option<Vec<&str>> {
        self.is_ours.then(|| self.words.iter().map(String::as_str).collect())
    }

    /// As it has to be typed by somebody who called periodd like this.
    fn write(&self, caller: &Caller, f: &mut impl fmt::Write) -> fmt::Result {
        if self.is_ours {
            write!(f, "{caller}")?;
        }
        if let Some(at) = caller.at.filter(|_| self.is_ours && self.has_time) {
            write!(f, " --at {at}")?;
        }
        for (place, word) in self.words.iter().enumerate() {
            let gap = if place > 0 || self.is_ours { " " } else { "" };
            write!(f, "{gap}{}", shell_word(word))?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static UNKNOWN: LazyLock<Caller> = LazyLock::new(Caller::default);
        self.write(CALLER.get().unwrap_or(&UNKNOWN), f)
    }
}

/// How this process was called, once that is known.
static CALLER: OnceLock<Caller> = OnceLock::new();

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

impl Caller {
    /// From now on every command is written as this caller has to type it. The first word counts:
    /// a process is called once.
    pub fn is_known(self) {
        let _ = CALLER.set(self);
    }
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
        let written = |command: Command| {
            let mut text = String::new();
            command.write(&caller, &mut text).expect("a text takes everything");
            text
        };
        assert_eq!(written(Command::other(["chmod", "600", "/a b"])), "chmod 600 '/a b'");
        assert_eq!(
            written(Command::periodd(["orgs", "unpark", "o'hara"])),
            "STATE_DIRECTORY='/srv/a b' periodd --config /etc/x.toml --at 2026-05-16T12:00:00Z \
             orgs unpark 'o'\\''hara'"
        );
        let daemon = written(Command::daemon());
        assert!(daemon.ends_with("--config /etc/x.toml run"), "{daemon}");
        assert_eq!(
            Command::other(["true"]).and(Command::periodd(["rollover"])).to_string(),
            "true && periodd rollover"
        );
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
}
