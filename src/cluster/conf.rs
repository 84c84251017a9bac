//! The server's configuration files, written anew at every start so that they cannot rot.
//!
//! Who may connect: the directory of the socket is the gate (mode 0750 when we make it; an
//! administrator may change it, and we leave that alone). Behind it the two roles that own
//! something, `postgres` and `periodd`, are for root and for the user that runs the server, proven
//! by the kernel (`peer`). Every other role is an application's; it is trusted, because a process
//! that was let through the gate is one of the applications, and a password in its configuration
//! would lie behind the same kind of gate.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use super::layout::Layout;
use super::owner::Owner;
use super::{ClusterError, PORT, memory};

/// The line that leads from initdb's own file, which keeps what initdb probed, to ours.
pub(super) const INCLUDE: &str = "\ninclude 'periodd.conf'\n";

/// What the server keeps of its tables in memory: an eighth of what it may use, within these bounds
/// in MiB. The pages of a million orgs that roll over at once come to about one GiB; memory that
/// is never needed is never taken.
const BUFFERS: RangeInclusive<u64> = 128..=2048;
const SHARE_OF_MEMORY: u64 = 8;
/// What the server starts with at all, in MiB.
const SMALLEST: u64 = 1;
/// Where there is little memory the lower bound gives way: never more than this share.
const LARGEST_SHARE: u64 = 4;

const HEAD: &str = "# Written by periodd at every start; changes are lost.\n";

/// How the server compresses full pages in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalCompression {
    /// The method that every server has.
    Pglz,
    /// A third of the time for the same size; a server may be built without it.
    Lz4,
}

impl WalCompression {
    /// The value of `wal_compression`.
    pub(super) const fn setting(self) -> &'static str {
        match self {
            Self::Pglz => "on",
            Self::Lz4 => "lz4",
        }
    }
}

/// Writes all of them.
pub(super) fn write(
    layout: &Layout,
    owner: &Owner,
    compression: WalCompression,
) -> Result<(), ClusterError> {
    let file = |name: &str| layout.data.join(name);
    let server = server(&layout.socket_dir, buffers(memory::limit()), compression);
    owner.write(&file("periodd.conf"), &server)?;
    owner.write(&file("pg_hba.conf"), &clients())?;
    owner.write(&file("pg_ident.conf"), &names(owner.name()))
}

/// The size of the server's buffers where that much memory may be used, in MiB.
fn buffers(memory: Option<u64>) -> u64 {
    let Some(memory) = memory.map(|bytes| bytes >> 20) else { return *BUFFERS.start() };
    let share = (memory / SHARE_OF_MEMORY).clamp(*BUFFERS.start(), *BUFFERS.end());
    share.min(memory / LARGEST_SHARE).max(SMALLEST)
}

fn server(socket_dir: &Path, buffers: u64, compression: WalCompression) -> String {
    let compression = compression.setting();
    let socket_dir = socket_dir.to_string_lossy().replace('\'', "''");
    format!(
        "{HEAD}# Put your own settings in local.conf beside this file; they take precedence.

# No network: a socket, in a directory that is the gate.
listen_addresses = ''
port = {PORT}
unix_socket_directories = '\"{socket_dir}\"'
unix_socket_permissions = 0777
cluster_name = 'periodd'
max_connections = 100

# A share of the machine, which has other work.
shared_buffers = {buffers}MB
# Long strokes: fewer full pages in the log, at the price of a longer recovery.
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = {compression}
# Statements here are short, and compiling them needs writable code pages.
jit = off

# What is acknowledged is on disk.
fsync = on
synchronous_commit = on

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_destination = 'stderr'
logging_collector = off
log_checkpoints = off
# Errors are said; the statements of applications, values and all, are the applications' to log.
log_min_error_statement = panic
log_line_prefix = '%m [%p] %q%u@%d '

include_if_exists = 'local.conf'
"
    )
}

fn clients() -> String {
    format!(
        "{HEAD}# The socket's directory is the gate; behind it owners are proven by the kernel.
local all         postgres peer map=periodd
local all         periodd  peer map=periodd
local replication postgres peer map=periodd
local all         all      trust
"
    )
}

fn names(owner: &str) -> String {
    let mut text = format!("{HEAD}# map    user of the system    role\n");
    let owner = owner.replace('"', "\"\"");
    for user in ["root", &owner].into_iter().filter(|user| !user.is_empty()) {
        for role in ["postgres", "periodd"] {
            // Writing to a String does not fail.
            let _ = writeln!(text, "periodd \"{user}\" {role}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::buffers;

    #[test]
    fn buffers_are_a_share_of_what_may_be_used() {
        let of = |mebibytes: u64| buffers(Some(mebibytes << 20));
        assert_eq!([of(24 << 10), of(8 << 10), of(2 << 10)], [2048, 1024, 256]);
        assert_eq!([of(512), of(256), of(64), of(1)], [128, 64, 16, 1]);
        assert_eq!(buffers(None), 128);
    }
}
