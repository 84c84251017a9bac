//! Ctrl-C, and what a service manager sends: a command that works in batches finishes the one
//! under way; any other ends at once. Either way the connection and the private cluster are left
//! in good order, and the exit code is 130. One that serves until it is stopped ends well by it.

use std::cell::Cell;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Notify};

use super::Failure;
use super::output::Screen;
use crate::jobs::stop::{Stop, Why};

/// What the first signal does to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Breaks it off.
    AtOnce,
    /// Asks it to finish its batch.
    BetweenBatches,
    /// Ends what serves until then.
    Serving,
}

/// The signals that a session listens to.
pub(super) struct Interrupts {
    screen: Screen,
    stop: Stop,
    way: Cell<Way>,
    /// Told of the first signal, where the command serves until then.
    first: Notify,
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
        let (stop, way, first) = (Stop::default(), Cell::new(Way::AtOnce), Notify::new());
        Ok(Self { screen, stop, way, first, signals })
    }

    /// The wish to stop, for a job that looks at it between its batches: from now on the first
    /// signal asks for it, and only a second one breaks the work off.
    pub(super) fn between_batches(&self) -> Stop {
        self.way.set(Way::BetweenBatches);
        self.stop.clone()
    }

    /// Waits for the first signal; only a second one breaks the command off then.
    pub(super) async fn first(&self) {
        self.way.set(Way::Serving);
        self.first.notified().await;
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
            match (self.way.get(), self.stop.is_set()) {
                (Way::AtOnce, _) => return Failure::interrupted("interrupted"),
                (Way::BetweenBatches, true) => {
                    return Failure::interrupted(
                        "interrupted: the current batch was aborted and rolled back",
                    );
                }
                (Way::Serving, true) => {
                    return Failure::interrupted("interrupted: open requests were aborted");
                }
                (Way::BetweenBatches, false) => self.screen.note(
                    "interrupted: finishing the current batch; press Ctrl-C again to abort it",
                ),
                (Way::Serving, false) => self.first.notify_one(),
            }
            self.stop.ask(Why::Draining);
        }
    }
}
