//! Whether the loops turn: each beats, and the watchdog is told as long as all have beaten lately.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a loop waits for one answer of the database before it says that it waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A loop that has not turned for this long has stopped.
const STUCK: Duration = Duration::from_secs(30);
/// Nothing that a loop waits for takes this long. Who still waits then is not told any more that
/// nobody is there: a machine that vanished with the connection open.
const LONGEST_ANSWER: Duration = Duration::from_mins(5);

/// The heart of one loop.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Heartbeat {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default() }
    }

    /// The loop turns.
    pub(super) fn beat(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(since, Ordering::Relaxed);
    }

    /// How long ago the loop turned.
    pub(super) fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last)
    }
}

/// Do all of these loops turn?
pub(super) fn all_alive(heartbeats: &[Heartbeat]) -> bool {
    heartbeats.iter().all(|heartbeat| heartbeat.age() < STUCK)
}

/// Waits for a task, and beats meanwhile: who waits for the database is not stuck, unless it takes
/// forever. `slow` is called as often as it beats.
pub(super) async fn patiently<T>(
    task: &mut JoinHandle<T>,
    heartbeat: &Heartbeat,
    mut slow: impl FnMut(),
) -> Result<T, JoinError> {
    let began = Instant::now();
    let mut is_patient = true;
    loop {
        tokio::select! {
            biased;
            done = &mut *task => return done,
            () = sleep(PATIENCE) => slow(),
        }
        if began.elapsed() < LONGEST_ANSWER {
            heartbeat.beat();
        } else if std::mem::take(&mut is_patient) {
            let waited_secs = began.elapsed().as_secs();
            tracing::error!(
                waited_secs,
                "no answer from the database; the watchdog is no longer notified, or the process \
                 exits"
            );
        }
    }
}

/// Sleeps, and beats meanwhile.
pub(super) async fn beating(heartbeat: &Heartbeat, span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        heartbeat.beat();
        sleep_until(until.min(Instant::now() + PATIENCE)).await;
    }
    heartbeat.beat();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_stands_still_is_enough() {
        let heartbeats = [Heartbeat::new(), Heartbeat::new()];
        assert!(all_alive(&heartbeats));
        sleep(STUCK / 2).await;
        heartbeats[0].beat();
        assert!(all_alive(&heartbeats));
        sleep(STUCK / 2).await;
        assert!(!all_alive(&heartbeats), "the second has not turned");
        heartbeats[1].beat();
        assert!(all_alive(&heartbeats));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_not_stuck_and_who_waits_forever_is() {
        let heartbeat = Heartbeat::new();
        let waiting = {
            let heartbeat = heartbeat.clone();
            let mut never = tokio::spawn(std::future::pending::<()>());
            tokio::spawn(async move { patiently(&mut never, &heartbeat, || {}).await })
        };
        sleep(LONGEST_ANSWER).await;
        assert!(all_alive(std::slice::from_ref(&heartbeat)), "it only waits");
        sleep(STUCK).await;
        assert!(!all_alive(std::slice::from_ref(&heartbeat)), "nobody will answer");
        assert!(!waiting.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_turns() {
        let heartbeat = Heartbeat::new();
        beating(&heartbeat, STUCK * 3).await;
        assert!(all_alive(&[heartbeat]));
    }
}
