//! Where everything lies below the state directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{ClusterError, PORT, Settings};

/// The first length of a socket's path that the system refuses, in bytes.
const SOCKET_LIMIT: usize = if cfg!(target_os = "linux") { 108 } else { 104 };

/// The paths of one cluster; all absolute.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) state: PathBuf,
    /// The directory of everything here but the socket.
    pub(super) home: PathBuf,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    /// Shared by all who use the server.
    pub(super) users_lock: PathBuf,
    /// Held by the one who initialises or starts.
    pub(super) start_lock: PathBuf,
    /// The directory of the socket: who may enter it, may connect.
    pub(super) socket_dir: PathBuf,
}

impl Layout {
    /// Checks the paths, makes the state directory if it is missing, and resolves it.
    pub(super) fn new(settings: &Settings) -> Result<Self, ClusterError> {
        let state = absolute(&settings.state_dir)?;
        Self::below(&state, settings)?;
        make_state_dir(&state)?;
        let state = fs::canonicalize(&state).map_err(ClusterError::state_dir(&state))?;
        Self::below(&state, settings)
    }

    /// The same without making anything: a state directory that is missing stays so.
    pub(super) fn as_it_is(settings: &Settings) -> Result<Self, ClusterError> {
        let state = absolute(&settings.state_dir)?;
        let state = fs::canonicalize(&state).unwrap_or(state);
        Self::below(&state, settings)
    }

    fn below(state: &Path, settings: &Settings) -> Result<Self, ClusterError> {
        let home = state.join("postgresql");
        let socket_dir = match &settings.socket_dir {
            Some(dir) => absolute(dir)?,
            None => state.join("run"),
        };
        let layout = Self {
            data: home.join("data"),
            log: home.join("server.log"),
            users_lock: home.join("users.lock"),
            start_lock: home.join("start.lock"),
            state: state.to_owned(),
            home,
            socket_dir,
        };
        plain(&layout.home)?;
        plain(&layout.socket_dir)?;
        short(&layout.socket())?;
        Ok(layout)
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}"))
    }

    /// The server's lock file beside the socket.
    pub(super) fn socket_lock(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}.lock"))
    }

    /// The server's lock file in the data directory.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// The major version that made the data directory; `None` if there is no data yet.
    pub(super) fn version(&self) -> Result<Option<String>, ClusterError> {
        let file = self.data.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClusterError::state_dir(file)(error)),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ClusterError> {
    std::path::absolute(path).map_err(ClusterError::state_dir(path))
}

/// A state directory that we make is open to walk through, whatever the umask: the server may run
/// as another user, and applications pass on their way to the socket. What is below decides.
fn make_state_dir(state: &Path) -> Result<(), ClusterError> {
    if state.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(state)
        .and_then(|()| fs::set_permissions(state, fs::Permissions::from_mode(0o755)))
        .map_err(ClusterError::state_dir(state))
}

/// `pg_ctl` puts these paths between double quotes of a shell command, and configuration files
/// are text.
fn plain(path: &Path) -> Result<(), ClusterError> {
    let awkward = |c: char| c.is_control() || matches!(c, '"' | '$' | '`' | '\\');
    match path.to_str() {
        Some(text) if !text.contains(awkward) => Ok(()),
        _ => Err(ClusterError::AwkwardPath { path: path.to_owned() }),
    }
}

fn short(socket: &Path) -> Result<(), ClusterError> {
    let length = socket.as_os_str().as_bytes().len();
    if length < SOCKET_LIMIT {
        return Ok(());
    }
    Err(ClusterError::SocketPath { path: socket.to_owned(), length, limit: SOCKET_LIMIT })
}
