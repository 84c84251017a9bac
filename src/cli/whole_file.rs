//! A file that appears under its name when it is whole.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Failure;

/// Writes a file beside its place, and puts it there.
///
/// # Errors
/// Exit 1; what stood in its place stands there still.
pub(super) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // As any other file: readable as far as the umask says.
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o666));
    let done = builder.tempfile_in(folder.unwrap_or(Path::new("."))).and_then(|file| {
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    done.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
