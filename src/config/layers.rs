//! The layers of a configuration: what the machine says, the shipped file, the operator's file,
//! the environment; the later ones win.
//!
//! The `config` crate merges them. It is handed nothing but values that the strict reader has
//! given their types, because by itself it would make 42 of `"42"` and 81 of 80.5.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::builder::DefaultState;
use config::{ConfigBuilder, Map, Source, Value, ValueKind};

use super::keys::{PREFIX, file_key, variable};
use super::problem::{ConfigError, Place, Places, Problem, SourceText, did_you_mean};
use super::schema;
use super::secrets;
use super::strict::{Origin, Reader};
use crate::account::began_as_root;
use crate::files;

/// The shipped file, which is the defaults.
pub(super) const SHIPPED: &str = include_str!("../../config/periodd.toml");

/// Where root keeps state and socket, and the service, too.
const MACHINES_STATE_DIR: &str = "/var/lib/periodd";
const MACHINES_SOCKET_DIR: &str = "/run/periodd";
/// Where systemd finds the credentials of the service: the units' `LoadCredential`, under our name.
const MACHINES_CREDENTIALS: &str = "/etc/credstore/periodd-";

/// Does this place outrank every file?
pub(super) fn outranks_files(place: &Place) -> bool {
    matches!(place, Place::Environment(variable) if variable.starts_with(PREFIX))
}

/// The environment variables of the process.
pub(super) type Environment = BTreeMap<String, String>;

/// The layers so far.
pub(super) struct Layers {
    builder: ConfigBuilder<DefaultState>,
    pub(super) places: Places,
    pub(super) problems: Vec<Problem>,
    /// Is a file's content only guessed, because it is no valid TOML?
    pub(super) is_broken: bool,
}

/// One layer as the `config` crate takes it.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layers {
    /// The shipped file alone.
    pub(super) fn shipped() -> Self {
        let builder = config::Config::builder();
        let mut layers =
            Self { builder, places: Places::new(), problems: Vec::new(), is_broken: false };
        layers.document(Origin::Shipped, SHIPPED);
        layers
    }

    /// Adds the operator's file.
    ///
    /// # Errors
    /// [`ConfigError`] when the file cannot be read at all; what is wrong in it is noted.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let name = path.display().to_string();
        let unreadable = |why: &dyn std::fmt::Display| {
            ConfigError::one(Place::Default, format!("{name} cannot be read: {why}"))
        };
        let bytes = files::read_limited(path, files::TEXT_BYTES).map_err(|why| unreadable(&why))?;
        let absolute = std::path::absolute(path).map_err(|why| unreadable(&why))?;
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        match String::from_utf8(bytes) {
            Ok(text) => {
                // Some editors begin a file with a mark that is no text.
                let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
                let source = Arc::new(SourceText { name, text });
                self.document(Origin::File(&source, directory), &source.text);
                Ok(())
            }
            Err(error) => {
                let end = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..end]).into_owned();
                let place = Place::File(Arc::new(SourceText { name, text }), end..end);
                Err(ConfigError::one(place, "not UTF-8 text"))
            }
        }
    }

    fn document(&mut self, origin: Origin<'_>, text: &str) {
        let mut reader = Reader::new(origin);
        let values = reader.document(text);
        self.builder = std::mem::take(&mut self.builder).add_source(Layer(values));
        self.absorb(reader);
    }

    /// Adds every variable of ours; refuses those that set nothing.
    pub(super) fn environment(&mut self, environment: &Environment) {
        let keys: BTreeMap<String, _> =
            schema::keys().into_iter().map(|(path, key)| (variable(&path), (path, key))).collect();
        // Meant for us, and missed by one underscore: nobody would notice that it does nothing.
        let missed = |name: &str| keys.keys().find(|key| key.replace("__", "_") == *name);
        for name in environment.keys().filter(|name| !name.starts_with(PREFIX)) {
            let Some(key) = missed(name) else { continue };
            let sentence = format!("unknown variable; did you mean `{key}`?");
            self.problems.push(Problem::new(Place::Environment(name.clone()), sentence));
        }
        for (name, text) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let Some((path, schema)) = keys.get(name) else {
                let suggestion = did_you_mean(name, keys.keys().map(String::as_str));
                let sentence = format!("unknown key{}", suggestion.unwrap_or_default());
                self.problems.push(Problem::new(Place::Environment(name.clone()), sentence));
                continue;
            };
            let mut reader = Reader::new(Origin::Environment(name));
            if let Some(value) = reader.variable(path, schema, text) {
                self.set(path, value);
            }
            self.absorb(reader);
        }
    }

    fn set(&mut self, path: &str, value: Value) {
        match std::mem::take(&mut self.builder).set_override(path, value) {
            Ok(builder) => self.builder = builder,
            Err(why) => self.problems.push(Problem::new(Place::Default, why.to_string())),
        }
    }

    /// A secret from the environment sets aside a file's other way to name the same secret.
    pub(super) fn settle_secrets(&mut self) {
        let secrets = schema::keys().into_iter().filter(|(_, key)| schema::is_secret(key));
        for (value, file) in secrets.map(|(path, _)| (path.clone(), file_key(&path))) {
            for (kept, other) in [(&value, &file), (&file, &value)] {
                let wins = |path: &str| self.places.get(path).is_some_and(outranks_files);
                if wins(kept) && !wins(other) && self.places.remove(other).is_some() {
                    self.set(other, Value::new(None, ValueKind::Nil));
                }
            }
        }
    }

    /// Adds what the machine says, for keys that nobody has set: directories and credentials.
    pub(super) fn surroundings(&mut self, environment: &Environment, file: Option<&Path>) {
        self.credentials(environment, file);
        let is_state_set = self.places.contains_key("daemon.state_dir");
        match state_dir(environment) {
            Some((directory, place)) => self.fall_back("daemon.state_dir", &directory, place),
            None if self.places.contains_key("daemon.state_dir") => {}
            None => self
                .problems
                .push(Problem::new(Place::Default, "HOME is not set; set `state_dir` in [daemon]")),
        }
        if let Some((directory, place)) = systemd_directory(environment, "RUNTIME_DIRECTORY") {
            self.fall_back("daemon.socket_dir", &directory, place);
        }
        if !is_state_set && !environment.contains_key("STATE_DIRECTORY") && began_as_root() {
            // The service's own, so that root's commands use the server that it runs.
            self.fall_back("daemon.socket_dir", Path::new(MACHINES_SOCKET_DIR), Place::Default);
        }
        let merged = self.builder.build_cloned();
        if let Ok(state_dir) = merged.and_then(|merged| merged.get_string("daemon.state_dir")) {
            let state_dir = Path::new(&state_dir);
            self.fall_back("daemon.socket_dir", &state_dir.join("run"), Place::Default);
            self.fall_back("mail.directory", &state_dir.join("mail"), Place::Default);
        }
    }

    /// systemd's credentials stand for the keys that name files with secrets: for the service where
    /// systemd puts them, for root's commands on the machine's own file where systemd takes them
    /// from, so that both work on one database.
    fn credentials(&mut self, environment: &Environment, file: Option<&Path>) {
        let prefix = match environment.get("CREDENTIALS_DIRECTORY") {
            Some(directory) => format!("{directory}/"),
            None if began_as_root() && file.is_some_and(|file| file == machines_file()) => {
                MACHINES_CREDENTIALS.to_owned()
            }
            None => return,
        };
        for (path, schema) in schema::keys() {
            let Some(credential) = schema["x-credential"].as_str() else { continue };
            let file = format!("{prefix}{credential}");
            let is_outranked = self.places.get(&path).is_some_and(outranks_files);
            if secrets::exists(Path::new(&file)) && !is_outranked {
                self.fall_back(&file_key(&path), Path::new(&file), Place::Credential(file.clone()));
            }
        }
    }

    /// Sets a path unless somebody has.
    fn fall_back(&mut self, path: &str, value: &Path, place: Place) {
        if !self.places.contains_key(path) {
            self.set(path, value.to_string_lossy().into_owned().into());
            self.places.insert(path.to_owned(), place);
        }
    }

    /// Takes over what a reader noted. A list replaces the list beneath it, entries and all.
    fn absorb(&mut self, reader: Reader<'_>) {
        for path in reader.places.keys().filter(|path| !path.contains('[')) {
            let entries = format!("{path}[");
            self.places.retain(|known, _| !known.starts_with(&entries));
        }
        self.places.extend(reader.places);
        self.problems.extend(reader.problems);
        self.is_broken |= reader.is_broken;
    }

    /// All layers as one.
    pub(super) fn merged(&self) -> Result<config::Config, ConfigError> {
        self.builder.build_cloned().map_err(|why| not_merged(&why))
    }
}

