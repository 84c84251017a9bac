//! Keeping the server's log within its bound while the server writes it.
//!
//! The server appends to the file that it was started with, so the file cannot be replaced: what is
//! kept of it is copied beside it, and then it is emptied in place. Lines of the moment in between
//! are lost. Together the two files hold twice the bound, and what comes between two looks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::layout::Layout;
use super::owner::Owner;

/// The most that a log holds, in bytes, before it is set aside.
const LIMIT: u64 = 16 << 20;

/// The log of a private cluster's server.
#[derive(Clone, Debug)]
pub struct ServerLog {
    layout: Layout,
}

impl ServerLog {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    /// Is it longer than it should be? Cheap enough to be asked every second.
    pub fn is_long(&self) -> bool {
        let found = fs::symlink_metadata(&self.layout.log);
        found.is_ok_and(|found| found.is_file() && found.len() > LIMIT)
    }

    /// Sets it aside if it has grown too long. A log that stays too long is no reason not to work,
    /// but is said. Blocks.
    pub fn bound(&self) {
        if !self.is_long() {
            return;
        }
        let log = &self.layout.log;
        let bounded = match Owner::of(&self.layout) {
            Ok(owner) if owner.is_another() => {
                owner.script("umask 077; cat \"$1\" > \"$1.1\"; : > \"$1\"", log, "")
            }
            _ => set_aside(log),
        };
        if let Err(error) = bounded {
            let log = log.display();
            tracing::warn!(%log, %error, "the server's log could not be rotated");
        }
    }
}

fn set_aside(log: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = options.read(true).write(true).custom_flags(no_link).open(log)?;
    // Somebody else does it at this moment.
    if file.try_lock().is_err() {
        return Ok(());
    }
    let length = file.metadata()?.len();
    if length <= LIMIT {
        return Ok(());
    }
    let kept = keep_end(&mut file, length, log);
    // Without room for the copy, the bound counts for more than what is lost.
    file.set_len(0)?;
    kept
}

fn keep_end(file: &mut File, length: u64, log: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(length.saturating_sub(LIMIT)))?;
    let beside = log.with_extension("log.1.new");
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    io::copy(&mut file.take(LIMIT), &mut copy)?;
    fs::rename(&beside, log.with_extension("log.1"))
}
