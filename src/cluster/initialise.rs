//! Making the data directory, once and whole.
//!
//! Everything is made in a sibling: initdb, then the roles and the database through a server in
//! single-user mode. Only what is complete gets the name `data`, so a kill at any moment leaves
//! either nothing or all of it, and there is no second step to repair. For the same reason nothing
//! is forced to disk before the end: then all of it at once.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use super::binaries::Binaries;
use super::layout::Layout;
use super::owner::{Owner, run, words};
use super::{ClusterError, DATABASE, USER, conf};
use crate::store::db::private_rights;

/// The prefix of the siblings in which data directories are made.
const UNFINISHED: &str = "data.new-";

/// Makes the data directory. The caller holds the start lock.
pub(super) fn initialise(
    layout: &Layout,
    owner: &Owner,
    binaries: &Binaries,
) -> Result<(), ClusterError> {
    refuse_strangers(&layout.data)?;
    clear_unfinished(&layout.home);
    let fresh = layout.home.join(format!("{UNFINISHED}{}", std::process::id()));
    let made = make(&fresh, owner, binaries).and_then(|()| publish(&fresh, layout));
    if made.is_err() {
        clear_unfinished(&layout.home);
    }
    made
}

fn make(fresh: &Path, owner: &Owner, binaries: &Binaries) -> Result<(), ClusterError> {
    // C.UTF-8 sorts by code point everywhere, forever, and knows the case of every letter. A
    // system without it gets C, which knows that of ASCII.
    let first = initdb(fresh, owner, binaries, "C.UTF-8");
    match first {
        Err(ClusterError::Tool { output, .. }) if output.contains("locale") => {
            initdb(fresh, owner, binaries, "C")?;
        }
        other => other?,
    }
    let mut single = owner.command(binaries.program("postgres"));
    single.args(["--single", "-F", "-c", "exit_on_error=true", "-D"]).arg(fresh).arg("postgres");
    // A line each.
    let mut statements =
        format!("create role {USER} login\ncreate database {DATABASE} owner {USER}\n");
    for statement in private_rights::of_the_server(USER, DATABASE) {
        statements.push_str(&statement);
        statements.push('\n');
    }
    check("Creating the database", &mut single, &statements)?;
    owner.append(&fresh.join("postgresql.conf"), conf::INCLUDE)?;
    let mut sync = owner.command(binaries.program("initdb"));
    sync.arg("--sync-only").arg("-D").arg(fresh);
    check("initdb --sync-only", &mut sync, "")
}

fn initdb(
    fresh: &Path,
    owner: &Owner,
    binaries: &Binaries,
    locale: &str,
) -> Result<(), ClusterError> {
    let mut command = owner.command(binaries.program("initdb"));
    command.arg("-D").arg(fresh).arg(format!("--locale={locale}"));
    command.args(["--username=postgres", "--encoding=UTF8", "--data-checksums"]);
    command.args(["--auth-local=peer", "--auth-host=reject", "--no-instructions", "--no-sync"]);
    check("initdb", &mut command, "")
}

fn check(doing: &str, command: &mut Command, input: &str) -> Result<(), ClusterError> {
    let failed = |output: String| ClusterError::Tool { doing: doing.to_owned(), output };
    let output = run(command, input).map_err(|error| failed(error.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(words(&output))) }
}

/// The rename is on disk before anyone relies on it.
fn publish(fresh: &Path, layout: &Layout) -> Result<(), ClusterError> {
    fs::rename(fresh, &layout.data)
        .and_then(|()| File::open(&layout.home)?.sync_all())
        .map_err(ClusterError::state_dir(&layout.data))
}

/// An empty directory in place of the data is fine: a rename replaces it.
fn refuse_strangers(data: &Path) -> Result<(), ClusterError> {
    let empty = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(_) => false,
    };
    if empty { Ok(()) } else { Err(ClusterError::NotACluster { data: data.to_owned() }) }
}

/// What earlier attempts left when they were killed. An initdb that outlived its parent may still
/// be writing into one; then it stays until the next time, and is in nobody's way.
fn clear_unfinished(home: &Path) {
    let Ok(entries) = fs::read_dir(home) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
