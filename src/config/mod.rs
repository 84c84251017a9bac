//! The configuration: typed, strict, and able to say where each value comes from.
//!
//! The shipped `config/periodd.toml` is the defaults. Over it lies the operator's file, over that
//! the environment (`PERIODD__SECTION__KEY`). Nothing is guessed: an unknown key, a value of
//! another type or a word that means nothing is refused with its file, line and column, and all
//! that is wrong is said at once.
//!
//! The types in [`sections`] and [`catalogue`] are the only description of the keys: the JSON
//! Schema is derived from them, and the strict reader and `config show` walk that schema.
//!
//! Never: a guessed value; half of a file in effect; a secret that prints.

pub mod catalogue;
mod checks;
pub mod duration;
mod endpoints;
pub mod http;
mod keys;
mod layers;
pub mod notices;
mod problem;
mod schema;
mod secrets;
pub mod sections;
mod show;
mod starter;
mod strict;
mod templates;
pub mod values;
pub mod webhooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use catalogue::{Feature, Pack, Tier};
pub use duration::{Keep, Wait};
pub use problem::{ConfigError, Fault, Source};
use sections::{Alerts, Daemon, Database, Log, Mail, Retention, Rollover, Schedules, Sync};
pub use show::{Format, Setting, Shown};

use http::Http;
use layers::{Environment, Layers};
use notices::Notices;
use webhooks::{Events, Webhook};

/// periodd's configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the data lives.
    pub database: Database,
    /// The process and its directories.
    pub daemon: Daemon,
    /// When each job runs.
    pub schedule: Schedules,
    /// Closing of periods.
    pub rollover: Rollover,
    /// Counting, and the search for drift.
    pub sync: Sync,
    /// When people are warned.
    pub alerts: Alerts,
    /// What else people hear of.
    pub notices: Notices,
    /// How emails travel.
    pub mail: Mail,
    /// What programs hear of.
    pub events: Events,
    /// Endpoints that are sent messages about events.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
    /// The HTTP server.
    pub http: Http,
    /// How long things are kept.
    pub retention: Retention,
    /// What the daemon says.
    pub log: Log,
    /// What is metered.
    pub features: Vec<Feature>,
    /// Tiers, for `periodd tiers apply`.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// Packs on sale, for `periodd tiers apply`.
    #[serde(default)]
    pub packs: Vec<Pack>,
    #[serde(skip)]
    provenance: Provenance,
}

/// What was loaded from where.
#[derive(Clone, Default, Debug)]
struct Provenance {
    file: Option<PathBuf>,
    settings: Vec<Setting>,
    sources: BTreeMap<String, Source>,
}

impl Config {
    /// Loads the configuration from `file`, or from the usual places, and from the environment.
    ///
    /// The usual places are `$PERIODD_CONFIG`, else the first that exists of
    /// `$XDG_CONFIG_HOME/periodd/periodd.toml` and `/etc/periodd/periodd.toml`; without any, the
    /// defaults hold.
    ///
    /// # Errors
    /// [`ConfigError`] lists everything that is wrong.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: Environment = environment.collect();
        let file = file.map(Path::to_owned).or_else(|| layers::default_file(&environment));
        let mut layers = Layers::shipped();
        if let Some(file) = &file {
            layers.file(file)?;
        }
        layers.environment(&environment);
        layers.settle_secrets();
        layers.surroundings(&environment, file.as_deref());
        let mut config = Self::from_layers(layers, file)?;
        config.find_webhook_secrets(&environment);
        Ok(config)
    }

    fn from_layers(mut layers: Layers, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let merged = layers.merged()?;
        let typed: Result<Self, _> = merged.clone().try_deserialize();
        // What seems to contradict may only have been lost behind a syntax error.
        if let (Ok(config), false) = (&typed, layers.is_broken) {
            layers.problems.extend(checks::contradictions(config, &layers.places));
        }
        if !layers.problems.is_empty() {
            return Err(ConfigError::new(layers.problems));
        }
        let mut config: Self = typed.map_err(|why| layers::not_merged(&why))?;
        let settings = show::settings(&merged, &layers.places);
        let sources = layers.places.iter().map(|(key, place)| (key.clone(), place.source()));
        config.provenance = Provenance { file, settings, sources: sources.collect() };
        Ok(config)
    }

    /// The process's environment for [`Config::load`].
    ///
    /// Values that are not UTF-8 are kept, damaged, so that a variable of ours is refused by its
    /// name instead of being passed over.
    pub fn environment() -> impl Iterator<Item = (String, String)> {
        std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
    }

    /// The file that a person who has none yet should write: `$PERIODD_CONFIG`, root's
    /// `/etc/periodd/periodd.toml`, else the one in the user's configuration directory. `None`
    /// without a home to put it in.
    pub fn own_file(environment: impl Iterator<Item = (String, String)>) -> Option<PathBuf> {
        layers::own_file(&environment.collect())
    }

    /// Where emails lead whoever wants no more warnings: the configured address, or this server's.
    pub fn unsubscribe_url(&self) -> Option<String> {
        let own = self.http.public_url.as_ref().filter(|_| self.http.enabled);
        let own = || own.map(|url| format!("{url}/unsubscribe/{{token}}"));
        self.mail.unsubscribe_url.clone().or_else(own)
    }

    /// The file that was read, if there was one.
    pub fn file(&self) -> Option<&Path> {
        self.provenance.file.as_deref()
    }

    /// Every key with its value and source, in the order of the sections; secrets are stars.
    pub fn sources(&self) -> &[Setting] {
        &self.provenance.settings
    }

    /// Where a value comes from, for faults that show only later: `sync.derived[0].table`.
    pub fn source(&self, key: &str) -> Source {
        self.provenance.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// The configuration in force with the source of each value; secrets are stars.
    pub fn show(&self, format: Format) -> String {
        match format {
            Format::Toml => show::toml(&self.provenance.settings),
            Format::Json => show::json(&self.provenance.settings),
        }
    }

    /// A JSON Schema of the file, with descriptions and defaults, for editors.
    pub fn json_schema() -> serde_json::Value {
        let shipped = Layers::shipped();
        let merged = shipped.merged().unwrap_or_default();
        let settings = show::settings(&merged, &shipped.places).into_iter();
        let defaults = settings.filter_map(|s| s.value.map(|value| (s.key, value)));
        schema::for_editors(&defaults.collect::<Vec<_>>())
    }

    /// The shipped file: every key with its default, unit and reason.
    pub fn default_text() -> &'static str {
        layers::SHIPPED
    }

    /// A file to begin with: the shipped one with every value commented out, so that nothing in
    /// it stands in the way of defaults to come.
    pub fn starter_text() -> String {
        starter::text()
    }
}
