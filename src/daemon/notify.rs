//! The service manager told how the daemon is: ready, reloading, alive, stopping.
//!
//! systemd's protocol is a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET`
//! names. It is written out here, because crates for it either do without abstract sockets
//! (`@name`) or take a line break in a status for the next assignment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a service manager that reads nothing may hold us up, per message.
const PATIENCE: Duration = Duration::from_secs(1);

/// Speaks to the service manager; where there is none, says nothing.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// Why nobody can be told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The socket is none, or nobody listens there.
    #[error("NOTIFY_SOCKET is {name}, which cannot be reached: {why}")]
    Unreachable {
        /// The socket as the environment has it.
        name: String,
        /// What the system says.
        why: io::Error,
    },
    /// A variable holds something else than a number.
    #[error("{variable} must be a whole number, not `{found}`")]
    NoNumber {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        found: String,
    },
}

impl Notifier {
    /// Connects to the service manager that started this process, if one did and wants to hear.
    ///
    /// # Errors
    /// [`NotifyError`] when the environment names a socket that cannot be reached, or a watchdog
    /// that is no number: better not to start than to be killed for a silence nobody meant.
    pub fn from_environment() -> Result<Self, NotifyError> {
        Self::from_variables(|name| std::env::var_os(name), std::process::id())
    }

    /// The same for any environment and process id.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        process: u32,
    ) -> Result<Self, NotifyError> {
        let named = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.map(|name| connect(&name)).transpose()?;
        let number = |name: &'static str| {
            let found = variable(name).filter(|text| !text.is_empty());
            let found = found.map(|text| text.to_string_lossy().into_owned());
            let parsed = found.map(|found| {
                let number: Result<u64, _> = found.parse();
                number.map_err(|_| NotifyError::NoNumber { variable: name, found })
            });
            parsed.transpose()
        };
        let is_ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == u64::from(process));
        let micros = number("WATCHDOG_USEC")?.filter(|micros| is_ours && *micros > 0);
        let watchdog = micros.filter(|_| socket.is_some()).map(Duration::from_micros);
        Ok(Self { socket, watchdog })
    }

    /// The daemon works, and what it does next: at the start, and again after a reload.
    pub fn ready(&self, status: &str) {
        self.send(&["READY=1", &status_line(status)]);
    }

    /// What the daemon is about, in plain words, for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&[&status_line(text)]);
    }

    /// Not ready yet, for a reason that may last: what it waits for, and that the manager is to be
    /// patient for so long from now on.
    pub fn waiting(&self, status: &str, patience: Duration) {
        let patience = format!("EXTEND_TIMEOUT_USEC={}", patience.as_micros());
        self.send(&[&patience, &status_line(status)]);
    }

    /// The configuration is being read again; [`Notifier::ready`] ends it, however it went.
    pub fn reloading(&self) {
        self.send(&["RELOADING=1", &format!("MONOTONIC_USEC={}", monotonic_micros())]);
    }

    /// The loops turn. To be said at least once per [`Notifier::watchdog_interval`].
    pub fn watchdog(&self) {
        self.send(&["WATCHDOG=1"]);
    }

    /// The daemon has begun to stop.
    pub fn stopping(&self) {
        self.send(&["STOPPING=1"]);
    }

    /// How often the watchdog wants to hear: half the time after which it restarts us. `None`
    /// when there is no watchdog, or when it watches another process.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Sends assignments as one message. What cannot be delivered is noted and no more: the work
    /// goes on, and the watchdog draws its own conclusions.
    fn send(&self, assignments: &[&str]) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(assignments.join("\n").as_bytes()) {
            let what = assignments[0];
            tracing::warn!(%error, "the service manager could not be notified of {what}");
        }
    }
}

/// A status is one line: a line break would begin the next assignment.
fn status_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("STATUS={line}")
}

