//! Clocks: the machine's, read in one place, and what the daemon asks of its own.
//!
//! Business time (what is due, open, late or expired) is not this clock: a pass reads it once
//! from the database and passes it down. What has no database asks here.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};

use crate::billing::Instant;
use crate::billing::clock::Judged;

/// The time on this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the real clock, for what has no database to ask"
)]
pub fn now() -> Instant {
    jiff::Timestamp::now().into()
}

/// The clock that counts from the start of the machine on, its sleep included where the system can
/// tell. Nobody sets it.
#[cfg(target_os = "linux")]
const AWAKE: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const AWAKE: ClockId = ClockId::Monotonic;

/// How long this machine has been running.
pub fn awake() -> SignedDuration {
    let time = clock_gettime(AWAKE);
    let nanoseconds = i32::try_from(time.tv_nsec).unwrap_or(0);
    SignedDuration::new(time.tv_sec, nanoseconds)
}

/// Which start of which machine [`awake`] counts from: two processes with the same one may compare
/// what they read. Where the system does not say, each process is alone.
pub fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let told = told.map(|text| text.trim().to_owned()).ok().filter(|text| !text.is_empty());
        told.unwrap_or_else(|| format!("process {:032x}", fastrand::u128(..)))
    })
}

/// The name of this machine, for people.
pub fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the daemon's loop asks of a clock: what time it is, and to let time pass. A year of
/// schedules then takes as long as its clock says.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Why a clock cannot be read.
    type Error;

    /// What time it is.
    fn now(&self) -> impl Future<Output = Result<Instant, Self::Error>> + Send;

    /// What time it is, and whether that is believed. A clock that nobody doubts is, always.
    fn judged(&self) -> impl Future<Output = Result<Judged, Self::Error>> + Send {
        async { Ok(Judged::Believed(self.now().await?)) }
    }

    /// Ends when that much time has passed.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send;
}
