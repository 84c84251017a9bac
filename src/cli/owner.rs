//! For root: the user that the state belongs to, which the process becomes.
//!
//! The order: the configuration and the secrets are read, and files named on the command line are
//! opened, as root; directories that are missing are made and given to the user; then the whole
//! process becomes that user, before there is a second thread and before anything of the state is
//! opened. What the user may not do fails as it would for the service. An ordinary user stays what
//! it is.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::account::{self, Account};
use crate::cluster::{self, ClusterError, Settings};
use crate::config::{Config, sections::Transport};
use crate::jobs::instance::cluster_settings;

/// Becomes the user that this configuration's state belongs to. With a database of one's own, and
/// without any state that is somebody else's, root stays root.
///
/// # Errors
/// A [`Failure`] when there is a user to become, and that is not possible; nothing was written.
pub(crate) fn become_owner(config: &Config) -> Result<(), Failure> {
    if !account::is_root() {
        return Ok(());
    }
    config.keep_secrets();
    let settings = cluster_settings(config);
    let url = config.database_url().map_err(Failure::configuration)?;
    if url.is_none() {
        return become_clusters(&settings, mail(config));
    }
    match of_state(&settings, mail(config)) {
        Some((account, path)) => account.become_it(&path).map_err(Failure::failed),
        None => Ok(()),
    }
}

/// The user that [`become_owner`] becomes; `None`: this one stays.
///
/// # Errors
/// A [`Failure`] when there is a user to become, and that is not possible.
pub(crate) fn owner(config: &Config) -> Result<Option<Account>, Failure> {
    if !account::is_root() {
        return Ok(None);
    }
    let settings = cluster_settings(config);
    if config.database_url().map_err(Failure::configuration)?.is_none() {
        return cluster::owner(&settings, mail(config)).map(Some).map_err(failure);
    }
    Ok(of_state(&settings, mail(config)).map(|(account, _)| account))
}

/// The directory of emails, where they are written to one.
fn mail(config: &Config) -> Option<&Path> {
    let is_directory = config.mail.transport == Transport::Directory;
    is_directory.then_some(config.mail.directory.as_path())
}

/// Whose the state is, beside a database of one's own: the user and what is the user's.
fn of_state(settings: &Settings, mail: Option<&Path>) -> Option<(Account, PathBuf)> {
    let state = account::nearest(&settings.state_dir);
    let found = Account::of_first([state].into_iter().chain(mail));
    found.map(|(account, path)| (account, path.to_owned()))
}

/// Becomes the user that a state directory belongs to, or is to belong to: of a private cluster
/// that nobody has configured yet.
pub(crate) fn become_states(state_dir: &Path) -> Result<(), Failure> {
    if !account::is_root() {
        return Ok(());
    }
    let settings = Settings::new(state_dir);
    let account = cluster::owner(&settings, None).map_err(failure)?;
    cluster::make_state(&settings, &account).map_err(failure)?;
    account.become_it(state_dir).map_err(Failure::failed)
}

fn become_clusters(settings: &Settings, mail: Option<&Path>) -> Result<(), Failure> {
    let account = cluster::owner(settings, mail).map_err(failure)?;
    cluster::hand_over(settings, &account, mail).map_err(failure)?;
    account.become_it(&settings.state_dir).map_err(Failure::failed)
}

fn failure(error: ClusterError) -> Failure {
    match error {
        ClusterError::CannotBecome(error) => Failure::failed(error),
        error => Failure::unavailable(error),
    }
}
