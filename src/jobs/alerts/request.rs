//! What a pass is asked, and where the configuration says it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::notices::Settings;
use crate::billing::Instant;
use crate::config::{self, Config};
use crate::jobs::stop::Stop;
use crate::store::alerts::Watch;

/// A pass that was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The thresholds of all features.
    pub watched: Watched,
    /// What else people hear of.
    pub notices: Settings,
    /// Are emails sent at all? Otherwise alerts are only recorded.
    pub mails: bool,
    /// Look at everything, rather than at what moved.
    pub full: bool,
    /// Business time; `None` reads the database's clock.
    pub at: Option<Instant>,
    /// Asks the pass to end with the page that it is at.
    pub stop: Stop,
}

impl Request {
    /// What the configuration says about every pass.
    pub fn of(config: &Config) -> Self {
        Self {
            watched: Watched::of(config),
            notices: Settings::of(config),
            mails: config.mail.transport != config::sections::Transport::None,
            full: false,
            at: None,
            stop: Stop::default(),
        }
    }
}

/// Thresholds and basis: those of features that have their own, and those of all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    features: BTreeMap<String, Watching>,
    others: Watching,
    /// Levels above 100 %, which are watched of orgs with thresholds of their own, too.
    beyond: Vec<u8>,
}

/// What is watched of a feature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Watching {
    thresholds: Vec<u8>,
    basis: &'static str,
}

impl Watched {
    /// What the configuration says.
    pub fn of(config: &Config) -> Self {
        let word = |basis: config::sections::Basis| match basis {
            config::sections::Basis::Allowance => "allowance",
            config::sections::Basis::Included => "included",
        };
        let beyond = config.notices.beyond();
        let with_beyond = |levels: &[u8]| -> Vec<u8> {
            // Without thresholds there are no alerts, and none that go on.
            let beyond = beyond.iter().filter(|_| !levels.is_empty());
            levels.iter().chain(beyond).copied().collect()
        };
        let others = Watching {
            thresholds: with_beyond(&config.alerts.thresholds.0),
            basis: word(config.alerts.basis),
        };
        let own = config
            .features
            .iter()
            .filter(|feature| feature.thresholds.is_some() || feature.basis.is_some());
        let features = own.map(|feature| {
            let thresholds = feature.thresholds.as_ref().map(|own| with_beyond(&own.0));
            let watching = Watching {
                thresholds: thresholds.unwrap_or_else(|| others.thresholds.clone()),
                basis: feature.basis.map_or(others.basis, word),
            };
            (feature.name.to_lowercase(), watching)
        });
        Self { features: features.collect(), others: others.clone(), beyond: beyond.to_vec() }
    }

    /// The thresholds of a feature, where its org has none of its own.
    pub fn thresholds(&self, feature: &str) -> &[u8] {
        &self.features.get(feature).unwrap_or(&self.others).thresholds
    }

    /// The thresholds of an org with some of its own.
    pub fn own_thresholds(&self, own: &[i16]) -> Vec<u8> {
        let own: Vec<u8> = own.iter().filter_map(|level| u8::try_from(*level).ok()).collect();
        let beyond = self.beyond.iter().filter(|_| !own.is_empty());
        own.iter().chain(beyond).copied().collect()
    }

    /// What they are percentages of, `allowance` or `included`, where its org says nothing else.
    pub fn basis(&self, feature: &str) -> &'static str {
        self.features.get(feature).unwrap_or(&self.others).basis
    }

    pub(super) fn for_store(&self) -> Watch {
        let least = |watching: &Watching| watching.thresholds.iter().min().copied().map(i16::from);
        Watch {
            features: self.features.keys().cloned().collect(),
            least: self.features.values().map(least).collect(),
            bases: self.features.values().map(|one| one.basis.to_owned()).collect(),
            default_least: least(&self.others),
            default_basis: self.others.basis.to_owned(),
        }
    }

    /// A text that differs when any of it does.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        let others = std::iter::once(("*", &self.others));
        let own = self.features.iter().map(|(name, watching)| (name.as_str(), watching));
        for (name, Watching { thresholds, basis }) in others.chain(own) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name} {thresholds:?} {basis};");
        }
        text
    }
}
