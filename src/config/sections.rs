//! The sections of the file that say how periodd works.
//!
//! These types are the one description of the configuration: the checks of a file, `config show`
//! and the JSON Schema are all derived from them. Defaults stand in the shipped file alone.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::{Keep, Wait};
use super::values::{CronLine, Identifier, Mailbox, Secret, Thresholds, ZoneName};

/// Where the data lives.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Your database, `postgres://user@host/database`, without a password. Not set: a private
    /// cluster in the state directory.
    #[schemars(extend("format" = "database-url", "x-credential" = "database-url"))]
    pub url: Option<Secret>,
    /// A file with the whole URL, including the password. The systemd credential `database-url` is
    /// used if neither this nor `url` is set.
    #[schemars(extend("format" = "path"))]
    pub url_file: Option<PathBuf>,
    /// The schema of periodd's tables and functions, created by `db migrate`. Not set: the first
    /// one of the connection's search path.
    #[schemars(length(min = 1, max = 63))]
    pub schema: Option<String>,
    /// A sandbox database: `--at` may be in the future.
    pub sandbox: bool,
    /// Maximum number of connections per process.
    #[schemars(range(min = 2, max = 1000))]
    pub max_connections: u32,
    /// Maximum duration of a statement. `db migrate` and `db import` have a day.
    pub statement_timeout: Wait,
    /// Directory of `initdb` and `postgres` for the private cluster. Not set: search for it.
    #[schemars(extend("format" = "path"))]
    pub server_binaries: Option<PathBuf>,
}

/// The process and its directories.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// Directory for the private cluster and the emails of the `directory` transport. Not set:
    /// `$STATE_DIRECTORY`, root's `/var/lib/periodd`, the user's `$XDG_STATE_HOME/periodd` or
    /// `~/.local/state/periodd`.
    #[schemars(extend("format" = "path"))]
    pub state_dir: PathBuf,
    /// The directory of the private cluster's socket. Not set: `$RUNTIME_DIRECTORY`, root's
    /// `/run/periodd` if `state_dir` is not set either, or `run` in the state directory.
    #[schemars(extend("format" = "path"))]
    pub socket_dir: PathBuf,
    /// Time for running batches to finish after SIGTERM.
    pub drain_timeout: Wait,
    /// Time after which another process takes over the run of a process that hangs.
    pub lease: Wait,
}

/// When each job runs.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedules {
    /// The sweep that finds due orgs that a zone's wake-up missed.
    pub rollover: Schedule,
    /// Counting of usage metrics.
    pub sync: Schedule,
    /// The daily audit for drift.
    pub audit: Schedule,
    /// The check of counters against thresholds.
    pub alerts: Schedule,
    /// Delivery of due emails.
    pub deliver: Schedule,
    /// Deletion of expired data.
    pub retention: Schedule,
}

impl Smtp {
    /// The server's name or address, without the brackets that URLs write around IPv6 addresses;
    /// empty where there is none.
    pub fn bare_host(&self) -> &str {
        let host = self.host.as_deref().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl Schedules {
    /// Every schedule with its name, in the order of the file.
    pub fn all(&self) -> [(&'static str, &Schedule); 6] {
        [
            ("rollover", &self.rollover),
            ("sync", &self.sync),
            ("audit", &self.audit),
            ("alerts", &self.alerts),
            ("deliver", &self.deliver),
            ("retention", &self.retention),
        ]
    }
}

/// When one job runs.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A cron expression with seconds first; with five fields, the second is 0.
    pub cron: CronLine,
    /// Time zone of the cron expression.
    pub time_zone: ZoneName,
    /// Whether the daemon runs the job.
    pub enabled: bool,
    /// Maximum random delay before a run.
    pub jitter: Wait,
    /// Maximum duration of a run.
    pub timeout: Wait,
    /// What happens to occurrences missed in an outage.
    pub catch_up: Missed,
}

/// What happens to a job's occurrences missed in an outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// One run makes up for all of them.
    Once,
    /// They are skipped.
    Skip,
}

/// Closing of periods.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollover {
    /// Orgs per transaction.
    #[schemars(range(min = 1, max = 10_000))]
    pub batch_size: u32,
    /// How missed periods are closed.
    pub catch_up: CatchUp,
    /// Maximum number of missed periods closed per org and pass.
    #[schemars(range(min = 1, max = 1000))]
    pub max_periods_per_pass: u32,
    /// Tier of an org whose subscription has ended.
    pub ended_tier: String,
    /// Whether `orgs set` warns of a change of calendar that makes a period under a third of its
    /// cycle.
    pub short_period_warning: bool,
    /// Connections that work on due orgs in parallel.
    #[schemars(range(min = 1, max = 64))]
    pub connections: u32,
}

/// How missed periods are closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// One by one, oldest first, each with its own usage and included quantity.
    Replay,
    /// The open one as usual, all missed ones together as one.
    Collapse,
    /// Not at all: an org with more than one due period is parked.
    Halt,
}

/// Counting and audits.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// Maximum share of orgs that an audit may change.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_fix_ratio: f64,
    /// Grace period after a close in which late usage draws on the packs of that period.
    pub late_usage_grace: Wait,
    /// What happens to usage after the grace period.
    pub late_usage_policy: LateUsage,
    /// Columns with copies of counters.
    pub derived: Vec<Derived>,
}

