//! What only several keys together can have wrong. Each key by itself has passed already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Config;
use super::problem::{Place, Places, Problem, did_you_mean};
use super::sections::{Copied, Scope, Tls, Transport};

/// Lists the contradictions in a configuration.
pub(super) fn contradictions(config: &Config, places: &Places) -> Vec<Problem> {
    let mut checks = Checks { config, places, problems: Vec::new() };
    checks.secrets();
    checks.schema();
    checks.connections();
    checks.timeouts();
    checks.mail();
    checks.webhooks();
    checks.unique_names();
    checks.known_features();
    checks.derived();
    checks.problems
}

/// A shorter lease would run out between two of its renewals on a machine that is merely busy.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// A delivery waits for the last message of each endpoint.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);

struct Checks<'a> {
    config: &'a Config,
    places: &'a Places,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn is_set(&self, path: &str) -> bool {
        self.places.get(path).is_some_and(Place::is_set)
    }

    /// Notes a problem at the first of these keys that the operator set.
    fn blame(&mut self, paths: &[&str], sentence: impl Into<String>) {
        let at = paths.iter().find(|path| self.is_set(path)).or(paths.first());
        let place = at.and_then(|path| self.places.get(*path)).cloned();
        self.problems.push(Problem::new(place.unwrap_or(Place::Default), sentence));
    }

    fn secrets(&mut self) {
        let database = &self.config.database;
        if database.url.is_some() && database.url_file.is_some() {
            let credential = match self.places.get("database.url_file") {
                Some(Place::Credential(_)) => "the systemd credential database-url",
                _ => "`url_file`",
            };
            let sentence = format!("`url` and {credential} both name a database; remove one");
            self.blame(&["database.url"], sentence);
        }
        let smtp = &self.config.mail.smtp;
        if smtp.password.is_some() && smtp.password_file.is_some() {
            self.blame(
                &["mail.smtp.password_file"],
                "`password` and `password_file` are both set; remove one",
            );
        }
    }

    /// A name that the server keeps as it is, and that a search path can hold.
    fn schema(&mut self) {
        let Some(name) = self.config.database.schema.clone() else { return };
        let is_odd = |c: char| c.is_control() || [',', '"', '\\', '$'].contains(&c);
        if name.trim() != name || name.is_empty() || name.len() > 63 || name.contains(is_odd) {
            self.blame(
                &["database.schema"],
                "`schema` is a name of at most 63 bytes, without quotes, commas and outer blanks",
            );
        } else if name.starts_with("pg_") || name == "information_schema" {
            self.blame(&["database.schema"], format!("`{name}` is a schema of PostgreSQL's own"));
        }
    }

    fn connections(&mut self) {
        let (working, most) =
            (self.config.rollover.connections, self.config.database.max_connections);
        if working >= most {
            self.blame(
                &["rollover.connections", "database.max_connections"],
                format!(
                    "`connections` in [rollover] ({working}) must be less than `max_connections` \
                     in [database] ({most}), so that the other jobs have one"
                ),
            );
        }
    }

    fn timeouts(&mut self) {
        let smtp = ("mail.smtp.timeout".to_owned(), self.config.mail.smtp.timeout);
        let schedules = self.config.schedule.all();
        let timeouts = schedules.map(|(name, s)| (format!("schedule.{name}.timeout"), s.timeout));
        for (path, _) in timeouts.into_iter().chain([smtp]).filter(|(_, t)| t.0.is_zero()) {
            self.blame(&[&path], "`timeout` must be greater than 0");
        }
        if self.config.daemon.lease.0 < SHORTEST_LEASE {
            self.blame(&["daemon.lease"], "`lease` must be 1s or longer");
        }
    }

    fn mail(&mut self) {
        let smtp = &self.config.mail.smtp;
        if self.config.mail.transport == Transport::Smtp {
            if !self.is_set("mail.smtp.host") {
                self.blame(&["mail.transport"], "\"smtp\" needs `host` in [mail.smtp]");
            }
            if !self.is_set("mail.from") {
                self.blame(&["mail.transport"], "\"smtp\" needs `from` in [mail]");
            }
        }
        let has_password = smtp.password.is_some() || smtp.password_file.is_some();
        match (&smtp.username, has_password) {
            (Some(_), false) => self.blame(
                &["mail.smtp.username"],
                "`username` needs `password_file`, or PERIODD__MAIL__SMTP__PASSWORD",
            ),
            // A credential may be there for a login that is not wanted yet.
            (None, true) if !self.is_credential("mail.smtp.password_file") => self.blame(
                &["mail.smtp.password_file", "mail.smtp.password"],
                "a password needs `username` in [mail.smtp]",
            ),
            _ => {}
        }
        let is_used = self.config.mail.transport == Transport::Smtp && smtp.host.is_some();
        if smtp.tls == Tls::None && !self.is_smtp_near() && (smtp.username.is_some() || is_used) {
            let what = if smtp.username.is_some() { "the password" } else { "emails" };
            let sentence = format!(
                "tls = \"none\" would send {what} in the clear; use \"starttls\" or \"tls\""
            );
            self.blame(&["mail.smtp.tls"], sentence);
        }
    }

    fn webhooks(&mut self) {
        let names = self.config.webhooks.iter().map(|webhook| webhook.name.to_string());
        self.unique("webhooks", "name", names.collect());
        for (i, webhook) in self.config.webhooks.iter().enumerate() {
            let path = |key: &str| format!("webhooks[{i}].{key}");
            if webhook.secret_file.is_some() && webhook.secret_env.is_some() {
                let sentence = "`secret_file` and `secret_env` are both set; remove one";
                self.blame(&[&path("secret_env")], sentence);
            }
            if webhook.timeout.0.is_zero() {
                self.blame(&[&path("timeout")], "`timeout` must be greater than 0");
            } else if webhook.timeout.0 > LONGEST_TIMEOUT {
                self.blame(&[&path("timeout")], "`timeout` must be 60s or shorter");
            }
        }
    }

    fn is_credential(&self, path: &str) -> bool {
        matches!(self.places.get(path), Some(Place::Credential(_)))
    }

    fn is_smtp_near(&self) -> bool {
        let host = self.config.mail.smtp.bare_host();
        host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    fn unique_names(&mut self) {
        let Config { features, tiers, packs, sync, .. } = self.config;
        self.unique("features", "name", features.iter().map(|f| f.name.clone()).collect());
        self.unique("tiers", "code", tiers.iter().map(|t| t.code.clone()).collect());
        self.unique("packs", "code", packs.iter().map(|p| p.code.clone()).collect());
        let columns =
            sync.derived.iter().map(|d| format!("{}.{}", d.table.as_str(), d.column.as_str()));
        self.unique("sync.derived", "column", columns.collect());
        for (i, tier) in self.config.tiers.iter().enumerate() {
            let mut seen = BTreeMap::new();
            for name in tier.limits.keys() {
                if let Some(first) = seen.insert(name.to_lowercase(), name) {
                    let path = format!("tiers[{i}].limits.{name}");
                    self.blame(&[&path], format!("`{name}` and `{first}` are the same feature"));
                }
            }
            let mut priced = BTreeSet::new();
            for name in tier.uncovered_price_cents.keys() {
                let path = format!("tiers[{i}].uncovered_price_cents.{name}");
                if !seen.contains_key(&name.to_lowercase()) {
                    self.blame(&[&path], format!("`{name}` has a price and needs a limit, too"));
                } else if !priced.insert(name.to_lowercase()) {
                    self.blame(&[&path], format!("`{name}` has a price already"));
                }
            }
        }
    }

    /// Names are the same in capital and small letters, everywhere.
    fn unique(&mut self, list: &str, key: &str, names: Vec<String>) {
        let mut seen = BTreeMap::new();
        for (i, name) in names.into_iter().enumerate() {
            let Some(first) = seen.insert(name.to_lowercase(), i) else { continue };
            let path = format!("{list}[{i}].{key}");
            let before = self.places.get(&format!("{list}[{first}].{key}"));
            let before = before.map(|place| format!(", first at {}", place.source()));
            let before = before.unwrap_or_default();
            self.blame(&[&path], format!("`{name}` is given twice{before}"));
        }
    }

    fn known_features(&mut self) {
        let limits = self.config.tiers.iter().enumerate().flat_map(|(i, tier)| {
            tier.limits.keys().map(move |name| (format!("tiers[{i}].limits.{name}"), name))
        });
        let packs = self.config.packs.iter().enumerate();
        let packs = packs.map(|(i, pack)| (format!("packs[{i}].feature"), &pack.feature));
        let derived = self.config.sync.derived.iter().enumerate();
        let derived = derived.map(|(i, d)| (format!("sync.derived[{i}].feature"), &d.feature));
        let named: Vec<_> = limits.chain(packs).chain(derived).collect();
        for (path, name) in named {
            let known = self.config.features.iter().map(|feature| feature.name.as_str());
            let is_known = known.clone().any(|k| k.to_lowercase() == name.to_lowercase());
            // The shipped columns may name features that the operator's own list leaves out.
            if !is_known && self.is_set(&path) {
                let help = did_you_mean(name, known)
                    .unwrap_or_else(|| "; add a [[features]] block for it".to_owned());
                self.blame(&[&path], format!("unknown feature `{name}`{help}"));
            }
        }
    }

    fn derived(&mut self) {
        let derived = self.config.sync.derived.iter().enumerate();
        let impossible: Vec<_> = derived
            .filter(|(_, d)| d.scope == Scope::User && d.quantity == Copied::PurchasedRemaining)
            .map(|(i, _)| format!("sync.derived[{i}].quantity"))
            .collect();
        for path in impossible {
            self.blame(&[&path], "packs belong to orgs; use scope \"org\"");
        }
    }
}
