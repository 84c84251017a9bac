//! `periodd demo`: a sample company through several months, in seconds.

use std::path::PathBuf;
use std::sync::Arc;

use super::rollover::standing_request;
use super::session::{Schema, Session, with_config};
use super::{Exit, Failure, Global, sync};
use crate::jobs::demo::{self, Requests};
use crate::jobs::rollover::Request;
use crate::jobs::{alerts, deliver};
use closing::{Commands, Document};
use home::Home;
use narrator::Narrator;

pub(super) mod closing;
mod home;
mod narrator;

const NOTES: &str = "\
A second run goes on where the clock stands: an interrupted story is taken up, and after its end
three more months of everyday life follow. What you have done to the sample company in between
stays. --fresh erases it and begins again.

Examples:
  periodd demo
  periodd demo --fresh
  periodd demo --state-dir /tmp/sample --format json";

/// What `periodd demo` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Where the sample company lives; made if it is missing [default: periodd-demo in the
    /// working directory; for root /var/lib/periodd-demo, which the server's own user can reach]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Erase the sample company of an earlier run, and begin again
    #[arg(long)]
    fresh: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if global.config.is_some() || global.at.is_some() {
        let flag = if global.at.is_some() { "--at" } else { "--config" };
        return Err(Failure::usage(format!(
            "{flag} does not go with demo, which has a clock and a configuration of its own; \
             --state-dir says where"
        )));
    }
    let home = Home::new(args.state_dir.as_deref());
    let config = home.open(args.fresh)?;
    if !home.has_data() {
        let place = home.directory();
        global.screen().note(&format!("making a private PostgreSQL cluster in {place} …"));
    }
    with_config(config, global, Schema::Current, async |session| tell(session, &home).await)
}

async fn tell(session: &Session, home: &Home) -> Result<Exit, Failure> {
    let Session { config, tz, database, screen, .. } = session;
    // A dozen orgs are done before a second connection has found its page.
    let requests = Requests {
        rollover: Request { connections: 1, ..standing_request(&config.rollover, false) },
        sync: sync::standing_request(session).await?,
        alerts: alerts::Request::of(config),
        deliver: deliver::Request::of(config),
        post: Arc::new(deliver::Post::of(config).map_err(Failure::configuration)?),
    };
    let mut narrator = Narrator::new(screen, tz);
    let outcome = demo::run(database, tz, &requests, &mut narrator).await?;
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
