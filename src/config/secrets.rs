//! Secrets are read when they are needed, from the value or from the file that a key names.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Config;
use super::problem::{ConfigError, Place};
use super::values::{Secret, check_format};
use super::webhooks::Webhook;
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
            .map(|file| (file.to_owned(), Kept { secret: text(file).ok(), mode: mode_of(file) }));
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
        let webhooks = self.webhooks.iter().map(|webhook| webhook.secret_file.as_deref());
        files.into_iter().chain(webhooks).flatten()
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

    /// Where the secrets of webhooks are that name no file: in the environment of the process, or
    /// in systemd's credentials.
    pub(super) fn find_webhook_secrets(&mut self, environment: &BTreeMap<String, String>) {
        let credentials = environment.get("CREDENTIALS_DIRECTORY");
        for webhook in self.webhooks.iter_mut().filter(|webhook| webhook.secret_file.is_none()) {
            let named = webhook.secret_env.as_ref().and_then(|name| environment.get(name));
            webhook.secret = named.map(|secret| Secret::new(secret.clone()));
            if webhook.secret_env.is_none()
                && let Some(directory) = credentials
            {
                let file = Path::new(directory).join(format!("webhook-{}", webhook.name));
                webhook.secret_file = exists(&file).then_some(file);
            }
        }
    }

    /// The secrets of a webhook: one, or two while it is replaced.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, or when its file cannot be read.
    pub fn webhook_secrets(&self, webhook: &Webhook) -> Result<Vec<Secret>, ConfigError> {
        let name = &webhook.name;
        let found = match (&webhook.secret_file, &webhook.secret, &webhook.secret_env) {
            (Some(file), ..) => text(file)?,
            (None, Some(secret), _) => secret.clone(),
            (None, None, Some(variable)) => {
                return Err(fault(format!(
                    "the secret of the webhook {name} is missing: set {variable} in the environment"
                )));
            }
            (None, None, None) => {
                return Err(fault(format!(
                    "the secret of the webhook {name} is missing: set `secret_file` or `secret_env`"
                )));
            }
        };
        let parts = found.reveal().split_ascii_whitespace();
        Ok(parts.map(|part| Secret::new(part.to_owned())).collect())
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

/// The only line of a file.
fn read(file: &Path) -> Result<Secret, ConfigError> {
    let secret = text(file)?;
    if secret.reveal().contains(char::is_control) {
        let name = file.display();
        return Err(fault(format!("{name} must hold the secret on its only line")));
    }
    Ok(secret)
}

/// What a file holds. Editors end it with a newline that is no part of the secret.
fn text(file: &Path) -> Result<Secret, ConfigError> {
    let name = file.display();
    let text = files::read_text(file, files::SECRET_BYTES);
    if text.as_ref().is_err_and(is_denied)
        && let Some(secret) = kept(file).and_then(|kept| kept.secret.clone())
    {
        return Ok(secret);
    }
    let text = text.map_err(|why| fault(format!("the secret in {name} cannot be read: {why}")))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
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
