//! How a run is asked to end before it is done.
//!
//! A run is never cut off in the middle of a statement: what is under way ends, and nothing more
//! is begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a run is asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Why {
    /// The process ends; another one goes on with it.
    Draining = 1,
    /// It took longer than its timeout.
    TimedOut = 2,
    /// Another process has taken it over.
    TakenOver = 3,
}

/// A request to end, shared between who asks and who works. Nobody has asked yet by default.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Asks the run to end. The first reason stays.
    pub fn ask(&self, why: Why) {
        // Somebody who asked before has said why; that answer is as good.
        let _ = self.0.compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Has anybody asked?
    pub fn is_set(&self) -> bool {
        self.why().is_some()
    }

    /// Why the run is to end; `None` while it is not.
    pub fn why(&self) -> Option<Why> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(Why::Draining),
            2 => Some(Why::TimedOut),
            3 => Some(Why::TakenOver),
            _ => None,
        }
    }
}
