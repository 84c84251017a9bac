//! Ctrl-C, and what a service manager sends: a command that works in batches finishes the one
//! under way; any other ends at once. Either way the connection and the private cluster are left
//! in good order, and the exit code is 130.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use super::Failure;
use super::output::Screen;
use crate::jobs::stop::{Stop, Why};

/// The signals that a session listens to.
pub(super) struct Interrupts {
    screen: Screen,
    stop: Stop,
    works_in_batches: AtomicBool,
    signals: Mutex<(Signal, Signal)>,
}

impl Interrupts {
    /// Listens from here on.
    ///
    /// # Errors
    /// Exit 1 when the system has no room for a handler.
    pub(super) fn listen(screen: Screen) -> Result<Self, Failure> {
        let hear = |kind| {
            signal(kind)
                .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
        };
        let signals = Mutex::new((hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?));
        let works_in_batches = AtomicBool::new(false);
        Ok(Self { screen, stop: Stop::default(), works_in_batches, signals })
    }

    /// The wish to stop, for a job that looks at it between its batches: from now on the first
    /// signal asks for it, and only a second one breaks the work off.
    pub(super) fn between_batches(&self) -> Stop {
        self.works_in_batches.store(true, Ordering::Relaxed);
        self.stop.clone()
    }

    /// Was a job asked to stop?
    pub(super) fn asked(&self) -> bool {
        self.stop.is_set()
    }

    /// Waits until the command has to be broken off.
    pub(super) async fn broken_off(&self) -> Failure {
        let mut signals = self.signals.lock().await;
        let (interrupt, terminate) = &mut *signals;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !self.works_in_batches.load(Ordering::Relaxed) {
                return Failure::interrupted("interrupted");
            }
            if self.stop.is_set() {
                return Failure::interrupted(
                    "interrupted: the current batch was aborted and rolled back",
                );
            }
            self.stop.ask(Why::Draining);
            self.screen
                .note("interrupted: finishing the current batch; press Ctrl-C again to abort it");
        }
    }
}
