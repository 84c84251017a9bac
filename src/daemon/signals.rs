//! What the operator says by signals: reload, stop, stop at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How the daemon ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Everything that was under way has ended.
    Drained,
    /// Something was still under way when the time for it was over.
    CutOff,
    /// It was told to end at once.
    Forced,
}

/// What has been asked for, for everybody who waits.
#[derive(Clone, Debug, Default)]
pub(super) struct ControlRequests(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stops: AtomicU32,
    reload: AtomicBool,
    changed: Notify,
}

impl ControlRequests {
    /// Begins to listen: SIGTERM and SIGINT stop, a second one forces; SIGHUP reloads.
    pub(super) fn listen() -> io::Result<Self> {
        let asked = Self::default();
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let asked = asked.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if kind == SignalKind::hangup() {
                        asked.0.reload.store(true, Ordering::Release);
                    } else {
                        asked.0.stops.fetch_add(1, Ordering::Release);
                    }
                    asked.0.changed.notify_waiters();
                }
            });
        }
        Ok(asked)
    }

    /// Is the process to stop?
    pub(super) fn stop(&self) -> bool {
        self.0.stops.load(Ordering::Acquire) > 0
    }

    /// Is it to stop at once?
    pub(super) fn force(&self) -> bool {
        self.0.stops.load(Ordering::Acquire) > 1
    }

    /// Takes the request to reload, if there is one.
    pub(super) fn take_reload(&self) -> bool {
        self.0.reload.swap(false, Ordering::AcqRel)
    }

    /// Ends when it is to stop.
    pub(super) async fn stopped(&self) {
        self.until(Self::stop).await;
    }

    /// Ends when it is to stop at once.
    pub(super) async fn forced(&self) {
        self.until(Self::force).await;
    }

    /// Ends when there is a request to reload, or to stop.
    pub(super) async fn anything(&self) {
        self.until(|asked| asked.stop() || asked.0.reload.load(Ordering::Acquire)).await;
    }

    /// Waits for what has to end before the process does: until then, and until it is told to stop
    /// at once. That comes first, whatever else is true at the same time.
    pub(super) async fn bounded<T>(
        &self,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Shutdown> {
        tokio::select! {
            biased;
            () = self.forced() => Err(Shutdown::Forced),
            done = work => Ok(done),
            () = sleep_until(until) => Err(Shutdown::CutOff),
        }
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Listens before it looks, so that nothing is said in between unheard.
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}