/// Cannot happen to values that passed the reader; a sentence all the same.
pub(super) fn not_merged(why: &config::ConfigError) -> ConfigError {
    ConfigError::one(Place::Default, format!("the configuration cannot be merged: {why}"))
}

/// The file to read when none is named: `$PERIODD_CONFIG`, else the user's, else the machine's.
pub(super) fn default_file(environment: &Environment) -> Option<PathBuf> {
    let mut usual = [users_file(environment), Some(machines_file())].into_iter().flatten();
    named_file(environment).or_else(|| usual.find(|file| file.exists()))
}

/// The file to write when none is named.
pub(super) fn own_file(environment: &Environment) -> Option<PathBuf> {
    let usual = || if began_as_root() { Some(machines_file()) } else { users_file(environment) };
    named_file(environment).or_else(usual)
}

fn named_file(environment: &Environment) -> Option<PathBuf> {
    environment.get("PERIODD_CONFIG").filter(|named| !named.is_empty()).map(PathBuf::from)
}

fn users_file(environment: &Environment) -> Option<PathBuf> {
    let directory = user_directory(environment, "XDG_CONFIG_HOME", ".config")?;
    Some(directory.join("periodd/periodd.toml"))
}

fn machines_file() -> PathBuf {
    PathBuf::from("/etc/periodd/periodd.toml")
}

fn state_dir(environment: &Environment) -> Option<(PathBuf, Place)> {
    systemd_directory(environment, "STATE_DIRECTORY").or_else(|| {
        let directory = if began_as_root() {
            PathBuf::from(MACHINES_STATE_DIR)
        } else {
            user_directory(environment, "XDG_STATE_HOME", ".local/state")?.join("periodd")
        };
        Some((directory, Place::Default))
    })
}

/// systemd names several directories with colons between them; ours is the first.
fn systemd_directory(environment: &Environment, name: &str) -> Option<(PathBuf, Place)> {
    let first = environment.get(name)?.split(':').next().filter(|first| !first.is_empty())?;
    Some((first.into(), Place::Environment(name.to_owned())))
}

/// A base directory of the XDG specification, which ignores relative ones.
fn user_directory(environment: &Environment, name: &str, in_home: &str) -> Option<PathBuf> {
    let absolute = |path: &String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = || environment.get("HOME").and_then(absolute).map(|home| home.join(in_home));
    environment.get(name).and_then(absolute).or_else(home)
}
