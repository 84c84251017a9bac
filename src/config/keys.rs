//! How a key of the configuration is spelled elsewhere.

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "PERIODD__";

/// The variable that sets a key: `PERIODD__ROLLOVER__BATCH_SIZE`.
pub(super) fn variable(path: &str) -> String {
    PREFIX.to_owned() + &path.to_uppercase().replace('.', "__")
}

/// The key that names a file with the secret instead of holding it.
pub(super) fn file_key(key: &str) -> String {
    format!("{key}_file")
}
