//! What can keep the private cluster from serving, each as one sentence that says what to do.

use std::io;
use std::path::PathBuf;

use crate::account::CannotBecome;

/// Why the private cluster cannot be used. All of them mean "database unavailable" (exit 69).
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The state directory, or what belongs into it, cannot be made or opened.
    #[error(
        "The state directory cannot be used ({path}: {source}): set [daemon] state_dir to a \
         directory that this user can write to, or change the owner of this one"
    )]
    StateDir {
        /// What could not be made or opened.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory above the cluster is closed to the user that runs the server.
    #[error(
        "PostgreSQL runs as user {user} here and cannot enter {dir}: open it (chmod a+x {dir}), \
         or set [daemon] state_dir to a directory that {user} can reach"
    )]
    Closed {
        /// The uppermost directory that is closed.
        dir: PathBuf,
        /// Who the server runs as.
        user: String,
    },
    /// A path that the server's own tools would misread.
    #[error(
        "The path {path:?} cannot be used for a database: choose one in UTF-8 without double \
         quotes, dollar signs, backquotes, backslashes and control characters"
    )]
    AwkwardPath {
        /// The path.
        path: PathBuf,
    },
    /// A Unix socket's path has a hard limit.
    #[error(
        "The socket path {path} has {length} bytes and must stay below {limit}: set [daemon] \
         state_dir to a shorter path"
    )]
    SocketPath {
        /// The socket.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The first length that is too long, in bytes.
        limit: usize,
    },
    /// No server binaries anywhere.
    #[error(
        "No PostgreSQL server was found (initdb, postgres and pg_ctl, version 15 to 18): install \
         one (Debian and Ubuntu: apt install postgresql; Fedora: dnf install postgresql-server; \
         macOS: brew install postgresql@18), name its directory in [database] server_binaries, or \
         set [database] url to your own server"
    )]
    NoBinaries,
    /// The configured directory holds no server.
    #[error(
        "No PostgreSQL server in {dir}: set [database] server_binaries to a directory with \
         initdb, postgres and pg_ctl, or unset it to search for one"
    )]
    NoBinariesIn {
        /// The configured directory.
        dir: PathBuf,
    },
    /// Server binaries are there, and none of them runs for this user.
    #[error(
        "The PostgreSQL server in {dir} does not run as user {user} ({reason}): install one that \
         every user can run, or name its directory in [database] server_binaries"
    )]
    Unusable {
        /// The first directory tried.
        dir: PathBuf,
        /// Who the server would run as.
        user: String,
        /// What happened.
        reason: String,
    },
    /// Server binaries are there, and none is of a version that periodd supports.
    #[error(
        "Found only {found}, but periodd needs PostgreSQL 15 to 18: install one of these versions"
    )]
    Unsupported {
        /// The versions and their directories.
        found: String,
    },
    /// The data directory belongs to a major version whose binaries are not here.
    #[error(
        "The data directory {data} was created by PostgreSQL {wanted}, but only {found} was \
         found: install the PostgreSQL {wanted} server, convert the data with pg_upgrade, or move \
         the directory away to start over"
    )]
    OtherVersion {
        /// The data directory.
        data: PathBuf,
        /// The major version that made it.
        wanted: String,
        /// The versions found and their directories.
        found: String,
    },
    /// There is something in place of the data directory.
    #[error(
        "{data} is not empty and not a PostgreSQL data directory: move it away, or set [daemon] \
         state_dir to another directory"
    )]
    NotACluster {
        /// The data directory.
        data: PathBuf,
    },
    /// A link in the place of a directory, to a place that the owner does not own.
    #[error(
        "{link} is a link to {target}, which must be a directory of user {user}: create it (mkdir \
         -p {target} && chown {user}: {target}), or remove the link"
    )]
    Linked {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// Who the server runs as.
        user: String,
    },
    /// The state belongs to a user that root cannot become.
    #[error(transparent)]
    CannotBecome(#[from] CannotBecome),
    /// Root, and no other user to run the server as.
    #[error(
        "PostgreSQL does not run as root, and the users periodd, postgres and nobody do not \
         exist: create a user postgres, or run periodd as an ordinary user"
    )]
    NoUser,
    /// One of PostgreSQL's tools failed.
    #[error("{doing} failed: {output}")]
    Tool {
        /// What was being done.
        doing: String,
        /// The tool's own words.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL did not start; the last lines of {log}:\n{tail}")]
    Start {
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server has been starting for too long.
    #[error(
        "PostgreSQL is still starting after {seconds} s; try again later; the last lines of \
         {log}:\n{tail}"
    )]
    Slow {
        /// How long was waited, in seconds.
        seconds: u64,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A server that is not ours has the socket.
    #[error(
        "Another PostgreSQL server already listens on {socket}: configure a separate socket \
         directory for periodd"
    )]
    SocketTaken {
        /// The socket.
        socket: PathBuf,
    },
    /// Our server runs for others, with its socket in another place.
    #[error(
        "The server of {data} runs with its socket in {there}, not in {here}, and other processes \
         are using it: stop them first, or use the same socket directory"
    )]
    SocketElsewhere {
        /// The data directory.
        data: PathBuf,
        /// Where its socket is.
        there: PathBuf,
        /// Where it was expected.
        here: PathBuf,
    },
    /// What is to be erased is in use.
    #[error("The server of {data} is used by another process: stop that process, then try again")]
    InUse {
        /// The data directory.
        data: PathBuf,
    },
    /// The last to leave could not stop the server.
    #[error("PostgreSQL could not be stopped ({output}); see {log}")]
    Stop {
        /// The tool's own words.
        output: String,
        /// The server's log.
        log: PathBuf,
    },
}

impl ClusterError {
    /// For `map_err`: the state directory's trouble at `path`.
    pub(super) fn state_dir(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::StateDir { path, source }
    }
}
