//! `periodd dashboard`: the pages without a daemon, served or as files; and logging in to those
//! that a daemon serves.
//!
//! Never: a write to the database, but for the link of `dashboard login`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::http;
use crate::jobs::instance::replica;
use files::Directory;

mod browser;
mod files;
pub(super) mod login;
mod serve;

pub(super) use files::Written;
pub(super) use serve::Served;

const NOTES: &str = "\
Needs no daemon and changes nothing: the pages are read-only. Serves this machine alone, until
Ctrl-C; the link logs in once. With --at, the pages show the database as of that time.

--open passes the link on the command line of a browser; where others can list your processes, open
the printed link yourself.

--html writes one directory of files that need no server: the pages, the orgs named with --org
(default: 20 orgs, parked and overdue ones first), and the pages that these link to.

Examples:
  periodd dashboard --open
  periodd dashboard --listen 127.0.0.1:8080 --at yesterday
  periodd dashboard --html report --org acme";

/// What `periodd dashboard` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Loopback address and port to serve on; port 0 is a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = loopback)]
    listen: SocketAddr,
    /// Open the browser
    #[arg(long)]
    open: bool,
    /// Write the pages as files into this directory, which must be empty or missing
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    html: Option<PathBuf>,
    /// With --html: an org (slug or id) that gets a page [may be repeated]
    #[arg(long, value_name = "ORG", requires = "html")]
    org: Vec<String>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Print a link that logs a browser in to the daemon's dashboard, once and within a minute
    #[command(after_help = login::NOTES)]
    Login {
        /// Only the page of this org (slug or id) [default: all]
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
}

/// An address of this machine's own.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "write a loopback address and a port, such as 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("it is not a loopback address; serve other machines with `periodd run`, by [http] listen"
        .to_owned())
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if let Some(Command::Login { org }) = &args.command {
        return with_session(global, Schema::Current, async |session| {
            login::login(session, org.as_deref()).await
        });
    }
    let Some(html) = &args.html else {
        return with_session(global, Schema::Current, async |session| {
            serve::serve(session, args.listen, args.open).await
        });
    };
    // The process may become a user who cannot write where its caller can.
    let directory = Directory::open(html, global)?;
    with_session(global, Schema::Current, async |session| {
        files::write(session, &directory, &args.org, args.open).await
    })
}

/// What the pages are given by this process.
async fn surroundings(session: &Session) -> Result<http::Surroundings, Failure> {
    let (config, tz) = (Arc::new(session.config.clone()), session.tz.clone());
    Ok(http::Surroundings {
        database: session.database.clone(),
        config: Box::new(move || Arc::clone(&config)),
        tz: Box::new(move || tz.clone()),
        is_alive: Box::new(|| true),
        not_ready: Box::new(Vec::new),
        replica: replica(),
        at: session.business_time(false).await?,
    })
}
