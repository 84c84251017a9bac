//! What shells ask while somebody types: orgs, zones, features.
//!
//! A shell asks the program itself. Whatever cannot be answered at once (no configuration, no
//! database, no time) is answered with nothing: completing never fails and never waits long.

use std::ffi::OsStr;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::{ArgValueCompleter, CompletionCandidate};

use super::Cli;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::jobs::instance::cluster_settings;
use crate::store::{Address, Database, orgs::complete};
use crate::tz::TzData;

/// How long a shell is kept waiting for the database.
const PATIENCE: Duration = Duration::from_millis(800);

/// The command line, with those arguments that complete from what there is: by the word that
/// stands for their value in the help, so that every command has it.
pub fn command() -> clap::Command {
    with_completers(Cli::command())
}

fn with_completers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| {
            let named = argument.get_value_names().and_then(|names| names.first()).cloned();
            match named.as_deref() {
                Some("ORG" | "SLUG_OR_ID") => argument.add(ArgValueCompleter::new(orgs)),
                Some("ZONE" | "Z") => argument.add(ArgValueCompleter::new(zones)),
                Some("F" | "FEATURE") => argument.add(ArgValueCompleter::new(features)),
                Some("TIER") => argument.add(ArgValueCompleter::new(tiers)),
                _ => argument,
            }
        })
        .mut_subcommands(with_completers)
}

fn zones(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    let names = TzData::newest().names().into_iter();
    let fit = names.filter(|name| name.to_lowercase().starts_with(&typed));
    fit.map(CompletionCandidate::new).collect()
}

fn orgs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    ask(async |database| {
        let orgs = complete::orgs(&database, &typed).await.ok()?;
        let described =
            |(slug, name): (String, String)| CompletionCandidate::new(slug).help(Some(name.into()));
        Some(orgs.into_iter().map(described).collect())
    })
}

fn features(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    ask(async |database| {
        let names = complete::features(&database).await.ok()?;
        let fit = names.into_iter().filter(|name| name.starts_with(&typed));
        Some(fit.map(CompletionCandidate::new).collect())
    })
}

fn tiers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().into_owned();
    ask(async |database| {
        let codes = complete::tiers(&database).await.ok()?;
        let fit = codes.into_iter().filter(|code| code.starts_with(&typed));
        Some(fit.map(CompletionCandidate::new).collect())
    })
}

/// Asks the configured database, or the private cluster if it runs; nothing is started for it.
fn ask(
    question: impl AsyncFnOnce(Database) -> Option<Vec<CompletionCandidate>>,
) -> Vec<CompletionCandidate> {
    let answer = || {
        let config = Config::load(None, Config::environment()).ok()?;
        let url = match config.database_url().ok()? {
            Some(url) => url.reveal().to_owned(),
            None => Cluster::url_if_running(&cluster_settings(&config))?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let asked = async {
            let address = Address { url: &url, schema: config.database.schema.as_deref() };
            let database = Database::connect(address, 1).await.ok()?;
            question(database).await
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        runtime.shutdown_background();
        answer.ok()?
    };
    answer().unwrap_or_default()
}
