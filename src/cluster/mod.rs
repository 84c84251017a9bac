//! The private PostgreSQL cluster: the embedded default.
//!
//! It lives below the state directory and is reached over a Unix socket only:
//!
//! ```text
//! STATE_DIR/postgresql/data         PostgreSQL's data directory
//! STATE_DIR/postgresql/server.log   what the server says
//! STATE_DIR/postgresql/users.lock   locked, shared, by every process that uses the server
//! STATE_DIR/postgresql/start.lock   locked by the process that initialises or starts it
//! STATE_DIR/run/                    the socket; who may enter the directory, may connect
//! ```
//!
//! The locks are the kernel's (`flock`): they end with their process, however it ends. Nobody
//! stops the server while another holds `users.lock`, and the last to leave stops it. A process
//! that was killed leaves the server running; the next one uses it and takes over its end. The one
//! exception is a server whose socket is gone (somebody emptied its directory): nobody can connect
//! any more, so it is restarted, whoever still has a connection.
//!
//! Never: a TCP port; PostgreSQL as root; a server that is stopped while a process uses it; half a
//! data directory.

mod binaries;
mod conf;
mod error;
mod initialise;
mod layout;
mod memory;
mod owner;
mod pidfile;
mod ping;
mod server;
mod server_log;

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ClusterError;

use binaries::Binaries;
use layout::Layout;
use owner::Owner;
use server::{Server, Started, is_serving};
pub use server_log::ServerLog;

use crate::account::Account;
use crate::store::db::private_rights;

/// The number in the socket's name; there is no TCP port.
const PORT: u16 = 5432;

/// The role that owns the tables and that periodd connects as.
const USER: &str = "periodd";

/// The role that owns the server, which nothing of ours works as but for its own rights.
const SUPERUSER: &str = "postgres";

/// The database.
const DATABASE: &str = "periodd";

/// Where the cluster is and how it is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state directory; made if it is missing.
    pub state_dir: PathBuf,
    /// The socket's directory; `run` in the state directory if not set. Made, with mode 0750, if
    /// it is missing.
    pub socket_dir: Option<PathBuf>,
    /// The directory of the server's binaries, and then the only one; looked for if not set.
    pub bin_dir: Option<PathBuf>,
    /// Directories to look for binaries in, instead of the usual places.
    pub search: Option<Vec<PathBuf>>,
    /// Leave the server running even as the last to leave.
    pub keep_running: bool,
    /// How long the server may take to accept connections, recovery included.
    pub start_timeout: Duration,
}

impl Settings {
    /// The defaults for a state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            socket_dir: None,
            bin_dir: None,
            search: None,
            keep_running: false,
            start_timeout: Duration::from_mins(2),
        }
    }
}

/// Whom the state below a state directory belongs to, or will belong to: for root, which becomes
/// that user before it touches anything there.
///
/// That is whoever owns the state directory (or, if it is still missing, what it is to be made in),
/// else the cluster's directory, the data, the directory `beside`; if all of it is root's or
/// missing, the user `periodd`, else `postgres`, else `nobody`. For an ordinary user: that user.
///
/// # Errors
/// [`ClusterError`] for paths that cannot be used, and where there is no such user.
pub fn owner(settings: &Settings, beside: Option<&Path>) -> Result<Account, ClusterError> {
    Ok(Owner::of_all(&Layout::as_it_is(settings)?, beside)?.into_account())
}

/// The first of what root does before it becomes the user of the state: the state directory is made
/// and given to the user, if it is missing.
///
/// # Errors
/// [`ClusterError`]; nothing was made when root cannot become the user.
pub fn make_state(settings: &Settings, account: &Account) -> Result<(), ClusterError> {
    let layout = Layout::as_it_is(settings)?;
    account.try_out(&layout.state)?;
    let is_new = !layout.state.exists();
    Owner::from(account.clone()).make_dir(&layout.state, 0o755, is_new)
}

