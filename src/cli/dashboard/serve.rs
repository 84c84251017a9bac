//! The pages, served read-only by this process.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::output::{Output, Page};
use super::super::session::Session;
use super::super::{Exit, Failure};
use super::{browser, surroundings};
use crate::billing::Instant;
use crate::http::{ListenError, Server, ServerError};

/// How long requests that are under way may go on after the first Ctrl-C.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until Ctrl-C.
pub(super) async fn serve(
    session: &Session,
    listen: SocketAddr,
    opens: bool,
) -> Result<Exit, Failure> {
    let around = surroundings(session).await?;
    let at = around.at;
    let (server, link) = Server::that_reads(listen, around).await.map_err(of_server)?;
    let address = server.address().unwrap_or(listen);
    let running = server.start();
    let url = format!("http://{address}/login?link={}", link.reveal());
    session.screen.note("this link logs in once; Ctrl-C stops the server");
    session.screen.show(&Served { url: url.clone(), at })?;
    if opens {
        browser::open(&url, &session.screen);
    }
    session.served_until_stopped().await;
    // Nothing of what is cut off was to be written.
    let _in_time = tokio::time::timeout(DRAIN, running.drain()).await;
    Ok(Exit::Done)
}

/// Why the pages cannot be served, in the words of this command's options.
pub(super) fn of_server(error: ServerError) -> Failure {
    match error {
        ServerError::Store(error) => error.into(),
        ServerError::Listen(ListenError::Port { address, error }) => Failure::failed(format!(
            "--listen {address}: {error}; choose another port, or 0 for a free one"
        )),
        error => Failure::failed(error),
    }
}

/// Where the pages are served.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Served {
    /// Logs in, once.
    url: String,
    /// The business time that the pages show; null: the database's clock.
    at: Option<Instant>,
}

impl Output for Served {
    fn page(&self) -> Page {
        Page::new().line(&self.url)
    }
}
