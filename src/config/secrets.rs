//! Secrets are read when they are needed, from the value or from the file that a key names.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Config;
use super::problem::{ConfigError, Place};
use super::values::{Secret, check_format};
use crate::files;

/// What root read before the process became another user, who may not be able to. It is the
/// process's, as its user is: a configuration that is read again finds it, too.
static KEPT: OnceLock<BTreeMap<PathBuf, Kept>> = OnceLock::new();

#[derive(Debug)]
struct Kept {
    secret: Option<Secret>,
    mode: Option<u32>,
}

impl Config {
    /// Keeps the secrets in files, before the process becomes a user who may not read them. What
    /// cannot be read is said when it is needed.
    pub fn keep_secrets(&self) {
        let files = self
            .secret_paths()
            .map(|file| (file.to_owned(), Kept { secret: read(file).ok(), mode: mode_of(file) }));
        // Once: a process becomes another user once.
        let _ = KEPT.set(files.collect());
    }

    /// The files that hold secrets, with their modes; `None` where that cannot be told.
    pub fn secret_files(&self) -> Vec<(PathBuf, Option<u32>)> {
        let mode = |file: &Path| mode_of(file).or_else(|| kept(file).and_then(|kept| kept.mode));
        self.secret_paths().map(|file| (file.to_owned(), mode(file))).collect()
    }

    fn secret_paths(&self) -> impl Iterator<Item = &Path> {
        let files = [self.database.url_file.as_deref(), self.mail.smtp.password_file.as_deref()];
        files.into_iter().flatten()
    }

    /// The database's URL with its password; `None` means the private cluster.
    ///
    /// # Errors
    /// [`ConfigError`] when the file that `url_file` or the systemd credential names cannot be
    /// read, or holds no such URL.
    pub fn database_url(&self) -> Result<Option<Secret>, ConfigError> {
        let url = one_of(self.database.url.as_ref(), self.database.url_file.as_deref())?;
        if let (Some(url), Some(file)) = (&url, &self.database.url_file) {
            check_format("database-url", url.reveal())
                .map_err(|why| fault(format!("{}: {why}", file.display())))?;
        }
        Ok(url)
    }

    /// The password for the mail server, if there is one.
    ///
    /// # Errors
    /// [`ConfigError`] when the file that `password_file` or the systemd credential names cannot
    /// be read, or is empty.
    pub fn smtp_password(&self) -> Result<Option<Secret>, ConfigError> {
        let smtp = &self.mail.smtp;
        one_of(smtp.password.as_ref(), smtp.password_file.as_deref())
    }
}

fn one_of(value: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, ConfigError> {
    match (value, file) {
        (Some(value), _) => Ok(Some(value.clone())),
        (None, Some(file)) => read(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// Editors end a file with a newline that is no part of the secret.
fn read(file: &Path) -> Result<Secret, ConfigError> {
    let name = file.display();
    let text = files::read_text(file, files::SECRET_BYTES);
    if text.as_ref().is_err_and(is_denied)
        && let Some(secret) = kept(file).and_then(|kept| kept.secret.clone())
    {
        return Ok(secret);
    }
    let text = text.map_err(|why| fault(format!("the secret in {name} cannot be read: {why}")))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() || secret.contains(char::is_control) {
        return Err(fault(format!("{name} must hold the secret on its only line")));
    }
    Ok(Secret::new(secret.to_owned()))
}

fn is_denied(why: &std::io::Error) -> bool {
    why.kind() == std::io::ErrorKind::PermissionDenied
}

fn kept(file: &Path) -> Option<&'static Kept> {
    KEPT.get()?.get(file)
}

/// Is there such a file, now or when root looked?
pub(super) fn exists(file: &Path) -> bool {
    file.exists() || kept(file).is_some_and(|kept| kept.secret.is_some())
}

fn mode_of(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|file| file.permissions().mode() & 0o777)
}

fn fault(sentence: String) -> ConfigError {
    ConfigError::one(Place::Default, sentence)
}
