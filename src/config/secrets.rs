//! Secrets are read when they are needed, from the value or from the file that a key names.

use std::path::Path;

use super::Config;
use super::problem::{ConfigError, Place};
use super::values::{Secret, check_format};

impl Config {
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
    let text = std::fs::read_to_string(file)
        .map_err(|why| fault(format!("the secret in {name} cannot be read: {why}")))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() || secret.contains(char::is_control) {
        return Err(fault(format!("{name} must hold the secret on its only line")));
    }
    Ok(Secret::new(secret.to_owned()))
}

fn fault(sentence: String) -> ConfigError {
    ConfigError::one(Place::Default, sentence)
}
