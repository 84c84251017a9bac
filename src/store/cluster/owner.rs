//! Which user the server runs as. PostgreSQL refuses root.
//!
//! As an ordinary user: that user. As root: whoever owns what is already there (the data, the
//! directory above it, the state directory), so that root's commands and a service under its own
//! user work on one cluster; if all of it is root's, the user `postgres`, else `nobody`.
//!
//! Root writes nothing into a directory that the owner controls: a link planted there would lead
//! root's hand elsewhere. The owner's own processes write there instead.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::ClusterError;
use super::layout::Layout;

/// The user that owns the data and runs the server.
#[derive(Debug)]
pub(super) struct Owner {
    /// Set if we are root and the owner is another.
    ids: Option<(u32, u32)>,
    /// The name; a user without one is written as its number.
    pub(super) name: String,
}

impl Owner {
    /// The owner for this layout.
    pub(super) fn of(layout: &Layout) -> Result<Self, ClusterError> {
        if id(&["-u"]) != Some("0".to_owned()) {
            return Ok(Self { ids: None, name: id(&["-un"]).unwrap_or_default() });
        }
        let owners = [&layout.data, &layout.home, &layout.state];
        let present = owners.into_iter().filter_map(|path| fs::metadata(path).ok());
        if let Some(found) = present.into_iter().find(|found| found.uid() != 0) {
            return Ok(Self::by_uid(found.uid(), found.gid()));
        }
        ["postgres", "nobody"].into_iter().find_map(Self::by_name).ok_or(ClusterError::NoUser)
    }

    fn by_name(name: &str) -> Option<Self> {
        let uid = id(&["-u", name])?.parse().ok().filter(|uid| *uid != 0)?;
        let gid = id(&["-g", name])?.parse().ok()?;
        Some(Self { ids: Some((uid, gid)), name: name.to_owned() })
    }

    /// The group is the user's own; `gid` serves a user that no directory of users knows.
    fn by_uid(uid: u32, gid: u32) -> Self {
        let name = Command::new("id").arg("-un").uid(uid).current_dir("/").output();
        let name = name.ok().and_then(|output| answer(&output));
        let named = name.as_deref().and_then(Self::by_name);
        named.unwrap_or_else(|| Self { ids: Some((uid, gid)), name: uid.to_string() })
    }

    /// A command that runs as the owner. It gets none of our environment: that may hold secrets,
    /// libpq's own variables, and the service manager's socket, which PostgreSQL would answer to.
    /// Its process group is its own, so that Ctrl-C reaches only us.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
        command.current_dir("/").process_group(0);
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
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
                self.script("umask 077; : >> \"$1\"", lock, "")
                    .map_err(ClusterError::state_dir(lock))?;
            }
        }
        Ok(())
    }

    /// Writes a file whole or not at all, readable by the owner alone.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        let script = "umask 077; cat > \"$1.new\" && mv -f \"$1.new\" \"$1\"";
        self.script(script, path, text).map_err(ClusterError::state_dir(path))
    }

    /// Adds to a file's end.
    pub(super) fn append(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        self.script("cat >> \"$1\"", path, text).map_err(ClusterError::state_dir(path))
    }

    /// A directory that is `ours` by its place and still root's is handed over as if it were
    /// new: its maker may have been killed half-way.
    fn make_dir(&self, dir: &Path, mode: u32, ours: bool) -> Result<(), ClusterError> {
        let found = fs::metadata(dir).ok().filter(fs::Metadata::is_dir);
        let handed_over = |found: &fs::Metadata| self.ids.is_none() || found.uid() != 0;
        if found.is_some_and(|found| !ours || handed_over(&found)) {
            return Ok(());
        }
        self.try_make_dir(dir, mode).map_err(ClusterError::state_dir(dir))
    }

    fn try_make_dir(&self, dir: &Path, mode: u32) -> io::Result<()> {
        let parent = dir.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent)?;
        match self.ids {
            // Only where nobody but root can plant a link.
            Some((uid, gid)) if fs::metadata(parent)?.uid() == 0 => {
                make_or_keep(dir)?;
                lchown(dir, Some(uid), Some(gid))?;
                fs::set_permissions(dir, fs::Permissions::from_mode(mode))
            }
            Some(_) => self.script(&format!("umask 077; mkdir -p -m {mode:o} \"$1\""), dir, ""),
            None => {
                make_or_keep(dir)?;
                fs::set_permissions(dir, fs::Permissions::from_mode(mode))
            }
        }
    }

    /// Runs a line of shell as the owner, with `path` as `$1` and `input` on stdin.
    fn script(&self, script: &str, path: &Path, input: &str) -> io::Result<()> {
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
        Err(ClusterError::Closed { dir: closed, user: self.name.clone() })
    }

    /// Entering is tried as the owner, not computed from modes: ACLs and mounts have a say too.
    fn first_closed(&self, dir: &Path) -> Option<PathBuf> {
        self.ids?;
        if self.can_enter(dir) {
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

/// `id` knows users from every directory of users that the system has; `/etc/passwd` does not.
fn id(args: &[&str]) -> Option<String> {
    answer(&Command::new("id").args(args).current_dir("/").output().ok()?)
}

fn answer(output: &Output) -> Option<String> {
    let text = String::from_utf8(output.stdout.clone()).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