fn connect(name: &OsStr) -> Result<UnixDatagram, NotifyError> {
    let connected = || {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => abstract_address(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("it is neither a path nor an abstract name (@…)")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    let unreachable =
        |why| NotifyError::Unreachable { name: name.to_string_lossy().into_owned(), why };
    connected().map_err(unreachable)
}

/// A socket without a file, which only Linux has.
#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The clock that systemd compares reloads by, in microseconds. It never jumps, and is no time
/// of day.
fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]
mod tests {
    use std::os::linux::net::SocketAddrExt;

    use super::*;

    /// A service manager's socket, and a notifier that was given its name.
    fn pair(variables: &[(&str, &str)], address: &SocketAddr) -> (UnixDatagram, Notifier) {
        let manager = UnixDatagram::bind_addr(address).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let named = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => path.as_os_str().to_owned(),
            (_, Some(name)) => OsString::from(format!("@{}", String::from_utf8_lossy(name))),
            _ => unreachable!("bound to a name"),
        };
        let notifier = notifier(variables, Some(&named)).unwrap();
        (manager, notifier)
    }

    fn notifier(
        variables: &[(&str, &str)],
        socket: Option<&OsStr>,
    ) -> Result<Notifier, NotifyError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            let found = found.map(|(_, value)| OsString::from(value));
            if name == "NOTIFY_SOCKET" { socket.map(OsStr::to_owned) } else { found }
        };
        Notifier::from_variables(variable, 42)
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_message_arrives_as_the_protocol_wants_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = SocketAddr::from_pathname(directory.path().join("notify")).unwrap();
        let name = format!("periodd-test-{}", uuid::Uuid::new_v4());
        let hidden = SocketAddr::from_abstract_name(name).unwrap();
        for address in [path, hidden] {
            let (manager, notifier) = pair(&[], &address);
            notifier.ready("next: 412 orgs in Asia/Tokyo at 15:00Z");
            assert_eq!(heard(&manager), "READY=1\nSTATUS=next: 412 orgs in Asia/Tokyo at 15:00Z");
            notifier.status("two lines\nREADY=1");
            assert_eq!(heard(&manager), "STATUS=two lines READY=1");
            let before = monotonic_micros();
            notifier.reloading();
            let message = heard(&manager);
            let micros = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!((before..=monotonic_micros()).contains(&micros.parse().unwrap()), "{micros}");
            notifier.watchdog();
            assert_eq!(heard(&manager), "WATCHDOG=1");
            notifier.stopping();
            assert_eq!(heard(&manager), "STOPPING=1");
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_said() {
        let silent = notifier(&[("WATCHDOG_USEC", "1000000")], None).unwrap();
        silent.ready("nobody listens");
        assert_eq!(silent.watchdog_interval(), None);
        assert!(notifier(&[], Some(OsStr::new(""))).unwrap().socket.is_none());
    }

    #[test]
    fn the_watchdog_is_heard_twice_in_its_time_and_only_if_it_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let interval = |variables: &[(&str, &str)]| {
            let path = directory.path().join(uuid::Uuid::new_v4().to_string());
            let (_manager, notifier) = pair(variables, &SocketAddr::from_pathname(path).unwrap());
            notifier.watchdog_interval()
        };
        let limit = ("WATCHDOG_USEC", "30000000");
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[limit]), Some(Duration::from_secs(15)));
        assert_eq!(interval(&[limit, ("WATCHDOG_PID", "42")]), Some(Duration::from_secs(15)));
        assert_eq!(interval(&[limit, ("WATCHDOG_PID", "43")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "0")]), None);
    }

    #[test]
    fn what_cannot_work_is_said() {
        let said = |variables: &[(&str, &str)], socket: Option<&str>| {
            notifier(variables, socket.map(OsStr::new)).unwrap_err().to_string()
        };
        assert_eq!(
            said(&[("WATCHDOG_USEC", "30s")], None),
            "WATCHDOG_USEC must be a whole number, not `30s`"
        );
        assert!(said(&[], Some("/nowhere/notify")).contains("NOTIFY_SOCKET is /nowhere/notify"));
        assert!(said(&[], Some("notify")).contains("neither a path nor an abstract name"));
    }

    #[test]
    fn a_service_manager_that_has_gone_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = SocketAddr::from_pathname(directory.path().join("notify")).unwrap();
        let (manager, notifier) = pair(&[], &path);
        drop(manager);
        notifier.watchdog();
    }
}
