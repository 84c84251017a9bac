//! Which user the server runs as. PostgreSQL refuses root.
//!
//! As an ordinary user: that user. As root: whoever owns what is already there (the state
//! directory, the cluster's, the data), so that root's commands and a service under its own
//! user work on one cluster; if all of it is root's, the package's user `periodd`, else `postgres`,
//! else `nobody`. The program itself becomes that user before it opens the cluster; what is here
//! for root prepares that, and serves whoever uses the cluster as root all the same.
//!
//! Root writes nothing into a directory that the owner controls: a link planted there would lead
//! root's hand elsewhere. The owner's own processes write there instead.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::OFlags;

use super::ClusterError;
use super::layout::Layout;
use crate::account::{self, Account, nearest};

/// Bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Who owns everything when root comes first and nothing is anybody's yet: the package's user, so
/// that the service finds its own; else the server's, if its package is there; else nobody.
const USUAL: [&str; 3] = ["periodd", "postgres", "nobody"];

/// What commands find their programs in beside `PATH`, which may be empty.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The user that owns the data and runs the server.
#[derive(Debug)]
pub(super) struct Owner {
    account: Account,
    /// Whether we are root, and the owner is another.
    is_another: bool,
}

impl Owner {
    /// The owner for this layout.
    pub(super) fn of(layout: &Layout) -> Result<Self, ClusterError> {
        Self::of_all(layout, None)
    }

    /// The same, where the owner of a directory `beside` counts before nobody's does.
    pub(super) fn of_all(layout: &Layout, beside: Option<&Path>) -> Result<Self, ClusterError> {
        if !account::is_root() {
            return Ok(Self { account: Account::current(), is_another: false });
        }
        // Outside in: who controls the outer directory, could make of the inner ones what he likes.
        let owners = [nearest(&layout.state), &layout.home, &layout.data];
        let found = Account::of_first(owners.into_iter().chain(beside)).map(|(account, _)| account);
        let usual = || USUAL.into_iter().filter_map(Account::by_name).find(|user| user.uid != 0);
        found.or_else(usual).map(Self::from).ok_or(ClusterError::NoUser)
    }

    /// The user.
    pub(super) fn into_account(self) -> Account {
        self.account
    }

    /// The user's name; of a user without one, the number.
    pub(super) fn name(&self) -> &str {
        &self.account.name
    }

    /// A command that runs as the owner. It gets none of our environment: that may hold secrets,
    /// libpq's own variables, and the service manager's socket, which PostgreSQL would answer to.
    /// Its process group is its own, so that Ctrl-C reaches only us.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
        command.current_dir("/").process_group(0);
        for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if !path.is_empty() {
            path.push(":");
        }
        path.push(USUAL_PATH);
        command.env("PATH", path);
        if self.is_another {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    /// Makes the directories and lock files that are missing.
    pub(super) fn prepare(&self, layout: &Layout) -> Result<(), ClusterError> {
        self.make_dir(&layout.home, 0o700, true)?;
        let below_state = layout.socket_dir.starts_with(&layout.state);
        self.make_dir(&layout.socket_dir, 0o750, below_state)?;
        self.check_reach(&layout.home)?;
        self.check_reach(&layout.socket_dir)?;
        for lock in [&layout.users_lock, &layout.start_lock] {
            if !lock.exists() {
                self.make_lock(lock).map_err(ClusterError::state_dir(lock))?;
            }
        }
        Ok(())
    }

    fn make_lock(&self, lock: &Path) -> io::Result<()> {
        if self.is_another {
            return self.script("umask 077; : >> \"$1\"", lock, "");
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(lock).map(drop)
    }

    /// Writes a file whole or not at all, readable by the owner alone. What an earlier attempt
    /// left beside it, whosever it is, is in nobody's way.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        let written = if self.is_another {
            let script = "umask 077; new=\"$1.new-$$\"; \
                          cat > \"$new\" && mv -f \"$new\" \"$1\"";
            self.script(script, path, text)
        } else {
            write_whole(path, text)
        };
        written.map_err(ClusterError::state_dir(path))
    }

