//! Reading files that somebody else wrote: never one that has no end, never one that waits.
//!
//! A path in a configuration may lead to a pipe that nobody writes to, or to a device that goes on
//! for ever. Both are refused before the first byte is read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The most that is read of a configuration, a template or a file of certificates, in bytes. The
/// shipped configuration has 20 KB.
pub const TEXT_BYTES: u64 = 1024 * 1024;
/// The most that is read of a file that holds one secret, in bytes.
pub const SECRET_BYTES: u64 = 64 * 1024;

/// Opens a regular file for reading.
///
/// # Errors
/// What the system says; or a sentence for what is no regular file: a directory, a device, a pipe
/// (which could wait for its writer for ever).
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // To open a pipe waits for its writer, unless it must not.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?;
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(io::Error::other("it is a directory"))
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// Reads a whole regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; or a sentence for a file that is larger.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let kib = limit / 1024;
        return Err(io::Error::other(format!("it is larger than {kib} KiB, the limit")));
    }
    Ok(bytes)
}

/// The same for text.
///
/// # Errors
/// As [`read_limited`]; or a sentence for what is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_limited(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}