/// What happens to usage after the grace period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LateUsage {
    /// It is recorded beside the closed period and charged to nobody.
    SetAside,
    /// It is counted in the open period.
    OpenPeriod,
}

/// A column with a copy of a counter.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// The table, as `schema.table` if it is not on the search path.
    pub table: Identifier,
    /// The column that periodd writes.
    pub column: Identifier,
    /// The column with the id of the org or user.
    pub key: Identifier,
    /// The feature whose counter is copied.
    pub feature: String,
    /// Owner of the counter.
    pub scope: Scope,
    /// The quantity to copy.
    pub quantity: Copied,
}

/// Owner of the copied counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The org's.
    Org,
    /// One user's.
    User,
}

/// The quantity in a derived column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copied {
    /// Usage in the open period.
    Used,
    /// The remaining quantity of all packs.
    PurchasedRemaining,
    /// Usage as a percentage of the allowance.
    Percent,
}

/// Warnings.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Whole percentages in ascending order; an empty list sends no warnings.
    pub thresholds: Thresholds,
    /// Base of the percentages.
    pub basis: Basis,
}

/// Base of the percentages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The allowance: the included quantity and purchased packs.
    Allowance,
    /// The included quantity alone.
    Included,
}

/// Emails.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Transport of emails.
    pub transport: Transport,
    /// Directory of the `directory` transport. Not set: `mail` in the state directory.
    #[schemars(extend("format" = "path"))]
    pub directory: PathBuf,
    /// The sender.
    pub from: Mailbox,
    /// Addresses of those who run periodd, for notices of parked orgs.
    #[serde(default)]
    pub operators: Vec<Mailbox>,
    /// Directory of templates that replace the embedded ones of the same name.
    #[schemars(extend("format" = "path"))]
    pub templates_dir: Option<PathBuf>,
    /// URL for one-click unsubscription from the warnings below 100 %; `{token}` stands for the
    /// recipient.
    #[schemars(extend("format" = "unsubscribe-url"))]
    pub unsubscribe_url: Option<String>,
    /// Maximum number of attempts per email.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// The vendor in emails.
    pub brand: Brand,
    /// Addresses that emails lead to.
    pub links: Links,
    /// The mail server of the `smtp` transport.
    pub smtp: Smtp,
}

/// The vendor in emails.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brand {
    /// Name at the head of emails.
    pub name: Option<String>,
    /// Address of a logo (https), which mail programs load. Not set: emails load nothing.
    #[schemars(extend("format" = "link"))]
    pub logo: Option<String>,
    /// Colour of the button, as `#rrggbb`.
    #[schemars(extend("format" = "colour"))]
    pub colour: Option<String>,
}

/// Addresses that emails lead to.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Where packs are sold: a button. `{org.slug}`, `{feature}` and `{pack.code}` are replaced.
    #[schemars(extend("format" = "link"))]
    pub buy: Option<String>,
    /// The customer's account, with the same placeholders.
    #[schemars(extend("format" = "link"))]
    pub account: Option<String>,
}

/// Transport of emails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// `.eml` files in a directory.
    Directory,
    /// A mail server.
    Smtp,
    /// None: alerts are recorded, but no email is written or sent.
    None,
}

/// The mail server of the `smtp` transport.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Host name or address.
    pub host: Option<String>,
    /// Port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Encryption of the connection.
    pub tls: Tls,
    /// PEM file with the certificate authorities to trust. Not set: the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// User name for the login. Not set: no login.
    pub username: Option<String>,
    /// The password; only in the environment.
    #[schemars(extend("x-credential" = "smtp-password", "x-environment-only" = true))]
    pub password: Option<Secret>,
    /// A file with the password. The systemd credential `smtp-password` is used if this is not set.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// Maximum number of connections to the server.
    #[schemars(range(min = 1, max = 100))]
    pub max_connections: u32,
    /// Maximum number of emails per second.
    #[schemars(range(min = 1, max = 10_000))]
    pub rate_per_second: u32,
    /// Timeout per email, from connecting to the server's final reply.
    pub timeout: Wait,
}

/// Encryption of the connection to a mail server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Starts unencrypted and must switch to TLS before any data is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// No encryption.
    None,
}

/// Retention of data.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Usage metrics of closed periods.
    pub metrics_keep: Keep,
    /// Records of runs.
    pub runs_keep: Keep,
    /// The drift log.
    pub drift_keep: Keep,
    /// Sent and given-up emails and webhooks, and their alerts.
    pub emails_keep: Keep,
    /// Rows of the event table.
    pub events_keep: Keep,
}

/// The log.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Minimum level of log messages.
    pub level: Level,
    /// Format of log messages.
    pub format: LogFormat,
}

/// Level of a log message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Errors.
    Error,
    /// Warnings.
    Warn,
    /// Events.
    Info,
    /// Details.
    Debug,
    /// Every step.
    Trace,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Pretty on a terminal, journald under systemd, else JSON.
    Auto,
    /// For eyes.
    Pretty,
    /// One JSON object per line.
    Json,
    /// With journald's priorities and fields.
    Journald,
}