/// All that root does before it becomes the user of the state: directories that are missing are
/// made and given to the user, in places that are root's alone; elsewhere the user itself makes
/// them. `beside` is a directory that is handed over as well, if it is missing or below the state
/// directory.
///
/// # Errors
/// [`ClusterError`]; nothing was made when root cannot become the user.
pub fn hand_over(
    settings: &Settings,
    account: &Account,
    beside: Option<&Path>,
) -> Result<(), ClusterError> {
    make_state(settings, account)?;
    let owner = Owner::from(account.clone());
    let layout = Layout::as_it_is(settings)?;
    owner.prepare(&layout)?;
    if let Some(dir) = beside {
        let found = std::fs::canonicalize(dir);
        let ours = found.map_or(true, |dir| dir.starts_with(&layout.state) && dir != layout.state);
        owner.make_dir(dir, 0o750, ours)?;
    }
    Ok(())
}

/// A running private cluster, kept running at least as long as this value lives.
///
/// [`Cluster::close`] it when done, after closing all connections; dropping it does the same and
/// only logs what goes wrong. Both block when the server has to be stopped, as does opening.
#[derive(Debug)]
pub struct Cluster {
    settings: Settings,
    layout: Layout,
    users: File,
    left: bool,
}

impl Cluster {
    /// Joins the users of the cluster and sees to it that the server accepts connections: makes
    /// the data directory the first time, starts the server if it is not running. Blocks.
    ///
    /// # Errors
    /// [`ClusterError`], each a sentence for the operator.
    pub fn open(settings: &Settings) -> Result<Self, ClusterError> {
        let layout = Layout::new(settings)?;
        let users = lock_file(&layout, &layout.users_lock)?;
        users.lock_shared().map_err(ClusterError::state_dir(&layout.users_lock))?;
        let mut cluster = Self { settings: settings.clone(), layout, users, left: false };
        cluster.server_log().bound();
        // Nobody stops a server that we see serving now: we hold the shared lock.
        if is_serving(&cluster.layout)? {
            return Ok(cluster);
        }
        let started = cluster.start();
        if let Err(ClusterError::Slow { .. }) = started {
            // A recovery that is stopped has to begin again; it does better left alone.
            cluster.settings.keep_running = true;
        }
        started.map(|()| cluster)
    }

    /// Looks at the cluster and leaves everything as it is: how to connect, if the server runs.
    /// `None` says that it does not, and that a server was found that could be started.
    ///
    /// # Errors
    /// [`ClusterError`], as [`Cluster::open`] would meet it.
    pub fn look(settings: &Settings) -> Result<Option<String>, ClusterError> {
        let layout = Layout::as_it_is(settings)?;
        if is_serving(&layout)? {
            return Ok(Some(url(&layout)));
        }
        let owner = Owner::of(&layout)?;
        Binaries::find(settings, &owner, &layout.data, layout.version()?.as_deref())?;
        Ok(None)
    }

    /// Starts the server again if it is not running, whoever killed it; true if it had to. Blocks.
    ///
    /// # Errors
    /// [`ClusterError`] as for opening.
    pub fn revive(&self) -> Result<bool, ClusterError> {
        if is_serving(&self.layout)? {
            return Ok(false);
        }
        self.start().map(|()| true)
    }

    /// The server's log, which somebody has to keep within its bound while the server runs.
    pub fn server_log(&self) -> ServerLog {
        ServerLog::new(&self.layout)
    }

    /// Erases the cluster's data; what else is in the state directory stays. A server that was
    /// left behind is stopped first. Blocks.
    ///
    /// # Errors
    /// [`ClusterError::InUse`] if another process uses the cluster; nothing is erased then.
    pub fn erase(settings: &Settings) -> Result<(), ClusterError> {
        let layout = Layout::new(settings)?;
        if !layout.data.exists() {
            return Ok(());
        }
        let users = lock_file(&layout, &layout.users_lock)?;
        // It has left from the start: there is nothing to stop when it is dropped.
        let cluster = Self { settings: settings.clone(), layout, users, left: true };
        let data = &cluster.layout.data;
        if !cluster.is_last()? {
            return Err(ClusterError::InUse { data: data.clone() });
        }
        if cluster.layout.pid_file().exists() {
            Server::new(&cluster.layout, &cluster.settings)?.stop()?;
        }
        // The locks stay: whoever waits for one finds no data then, and makes it anew.
        std::fs::remove_dir_all(data).map_err(ClusterError::state_dir(data))
    }

