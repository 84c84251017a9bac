//! The users of this machine: who this process is, whom a path belongs to, and becoming another.
//!
//! Root works on files of other users only as these users: what root wrote there would be root's,
//! and out of the user's reach; and a link that the user planted would lead root's hand elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::{self, Gid, Uid, User};

/// Was this process root's when it began? Where root keeps things does not change when the process
/// becomes another user.
pub fn began_as_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(is_root)
}

/// Is this process root's now?
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Did this process begin as root, and become another user?
pub fn left_root() -> bool {
    began_as_root() && !is_root()
}

/// The path itself, or the first directory above it that is there.
pub fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The name; of a user without one, the number.
    pub name: String,
}

/// Why root cannot become another user.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} belongs to user {user}, and root cannot switch to that user here ({source}): run periodd \
     as {user}, or grant CAP_SETUID and CAP_SETGID", path.display()
)]
pub struct CannotBecome {
    /// What belongs to the user.
    path: PathBuf,
    /// The user's name.
    user: String,
    /// The system's reason.
    source: io::Error,
}

impl Account {
    /// The user that this process runs as.
    pub fn current() -> Self {
        Self::by_uid(Uid::effective().as_raw(), Gid::effective().as_raw())
    }

    /// The user of that name, if there is one.
    pub fn by_name(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().map(Self::from)
    }

    /// The user of that number. Its group is its own; `gid` serves a user that no directory of
    /// users knows.
    pub fn by_uid(uid: u32, gid: u32) -> Self {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(Self::from);
        known.unwrap_or_else(|| Self { uid, gid, name: uid.to_string() })
    }

    /// Whom the first of these paths that exists and is not root's belongs to, and that path.
    pub fn of_first<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<(Self, &'a Path)> {
        paths.into_iter().find_map(|path| {
            let found = fs::metadata(path).ok().filter(|found| found.uid() != 0)?;
            Some((Self::by_uid(found.uid(), found.gid()), path))
        })
    }

    /// Can root become this user, to whom `path` belongs? Everything is as before afterwards.
    pub fn try_out(&self, path: &Path) -> Result<(), CannotBecome> {
        let tried = || -> nix::Result<()> {
            let (uid, gid) = (Uid::effective(), Gid::effective());
            #[cfg(not(target_os = "macos"))]
            unistd::setgroups(&unistd::getgroups()?)?;
            unistd::setegid(self.gid())?;
            let became = unistd::seteuid(self.uid()).and_then(|()| unistd::seteuid(uid));
            unistd::setegid(gid)?;
            became
        };
        tried().map_err(|error| self.cannot(path, error.into()))
    }

    /// The whole process becomes this user, to whom `path` belongs, for good: with its groups, and
    /// with no way back.
    ///
    /// # Errors
    /// [`CannotBecome`]; the process must not go on then, for it may be half way.
    pub fn become_it(&self, path: &Path) -> Result<(), CannotBecome> {
        // It is asked for the first time before the answer changes.
        let _ = began_as_root();
        let became = || -> nix::Result<()> {
            self.take_groups()?;
            unistd::setgid(self.gid())?;
            unistd::setuid(self.uid())
        };
        became().map_err(|error| self.cannot(path, error.into()))?;
        let is_another = [Uid::current(), Uid::effective()].iter().all(|uid| *uid == self.uid());
        if is_another && unistd::seteuid(Uid::from_raw(0)).is_err() {
            return Ok(());
        }
        Err(self.cannot(path, io::Error::other("the process is still root")))
    }

    /// The groups of the user's, instead of root's.
    #[cfg(not(target_os = "macos"))]
    fn take_groups(&self) -> nix::Result<()> {
        let name = std::ffi::CString::new(self.name.as_str()).unwrap_or_default();
        let known = User::from_uid(self.uid()).ok().flatten().is_some();
        let groups = known.then(|| unistd::getgrouplist(&name, self.gid()).ok()).flatten();
        unistd::setgroups(&groups.unwrap_or_else(|| vec![self.gid()]))
    }

    /// Nothing sets them there.
    #[cfg(target_os = "macos")]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as elsewhere")]
    fn take_groups(&self) -> nix::Result<()> {
        Ok(())
    }

    fn uid(&self) -> Uid {
        Uid::from_raw(self.uid)
    }

    fn gid(&self) -> Gid {
        Gid::from_raw(self.gid)
    }

    fn cannot(&self, path: &Path, source: io::Error) -> CannotBecome {
        CannotBecome { path: path.to_owned(), user: self.name.clone(), source }
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }
    }
}
