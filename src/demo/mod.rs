//! `periodd demo`: a sample company through several months, in seconds.
//!
//! Never: a database that the demo has not made.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::session::{Schema, Session, with_config};
use crate::cli::{Exit, Failure, Global, sync};
use crate::jobs::rollover::Request;
use crate::jobs::{alerts, deliver};
use closing::{Commands, Document};
use home::Home;
use months::Requests;
use narrator::Narrator;

pub(crate) mod closing;
mod home;
pub(crate) mod months;
mod narrator;

const NOTES: &str = "\
A second run continues from the demo's clock: an interrupted story is resumed, and a finished one
goes on for three more months. Your own changes to the sample company are kept. --fresh erases it
and starts over.

Examples:
  periodd demo
  periodd demo --fresh
  periodd demo --state-dir /tmp/sample --format json";

/// What `periodd demo` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Directory of the sample company, created if missing [default: periodd-demo in the working
    /// directory; for root /var/lib/periodd-demo, which the server's user can reach]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Erase the sample company of an earlier run and start over
    #[arg(long)]
    fresh: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if global.config.is_some() || global.at.is_some() {
        let flag = if global.at.is_some() { "--at" } else { "--config" };
        return Err(Failure::usage(format!(
            "{flag} cannot be used with demo, which has its own clock and configuration; use \
             --state-dir to choose its directory"
        )));
    }
    let home = Home::new(args.state_dir.as_deref());
    let config = home.open(args.fresh)?;
    if !home.has_data() {
        let place = home.directory();
        global.screen().note(&format!("creating a private PostgreSQL cluster in {place} …"));
    }
    with_config(config, global, Schema::Current, async |session| tell(session, &home).await)
}

async fn tell(session: &Session, home: &Home) -> Result<Exit, Failure> {
    let Session { config, tz, database, screen, .. } = session;
    // A dozen orgs are done before a second connection has found its page.
    let requests = Requests {
        rollover: Request { connections: 1, ..Request::standing(&config.rollover) },
        sync: sync::standing_request(session).await?,
        alerts: alerts::Request::of(config),
        deliver: deliver::Request::of(config),
        mailer: Arc::new(deliver::Mailer::of(config).map_err(Failure::configuration)?),
    };
    let mut narrator = Narrator::new(screen, tz);
    let outcome = months::run(database, tz, &requests, &mut narrator).await?;
    let (from, scenes) = narrator.finish()?;
    let exit = match (outcome.is_sound(), outcome.parked.is_empty()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Partly,
        (true, true) => Exit::Done,
    };
    let commands = Commands::new(home, outcome.until);
    screen.show(&Document::new(home, from, scenes, outcome, &commands))?;
    screen.tell(&commands.page())?;
    Ok(exit)
}
