//! Feels the pulse of all orgs together, while somebody listens: by one statement for everybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::problem::Problem;
use super::shared::Shared;
use crate::store::runs;

/// Between two beats.
const EVERY: Duration = Duration::from_secs(2);

/// Listens to the pulse. The first that does has it felt.
pub(super) fn feel(shared: &Arc<Shared>) -> watch::Receiver<u64> {
    let mut sender = shared.pulse.sender();
    if let Some(sender) = sender.as_ref() {
        return sender.subscribe();
    }
    let (beats, listens) = watch::channel(0);
    *sender = Some(beats);
    tokio::spawn(beat(Arc::clone(shared)));
    listens
}

/// Works while somebody listens. What it asks of the database runs to its end.
async fn beat(shared: Arc<Shared>) {
    let mut draining = shared.draining.subscribe();
    let mut last = None;
    loop {
        // What cannot be read may have changed.
        let felt = read(&shared).await.ok();
        {
            let mut sender = shared.pulse.sender();
            let Some(beats) = sender.as_ref().filter(|beats| beats.receiver_count() > 0) else {
                *sender = None;
                return;
            };
            if last.as_ref().is_some_and(|last| *last != felt) {
                beats.send_modify(|beats| *beats += 1);
            }
        }
        last = Some(felt);
        // Nothing of the database is in here, so it may be dropped.
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ended = draining.wait_for(|draining| *draining) => return,
        }
    }
}

async fn read(shared: &Shared) -> Result<runs::Newest, Problem> {
    Ok(runs::newest(&mut *shared.turns.take().await?).await?)
}
