//! `periodd config check`: the configuration judged, and the servers that it names greeted.

use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Failure, Global, load};
use crate::cli::output::{Cell, Format, Output, Page, Screen, Table, Tone};
use crate::config::{Config, ConfigError, Source, Transport};
use crate::daemon::cluster_settings;
use crate::jobs::deliver::Post;
use crate::mail::SendError;
use crate::store::cluster::Cluster;
use crate::store::{Database, migrate};

/// What `periodd config check` is asked.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files and variables only: no network, no database
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
    let mut report = Report { file: config.file().map(Into::into), checks: Vec::new() };
    let read = report.file.as_ref().map(|file| file.display().to_string());
    report.add("configuration", Ok(read.unwrap_or_else(|| "no file, the defaults".to_owned())));
    if !args.offline {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
        runtime.block_on(async {
            report.add("database", database(&config).await);
            report.add("mail", mail(&config).await);
        });
    }
    screen.show(&report)?;
    Ok(report.exit())
}

/// Everything on this machine that the configuration names and that must be readable.
fn readable(config: &Config) -> Result<(), ConfigError> {
    config.database_url()?;
    config.smtp_password()?;
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
            Ok(None) => return Ok("the private cluster does not run, and can be started".into()),
            Err(error) => return Err(Failure::unavailable(error)),
        },
    };
    let database = Database::connect(&url, 1).await?;
    let current = migrate::require_current(&database).await;
    database.close().await;
    current?;
    Ok(format!("{what} answers, its schema is current"))
}

/// Greets the mail server, sees its certificate and logs in; nothing is sent.
async fn mail(config: &Config) -> Found {
    if config.mail.transport == Transport::Directory {
        return Ok(format!("goes into {}", config.mail.directory.display()));
    }
    let post = Post::of(config).map_err(Failure::configuration)?;
    if !post.carries() {
        return Ok("goes nowhere".to_owned());
    }
    match post.greet().await {
        Ok(place) => Ok(format!("{place} lets us in")),
        Err(error @ SendError::Credentials(_)) => Err(Failure::configuration(error)),
        Err(error) => Err(Failure::unavailable(format!(
            "{error}; check `host`, `port` and `tls` in [mail.smtp]"
        ))),
    }
}

/// What was looked at, when the configuration itself is right.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Report {
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

impl Report {
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

impl Output for Report {
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
