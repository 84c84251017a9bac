//! Reads the facts for `/metrics`, until the drain begins.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

use super::facts::{self, Ledger};
use super::problem::Problem;
use super::shared::Shared;

/// Between two readings.
const EVERY: Duration = Duration::from_secs(15);

/// Begins to read now and then.
pub(super) fn keep(shared: &Arc<Shared>) {
    let mut draining = shared.draining.subscribe();
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        let mut ledger = Ledger::default();
        loop {
            let Some(server) = shared.upgrade() else { return };
            let read = read(&server, &mut ledger).await;
            if let Err(problem) = &read {
                tracing::debug!(problem = problem.detail, "the facts cannot be read");
            }
            server.metrics.facts.are(read.ok());
            drop(server);
            // Nothing of the database is in here, so it may be dropped.
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ended = draining.wait_for(|draining| *draining) => return,
            }
        }
    });
}

async fn read(shared: &Shared, ledger: &mut Ledger) -> Result<Registry, Problem> {
    let mut turn = shared.turns.take().await?;
    let seen = facts::see(&mut turn, ledger).await?;
    drop(turn);
    Ok(seen.registry(&(shared.around.tz)(), ledger))
}