    /// Adds to a file's end.
    pub(super) fn append(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        let added = if self.is_another {
            self.script("cat >> \"$1\"", path, text)
        } else {
            let file = OpenOptions::new().append(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
        };
        added.map_err(ClusterError::state_dir(path))
    }

    /// Makes a directory of the owner's. One that is `ours` by its place and still root's is handed
    /// over as if it were new: its maker may have been killed half-way. Not so what a link of
    /// root's leads to: that is the administrator's.
    pub(super) fn make_dir(&self, dir: &Path, mode: u32, ours: bool) -> Result<(), ClusterError> {
        let found = fs::metadata(dir).ok().filter(fs::Metadata::is_dir);
        let handed_over = |found: &fs::Metadata| !self.is_another || found.uid() != 0;
        if found.is_some_and(|found| !ours || handed_over(&found)) {
            return Ok(());
        }
        if let Ok(target) = fs::read_link(dir) {
            let (link, user) = (dir.to_owned(), self.name().to_owned());
            return Err(ClusterError::Linked { link, target, user });
        }
        self.try_make_dir(dir, mode).map_err(ClusterError::state_dir(dir))
    }

    fn try_make_dir(&self, dir: &Path, mode: u32) -> io::Result<()> {
        let parent = dir.parent().unwrap_or(Path::new("/"));
        // Root makes nothing where somebody else could have planted a link.
        if self.is_another && !is_roots_alone(nearest(parent))? {
            return self.script(&format!("umask 022; mkdir -p -m {mode:o} \"$1\""), dir, "");
        }
        fs::create_dir_all(parent)?;
        make_or_keep(dir)?;
        self.hand_over(dir, mode)
    }

    /// Gives a directory of ours to the owner. It is held by its descriptor, so that what is
    /// changed is what was looked at; a link is not followed.
    fn hand_over(&self, dir: &Path, mode: u32) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = File::from(rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?);
        if self.is_another {
            if dir.metadata()?.uid() != 0 {
                return Ok(());
            }
            fchown(&dir, Some(self.account.uid), Some(self.account.gid))?;
        }
        dir.set_permissions(fs::Permissions::from_mode(mode))
    }

    /// Are we root, and the owner somebody else?
    pub(super) const fn is_another(&self) -> bool {
        self.is_another
    }

    /// Runs a line of shell as the owner, with `path` as `$1` and `input` on stdin.
    pub(super) fn script(&self, script: &str, path: &Path, input: &str) -> io::Result<()> {
        let mut command = self.command("/bin/sh");
        command.args(["-c", script, "sh"]).arg(path);
        let output = run(&mut command, input)?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(words(&output)))
    }

    /// The first directory on the way to `dir` that the owner may not enter is an error.
    fn check_reach(&self, dir: &Path) -> Result<(), ClusterError> {
        let Some(closed) = self.first_closed(dir) else { return Ok(()) };
        Err(ClusterError::Closed { dir: closed, user: self.name().to_owned() })
    }

    /// Entering is tried as the owner, not computed from modes: ACLs and mounts have a say too.
    fn first_closed(&self, dir: &Path) -> Option<PathBuf> {
        if !self.is_another || self.can_enter(dir) {
            return None;
        }
        let mut way: Vec<&Path> = dir.ancestors().collect();
        way.reverse();
        way.into_iter().find(|dir| !self.can_enter(dir)).map(Path::to_owned)
    }

    fn can_enter(&self, dir: &Path) -> bool {
        let mut command = self.command("/bin/sh");
        let status = command.args(["-c", ":"]).current_dir(dir).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl From<Account> for Owner {
    fn from(account: Account) -> Self {
        let is_another = account::is_root() && account.uid != 0;
        Self { account, is_another }
    }
}

/// Can nobody but root plant anything there?
fn is_roots_alone(dir: &Path) -> io::Result<bool> {
    let found = fs::metadata(dir)?;
    Ok(found.uid() == 0 && found.mode() & OTHERS_WRITE == 0)
}

/// Into a file beside it first, under a name of this process.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".new-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    // Of a process that had the number before us.
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    written().inspect_err(|_| {
        // Best effort: the error that counts is the first one.
        let _ = fs::remove_file(&beside);
    })
}

/// Two processes may make the same directory at once.
fn make_or_keep(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Runs a command with `input` on stdin and collects what it says.
pub(super) fn run(command: &mut Command, input: &str) -> io::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // A child that failed at once has closed its stdin; its own words say more than our EPIPE.
    if output.status.success() {
        written?;
    }
    Ok(output)
}

/// What a command said, on stderr or else on stdout, without the line ends around it.
pub(super) fn words(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    if said.trim().is_empty() { output.status.to_string() } else { said.trim().to_owned() }
}
