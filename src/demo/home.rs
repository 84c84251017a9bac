//! Where the sample company lives: a directory with a configuration and a private cluster.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::began_as_root;
use crate::cli::Failure;
use crate::cli::owner::{become_owner, become_states};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::jobs::instance::cluster_settings;

/// The first line of the configuration: a directory with it is ours.
const MARK: &str = "# Written by `periodd demo`";

const CONFIGURATION: &str = " for its sample company; the directory can be deleted at any time.
# Settings that are not listed here have their defaults; `periodd config init` writes them.

[database]
# No `url`: a private PostgreSQL cluster, in the state directory.
# A sandbox: --at may be in the future.
sandbox = true

[daemon]
# This directory, wherever it is moved.
state_dir = \".\"

[notices.summary]
# What each closed period was, by email.
enabled = true
";

/// The directory of a sample company.
pub(super) struct Home {
    directory: PathBuf,
    is_default: bool,
}

impl Home {
    /// The directory that was asked for, or the default one.
    pub(super) fn new(asked: Option<&Path>) -> Self {
        let default = || {
            // PostgreSQL runs as another user for root, who often works where nobody else may go.
            PathBuf::from(if began_as_root() { "/var/lib/periodd-demo" } else { "periodd-demo" })
        };
        let directory = asked.map_or_else(default, Path::to_owned);
        Self { directory, is_default: asked.is_none() }
    }

    /// The directory as it is shown and typed.
    pub(super) fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// The directory, if it was asked for.
    pub(super) fn asked(&self) -> Option<String> {
        (!self.is_default).then(|| self.directory())
    }

    /// The configuration file in it.
    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("periodd.toml")
    }

    /// Where its emails lie.
    pub(super) fn mail(&self) -> String {
        self.directory.join("mail").display().to_string()
    }

    /// Is there a cluster already?
    pub(super) fn has_data(&self) -> bool {
        self.directory.join("postgresql/data").exists()
    }

    /// Makes what is missing and returns the configuration; with `fresh`, erases the data.
    ///
    /// # Errors
    /// Exit 5 for a directory that is not ours, and for surroundings that lead elsewhere.
    pub(super) fn open(&self, fresh: bool) -> Result<Config, Failure> {
        if !self.is_roots() {
            // It makes the directory, too, where there is none.
            become_states(&self.directory)?;
        }
        let file = self.configuration();
        match fs::read_to_string(&file) {
            Ok(text) if text.starts_with(MARK) => {}
            Ok(_) => return Err(self.not_ours()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make()?,
            Err(error) => return Err(cannot_use(&file, &error)),
        }
        let config =
            Config::load(Some(&file), Config::environment()).map_err(Failure::configuration)?;
        self.check(&config)?;
        if fresh {
            become_owner(&config)?;
            Cluster::erase(&cluster_settings(&config)).map_err(Failure::unavailable)?;
        }
        Ok(config)
    }

    /// Nobody but root plants anything in a directory of root's, so root may work in it.
    fn is_roots(&self) -> bool {
        fs::metadata(&self.directory).is_ok_and(|found| found.uid() == 0)
    }

    /// The directory is open to walk through, whatever the umask, as every state directory.
    fn make(&self) -> Result<(), Failure> {
        let directory = &self.directory;
        if directory.exists() {
            let mut entries =
                fs::read_dir(directory).map_err(|error| cannot_use(directory, &error))?;
            if entries.next().is_some() {
                return Err(self.not_ours());
            }
        } else {
            fs::create_dir_all(directory)
                .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o755)))
                .map_err(|error| cannot_use(directory, &error))?;
        }
        let file = self.configuration();
        fs::write(&file, format!("{MARK}{CONFIGURATION}"))
            .map_err(|error| cannot_use(&file, &error))
    }

    /// The environment wins over the file, and could lead to a database that is no toy.
    fn check(&self, config: &Config) -> Result<(), Failure> {
        let led_away = |key: &str| {
            Failure::refused(format!(
                "the demo uses a private cluster in {}, but {} sets {key}: unset it and try again",
                self.directory(),
                config.source(key)
            ))
        };
        let url = config.database_url().map_err(Failure::configuration)?;
        if url.is_some() {
            let by_file = config.database.url.is_none();
            return Err(led_away(if by_file { "database.url_file" } else { "database.url" }));
        }
        if !config.database.sandbox {
            return Err(led_away("database.sandbox"));
        }
        let same = fs::canonicalize(&config.daemon.state_dir).ok()
            == fs::canonicalize(&self.directory).ok();
        if same { Ok(()) } else { Err(led_away("daemon.state_dir")) }
    }

    fn not_ours(&self) -> Failure {
        let directory = self.directory();
        Failure::refused(format!(
            "{directory} is not empty and not a demo directory; name another one with --state-dir"
        ))
    }
}

fn cannot_use(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::failed(format!("{path}: {error}; name another directory with --state-dir"))
}
