//! How periodd was called, for the commands that it proposes: pasted, they work on the same
//! database.

use std::env;
use std::ffi::OsStr;
use std::path::{self, Path, PathBuf};

use super::Global;
use crate::billing::Instant;
use crate::command::Caller;
use crate::config::{Config, Source};

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "PERIODD_CONFIG";
/// The variables that name the state directory.
const STATE_VARIABLES: [&str; 2] = ["STATE_DIRECTORY", "PERIODD__DAEMON__STATE_DIR"];
/// Where units are kept, and the one of ours.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const UNIT: &str = "periodd.service";

/// What the commands that are proposed have to repeat.
pub(super) fn of(global: &Global, config: &Config, at: Option<Instant>) -> Caller {
    let mut options = Vec::new();
    if let Some(file) = named_file(global, config) {
        options.extend(["--config".to_owned(), file]);
    }
    let (variables, program) = (state_directory(config), program());
    Caller { variables, program, options, at }
}

/// Does this machine's service manager know periodd's unit, and does the unit work by this very
/// configuration?
pub(super) fn has_unit(global: &Global, config: &Config) -> bool {
    named_file(global, config).is_none()
        && state_directory(config).is_empty()
        && Path::new("/run/systemd/system").exists()
        && UNITS.iter().any(|directory| Path::new(directory).join(UNIT).exists())
}

/// The configuration file, where somebody named it: it is not found without.
fn named_file(global: &Global, config: &Config) -> Option<String> {
    let is_named = global.config.is_some() || env::var_os(CONFIG_VARIABLE).is_some();
    let file = config.file().filter(|_| is_named)?;
    Some(absolute(file).display().to_string())
}

/// The state directory of a private cluster, where the environment names it.
fn state_directory(config: &Config) -> Vec<(String, String)> {
    let has_cluster = matches!(config.database_url(), Ok(None));
    match config.source("daemon.state_dir") {
        Source::Environment { variable }
            if has_cluster && STATE_VARIABLES.contains(&variable.as_str()) =>
        {
            let directory = absolute(&config.daemon.state_dir).display().to_string();
            vec![(variable, directory)]
        }
        _ => Vec::new(),
    }
}

fn absolute(file: &Path) -> PathBuf {
    path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// The program's name where a shell finds it by that, else its path.
fn program() -> String {
    const NAME: &str = "periodd";
    let is_found = |path: &OsStr| env::split_paths(path).any(|part| part.join(NAME).is_file());
    if env::var_os("PATH").is_some_and(|path| is_found(&path)) {
        return NAME.to_owned();
    }
    env::current_exe().map_or_else(|_| NAME.to_owned(), |program| program.display().to_string())
}
