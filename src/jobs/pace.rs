//! When there is something to say about work that takes long: not at every step of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two lines about one piece of work, where there is no bar to look at.
pub const EVERY: Duration = Duration::from_secs(10);

/// Tells whether it is time for another line.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    every_ms: u64,
    next_ms: AtomicU64,
}

impl Pace {
    /// Work begins now, and is spoken of so often; for the first time after that span.
    pub fn new(every: Duration) -> Self {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self { began: Instant::now(), every_ms, next_ms: AtomicU64::new(every_ms) }
    }

    /// Is it time? If it is, it is not for anybody else who asks at the same time.
    pub fn is_due(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next_ms.load(Ordering::Relaxed);
        let after = now.saturating_add(self.every_ms);
        now >= next
            && self
                .next_ms
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
