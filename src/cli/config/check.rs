//! `periodd config check`: the configuration judged, and the servers that it names greeted.

use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Failure, Global, load};
use crate::billing::When;
use crate::cli::caller;
use crate::cli::output::{Cell, Format, Output, Page, Screen, Table, Tone};
use crate::cli::webhooks;
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError, Source, sections::Transport};
use crate::jobs::deliver::Mailer;
use crate::jobs::doctor::files_of;
use crate::jobs::finding::{Finding, Severity};
use crate::jobs::instance::cluster_settings;
use crate::jobs::tiers;
use crate::mail::SendError;
use crate::store::{Address, Database, db::migrate};

/// What `periodd config check` is asked.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Check files and variables only: no network, no database
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let screen = global.screen();
    let config = match load(global).and_then(|config| readable(&config).map(|()| config)) {
        Ok(config) => config,
        Err(error) => return refused(&screen, &error),
    };
    let mut report = ConfigReport { file: config.file().map(Into::into), checks: Vec::new() };
    let read = report.file.as_ref().map(|file| file.display().to_string());
    report.add("configuration", Ok(read.unwrap_or_else(|| "defaults, no file".to_owned())));
    // As doctor finds them.
    for finding in files_of(&config) {
        report.add("files", found(global, &config, finding));
    }
    if !args.offline {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
        runtime.block_on(async {
            report.add("database", database(&config).await);
            for finding in catalogue(&config).await {
                report.add("catalogue", found(global, &config, finding));
            }
            report.add("mail", mail(&config).await);
            for webhook in &config.webhooks {
                let greeted = webhooks::greet(&config, webhook).await;
                let name = &webhook.name;
                report.add("webhook", greeted.map(|answer| format!("{name} answered {answer}")));
            }
        });
    }
    screen.show(&report)?;
    Ok(report.exit())
}

/// Everything on this machine that the configuration names and that must be readable.
fn readable(config: &Config) -> Result<(), ConfigError> {
    config.database_url()?;
    config.smtp_password()?;
    for webhook in &config.webhooks {
        config.webhook_secrets(webhook)?;
    }
    config.check_templates()?;
    Ok(())
}

/// Says everything that is wrong, each with its place at the beginning of a line, as compilers do.
fn refused(screen: &Screen, error: &ConfigError) -> Result<Exit, Failure> {
    if screen.format() == Format::Json {
        let problems = error.faults().iter().map(|fault| Problem {
            place: (fault.source != Source::Default).then(|| fault.source.to_string()),
            message: fault.sentence.clone(),
        });
        screen.show(&Refusal { problems: problems.collect() })?;
    }
    // A closed stderr leaves nobody to tell; the exit code still says it.
    let _ = writeln!(std::io::stderr().lock(), "{error}");
    Ok(Exit::Configuration)
}

/// What a check found: something to know, or a failure with its exit code.
type Found = Result<String, Failure>;

async fn database(config: &Config) -> Found {
    let (what, url) = match config.database_url().map_err(Failure::configuration)? {
        Some(url) => ("the database that is configured", url.reveal().to_owned()),
        None => match Cluster::look(&cluster_settings(config)) {
            Ok(Some(url)) => ("the private cluster", url),
            Ok(None) => return Ok("the private cluster is stopped and can be started".into()),
            Err(error) => return Err(Failure::unavailable(error)),
        },
    };
    let address = Address { url: &url, schema: config.database.schema.as_deref() };
    let database = Database::connect(address, 1).await?;
    let current = migrate::require_current(&database).await;
    database.close().await;
    current?;
    Ok(format!("{what} answers, its schema is current"))
}

/// A finding, with what to do; a note alone is nothing bad.
fn found(global: &Global, config: &Config, finding: Finding) -> Found {
    let at = global.at.and_then(When::instant);
    caller::of(global, config, at).is_known();
    let mend = finding.mend.map(|mend| format!(": {mend}")).unwrap_or_default();
    let sentence = format!("{}{mend}", finding.what);
    if finding.severity == Severity::Note {
        return Ok(sentence);
    }
    Err(Failure::new(Exit::Found, sentence))
}

/// What the configuration names and the tables do not have, where there is a database to ask.
async fn catalogue(config: &Config) -> Vec<Finding> {
    let url = match config.database_url() {
        Ok(Some(url)) => url.reveal().to_owned(),
        Ok(None) => match Cluster::look(&cluster_settings(config)) {
            Ok(Some(url)) => url,
            _ => return Vec::new(),
        },
        Err(_) => return Vec::new(),
    };
    let Ok(database) = Database::connect(&url, 1).await else { return Vec::new() };
    let found = match migrate::require_current(&database).await {
        Ok(()) => tiers::mismatches(&database, config).await,
        // What is wrong with the database has been said.
        Err(_) => Ok(Vec::new()),
    };
    database.close().await;
    found.unwrap_or_else(|error| vec![Finding::unread(&error, None)])
}

/// Greets the mail server, sees its certificate and logs in; nothing is sent.
async fn mail(config: &Config) -> Found {
    if config.mail.transport == Transport::Directory {
        return Ok(format!("written to {}", config.mail.directory.display()));
    }
    let mailer = Mailer::of(config).map_err(Failure::configuration)?;
    if !mailer.carries() {
        return Ok("not sent".to_owned());
    }
    match mailer.greet().await {
        Ok(place) => Ok(format!("{place} accepts the login")),
        Err(error @ SendError::Credentials(_)) => Err(Failure::configuration(error)),
        Err(error) => Err(Failure::unavailable(format!(
            "{error}; check `host`, `port` and `tls` in [mail.smtp]"
        ))),
    }
}

/// What was looked at, when the configuration itself is right.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct ConfigReport {
    file: Option<PathBuf>,
    checks: Vec<Check>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Check {
    what: &'static str,
    good: bool,
    found: String,
    #[serde(skip)]
    exit: Exit,
}

impl ConfigReport {
    fn add(&mut self, what: &'static str, found: Found) {
        let check = match found {
            Ok(found) => Check { what, good: true, found, exit: Exit::Done },
            Err(failure) => Check { what, good: false, found: failure.message, exit: failure.exit },
        };
        self.checks.push(check);
    }

    /// The worst of the exit codes.
    fn exit(&self) -> Exit {
        let exits = self.checks.iter().map(|check| check.exit);
        exits.max_by_key(|exit| exit.code()).unwrap_or(Exit::Done)
    }
}

impl Output for ConfigReport {
    fn page(&self) -> Page {
        let mut table = Table::new(["what", "", "found"]);
        for check in &self.checks {
            let (word, tone) = if check.good { ("good", Tone::Good) } else { ("bad", Tone::Bad) };
            table.row([
                Cell::text(check.what),
                Cell::text(word).tone(tone),
                Cell::text(&check.found),
            ]);
        }
        table.into()
    }
}

/// What is wrong, for programs.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Refusal {
    problems: Vec<Problem>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Problem {
    place: Option<String>,
    message: String,
}

impl Output for Refusal {
    fn page(&self) -> Page {
        Page::new()
    }
}
