//! Processes: where they may listen, and what they take, as Linux counts it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// An address of this machine where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port")
}

/// User and system time of a process, in the hundredths of a second that Linux counts them in.
pub(crate) fn processor_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11..13)?.iter().map(|ticks| ticks.parse::<u64>().unwrap_or(0));
    Some(Duration::from_millis(10 * ticks.sum::<u64>()))
}

/// A process's resident memory, in MiB.
pub(crate) fn memory_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most that it ever was.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, field: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