    /// The directory of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.layout.socket_dir
    }

    /// The port as clients name it; over a socket it is only the suffix of the socket's name.
    pub const fn port(&self) -> u16 {
        PORT
    }

    /// The database's name.
    pub const fn database(&self) -> &'static str {
        DATABASE
    }

    /// The role that periodd connects as; it owns the database.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// How to connect, as a URL that libpq and sqlx read.
    pub fn url(&self) -> String {
        url(&self.layout)
    }

    /// How to connect to a server that runs already; `None` where none does. Starts nothing.
    pub fn url_if_running(settings: &Settings) -> Option<String> {
        let layout = Layout::as_it_is(settings).ok()?;
        is_serving(&layout).ok()?.then(|| url(&layout))
    }

    /// Leaves; the last to leave stops the server, unless it is to be kept running. Blocks.
    ///
    /// # Errors
    /// [`ClusterError::Stop`] if the server does not stop.
    pub fn close(mut self) -> Result<(), ClusterError> {
        self.leave()
    }

    /// Under the start lock, which ends with the file that is open here.
    fn start(&self) -> Result<(), ClusterError> {
        let lock = lock_file(&self.layout, &self.layout.start_lock)?;
        lock.lock().map_err(ClusterError::state_dir(&self.layout.start_lock))?;
        // Another may have started it while we waited.
        if is_serving(&self.layout)? {
            return Ok(());
        }
        let owner = Owner::of(&self.layout)?;
        owner.prepare(&self.layout)?;
        let server = Server::new(&self.layout, &self.settings)?;
        if server.start()? != Started::Yes {
            self.take_over(&server)?;
        }
        private_rights::set(&url_as(&self.layout, SUPERUSER), USER, DATABASE);
        Ok(())
    }

    /// A server that listens elsewhere, left behind by a killed process with other settings, is
    /// restarted here, if nobody is using it.
    fn take_over(&self, server: &Server<'_>) -> Result<(), ClusterError> {
        let stopped = self.is_last()?.then(|| server.stop());
        self.users.lock_shared().map_err(ClusterError::state_dir(&self.layout.users_lock))?;
        if let Some(stopped) = stopped {
            stopped?;
            if server.start()? == Started::Yes {
                return Ok(());
            }
        }
        let there = server.socket_dir().unwrap_or_default();
        let (data, here) = (self.layout.data.clone(), self.layout.socket_dir.clone());
        Err(ClusterError::SocketElsewhere { data, there, here })
    }

    /// Gives up the shared lock; true if nobody else has it, and then nobody can come in until
    /// the exclusive lock, now held, is given up too.
    fn is_last(&self) -> Result<bool, ClusterError> {
        // Two steps: systems differ in what an upgrade that fails leaves behind, and two leavers
        // that both kept their shared lock would both see another.
        self.users.unlock().map_err(ClusterError::state_dir(&self.layout.users_lock))?;
        match self.users.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => {
                Err(ClusterError::state_dir(&self.layout.users_lock)(error))
            }
        }
    }

    fn leave(&mut self) -> Result<(), ClusterError> {
        if std::mem::replace(&mut self.left, true) || self.settings.keep_running {
            return Ok(());
        }
        // Without its lock file no server runs, and nothing needs to be found to stop it.
        if !self.is_last()? || !self.layout.pid_file().exists() {
            return Ok(());
        }
        Server::new(&self.layout, &self.settings)?.stop()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!("{error}");
        }
    }
}

/// Opens a lock file; when it is missing, everything around it is made first. Files of the
/// standard library are closed on exec, so no server inherits a lock.
fn lock_file(layout: &Layout, path: &Path) -> Result<File, ClusterError> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    match open() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Owner::of(layout)?.prepare(layout)?;
            open()
        }
        other => other,
    }
    .map_err(ClusterError::state_dir(path))
}

fn url(layout: &Layout) -> String {
    url_as(layout, USER)
}

/// All of it is said: what is left out, libpq and sqlx take from the environment.
fn url_as(layout: &Layout, user: &str) -> String {
    let host = percent_encoded(&layout.socket_dir.to_string_lossy());
    format!("postgresql:///{DATABASE}?host={host}&user={user}&port={PORT}")
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
