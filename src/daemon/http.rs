//! The HTTP server as a part of the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use super::heartbeat::{Heartbeat, all_alive};
use super::instance::Instance;
use super::maintenance::TzHandle;
use super::scheduler_setup::ConfigHandle;
use crate::http::{Running, Server, Surroundings};
use crate::jobs::instance::replica;

/// Listens where the configuration says; `None` where it says nothing.
///
/// # Errors
/// [`Error::Failed`] for a port or socket that is taken: before READY.
pub(super) async fn start(
    home: &Instance,
    config: &ConfigHandle,
    tz: &TzHandle,
    heartbeats: [Heartbeat; 2],
    has_schedules: Arc<AtomicBool>,
) -> Result<Option<Running>, Error> {
    let Some(database) = home.http.clone() else { return Ok(None) };
    let settings = config.get().http.clone();
    let (config, tz) = (config.clone(), tz.clone());
    let around = Surroundings {
        database,
        config: Box::new(move || config.get()),
        tz: Box::new(move || tz.get()),
        is_alive: Box::new(move || all_alive(&heartbeats)),
        not_ready: Box::new(move || {
            if has_schedules.load(Ordering::Acquire) { Vec::new() } else { vec!["schedules"] }
        }),
        replica: replica(),
        at: None,
    };
    let server = Server::bind(&settings, around).await;
    let server = server.map_err(|error| Error::Failed(error.to_string()))?;
    let running = server.start();
    let address = running.address().map(|address| address.to_string());
    let socket = settings.socket.as_ref().map(|path| path.display().to_string());
    tracing::info!(address, socket, "serving HTTP");
    Ok(Some(running))
}
