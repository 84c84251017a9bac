//! Reading the lock files that a server leaves in its data directory and beside its socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ClusterError;
use super::layout::Layout;
use super::owner::Owner;

/// A process id above the highest that Linux and macOS hand out.
const NOBODY: &str = "2147483647";

/// Whether the server behind the socket is the one of this data directory: both lock files then
/// name the same process and moment of start. The socket's may have been swept away; then the
/// server's own says where its socket is.
pub(super) fn is_ours(layout: &Layout) -> bool {
    let identity = |text: String| {
        let mut lines = text.lines();
        Some((lines.next()?.to_owned(), lines.nth(1)?.to_owned()))
    };
    let Some(data) = fs::read_to_string(layout.pid_file()).ok().and_then(identity) else {
        return false;
    };
    match fs::read_to_string(layout.socket_lock()) {
        Ok(text) => identity(text) == Some(data),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let here =
                socket_dir(layout).is_some_and(|dir| !is_other_dir(&dir, &layout.socket_dir));
            here && is_ready(layout) && !is_strangers(layout)
        }
        Err(_) => false,
    }
}

/// Whether the server says that it accepts connections.
pub(super) fn is_ready(layout: &Layout) -> bool {
    let text = fs::read_to_string(layout.pid_file()).unwrap_or_default();
    text.lines().nth(7).is_some_and(|status| status.trim() == "ready")
}

/// The directory in which the server of this data directory says it has its socket.
pub(super) fn socket_dir(layout: &Layout) -> Option<PathBuf> {
    let text = fs::read_to_string(layout.pid_file()).ok()?;
    text.lines().nth(4).filter(|line| !line.is_empty()).map(PathBuf::from)
}

/// Whether the process that the lock file names is certainly not our server: after a crash or in
/// a restarted container its number may belong to someone else, another server too.
///
/// A server runs as the owner of its lock file and works in its data directory, however it was
/// started. Where that cannot be told (no `/proc`), the answer is no.
pub(super) fn is_strangers(layout: &Layout) -> bool {
    let Some(pid) = pid(&layout.pid_file()) else { return false };
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(command) = fs::read(process.join("cmdline")) else { return false };
    let mut words = command.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next().unwrap_or_default();
    let name = Path::new(program.as_ref()).file_name().unwrap_or_default();
    if name != "postgres" && name != "postmaster" {
        return true;
    }
    let owner = fs::metadata(layout.pid_file()).ok().map(|found| found.uid());
    let user = user_of(&process);
    if owner.is_some() && user.is_some() && owner != user {
        return true;
    }
    let works_in = process.join("cwd");
    if fs::metadata(&works_in).is_ok() {
        return is_other_dir(&works_in, &layout.data);
    }
    let dir = words.skip_while(|word| word != "-D").nth(1);
    dir.is_some_and(|dir| is_other_dir(Path::new(dir.as_ref()), &layout.data))
}

/// The user that a process runs as.
fn user_of(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, of the file system.
    users.split_whitespace().nth(1)?.parse().ok()
}

/// The directories may be spelt differently; only two that can be compared differ.
fn is_other_dir(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let (one, other) = (identity(one), identity(other));
    one.is_some() && other.is_some() && one != other
}

/// Makes lock files that name a stranger's process name nobody's, so that the server takes them
/// over. They are not removed: what else they hold lets the server see whether children of its
/// predecessor are still at work on the data.
pub(super) fn disown(layout: &Layout, owner: &Owner) -> Result<(), ClusterError> {
    let strangers = pid(&layout.pid_file());
    for file in [layout.pid_file(), layout.socket_lock()] {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if pid(&file) == strangers {
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            owner.write(&file, &format!("{NOBODY}\n{rest}"))?;
        }
    }
    Ok(())
}

fn pid(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}
