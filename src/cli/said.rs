//! How a failure is told: a sentence on stderr for people, a document on stdout for programs.

use std::ffi::OsString;
use std::io::Write;

use schemars::JsonSchema;

use super::failure::{Exit, Failure};
use super::output::{self, Format, Output, Page, Screen};

/// Says the sentence on stderr, and returns the code to leave with. With `--format json` stdout has
/// one document also of a command that failed: where it has shown no answer, this one.
pub(super) fn failure(failure: &Failure, format: Format) -> Exit {
    // When stderr is closed there is nobody left to tell; the exit code still says it.
    let _ = writeln!(std::io::stderr().lock(), "{failure}");
    if format == Format::Json {
        document(failure);
    }
    failure.exit
}

/// Shows why a command line cannot be read, or the help that was asked for.
pub(super) fn misread(mut error: clap::Error) -> Exit {
    drop_far_suggestion(&mut error);
    // A closed stream leaves nobody to tell.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Done;
    }
    // What was read of it is lost, and with it the format that was asked for.
    let words: Vec<OsString> = std::env::args_os().collect();
    let asks = |pair: &[OsString]| pair[0] == "--format" && pair[1] == "json";
    if words.windows(2).any(asks) || words.iter().any(|word| word == "--format=json") {
        let text = error.render().to_string();
        let sentence = text.lines().next().unwrap_or_default();
        document(&Failure::usage(sentence.strip_prefix("error: ").unwrap_or(sentence)));
    }
    Exit::Usage
}

/// Takes an option out that was suggested and does not look like the one that was written.
fn drop_far_suggestion(error: &mut clap::Error) {
    use clap::error::{ContextKind, ContextValue};
    const ALIKE: f64 = 0.8;
    if let (Some(ContextValue::String(written)), Some(ContextValue::String(suggested))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::SuggestedArg))
        && strsim::jaro_winkler(written.trim_start_matches('-'), suggested.trim_start_matches('-'))
            < ALIKE
    {
        error.remove(ContextKind::SuggestedArg);
    }
}

fn document(failure: &Failure) {
    if !output::has_written() {
        let Failure { exit, message, .. } = failure;
        let error = Error { kind: *exit, exit: exit.code(), message: message.clone() };
        // It cannot be told any better.
        let _ = Screen::new(Format::Json, false).show(&Document { error });
    }
}

/// A failure as programs read it.
#[derive(serde::Serialize, JsonSchema)]
pub(super) struct Document {
    error: Error,
}

/// What went wrong.
#[derive(serde::Serialize, JsonSchema)]
struct Error {
    /// What kind of failure it is.
    kind: Exit,
    /// The exit code.
    exit: u8,
    /// The sentence, for people.
    message: String,
}

impl Output for Document {
    fn page(&self) -> Page {
        Page::new().line(&self.error.message)
    }
}
