//! The sections of the file that say how periodd works.
//!
//! These types are the one description of the configuration: the checks of a file, `config show`
//! and the JSON Schema are all derived from them. Defaults stand in the shipped file alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::{Keep, Wait};
use super::values::{CronLine, Identifier, Mailbox, Secret, Thresholds, ZoneName};

/// Where the data lives.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// A database of your own, `postgres://user@host/database`, without a password.
    /// Not set: a private cluster in the state directory.
    #[schemars(extend("format" = "database-url", "x-credential" = "database-url"))]
    pub url: Option<Secret>,
    /// A file that holds the whole URL, password included. The systemd credential `database-url`
    /// is used when neither this nor `url` is set.
    #[schemars(extend("format" = "path"))]
    pub url_file: Option<PathBuf>,
    /// A database to play with: `--at` may lie in the future.
    pub sandbox: bool,
    /// The most connections one process opens.
    #[schemars(range(min = 2, max = 1000))]
    pub max_connections: u32,
    /// The directory of `initdb` and `postgres` for the private cluster. Not set: searched.
    #[schemars(extend("format" = "path"))]
    pub server_binaries: Option<PathBuf>,
}

/// The process and its directories.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daemon {
    /// What periodd keeps on disk: the private cluster and the emails of the `directory`
    /// transport. Not set: `$STATE_DIRECTORY`, root's `/var/lib/periodd`, the user's
    /// `$XDG_STATE_HOME/periodd` or `~/.local/state/periodd`.
    #[schemars(extend("format" = "path"))]
    pub state_dir: PathBuf,
    /// The directory of the private cluster's socket. Not set: `$RUNTIME_DIRECTORY`, root's
    /// `/run/periodd` beside a `state_dir` that is not set either, or `run` in the state directory.
    #[schemars(extend("format" = "path"))]
    pub socket_dir: PathBuf,
    /// How long running batches may take to finish after SIGTERM.
    pub drain_timeout: Wait,
    /// How long a run stays with a process that does not move any more.
    pub lease: Wait,
}

/// When each job runs.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedules {
    /// The sweep that catches every due org that a zone's wake-up missed.
    pub rollover: Schedule,
    /// Counting of usage metrics.
    pub sync: Schedule,
    /// The daily look for drift.
    pub audit: Schedule,
    /// Thresholds against counters.
    pub alerts: Schedule,
    /// Sending of due emails.
    pub deliver: Schedule,
    /// Deletion of what has been kept long enough.
    pub retention: Schedule,
}

impl Schedules {
    /// Every schedule with its name, in the order of the file.
    #[must_use]
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
    /// A cron line with seconds first; five fields mean second 0.
    pub cron: CronLine,
    /// The zone whose wall clock the cron line means.
    pub time_zone: ZoneName,
    /// Does it run by itself at all?
    pub enabled: bool,
    /// The longest random delay before a run.
    pub jitter: Wait,
    /// When a run is given up.
    pub timeout: Wait,
    /// What becomes of occurrences that an outage swallowed.
    pub catch_up: Missed,
}

/// What becomes of a job's occurrences that an outage swallowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are made up for by one run.
    Once,
    /// They are left out.
    Skip,
}

/// Closing of periods.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollover {
    /// Orgs per transaction.
    #[schemars(range(min = 1, max = 10_000))]
    pub batch_size: u32,
    /// How periods are closed that ended while nobody was there.
    pub catch_up: CatchUp,
    /// Missed periods that are closed per org and pass.
    #[schemars(range(min = 1, max = 1000))]
    pub max_periods_per_pass: u32,
    /// The tier of an org whose subscription has ended.
    pub ended_tier: String,
    /// Connections that work on due orgs side by side.
    #[schemars(range(min = 1, max = 64))]
    pub connections: u32,
}

/// How periods are closed that ended while nobody was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// One by one, oldest first, each with its own usage and included quantity.
    Replay,
    /// The open one normally, all missed ones together as one.
    Collapse,
    /// Not at all: an org with more than one due period is parked.
    Halt,
}

/// Counting, and the search for drift.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// The share of orgs that one audit may change before it is refused as suspicious.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_fix_ratio: f64,
    /// How long after a close late usage still draws on the packs of that period.
    pub late_usage_grace: Wait,
    /// What becomes of usage that comes later still.
    pub late_usage_policy: LateUsage,
    /// Copies of counters that periodd keeps up to date.
    pub derived: Vec<Derived>,
}

/// What becomes of usage that arrives after the grace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LateUsage {
    /// It is recorded beside the closed period, and nobody pays for it.
    SetAside,
    /// It is counted in the open period.
    OpenPeriod,
}

/// A column that holds a copy of a counter.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// The table, `schema.table` if need be.
    pub table: Identifier,
    /// The column that periodd writes.
    pub column: Identifier,
    /// The column that holds the org's or the user's id.
    pub key: Identifier,
    /// The feature whose counter is copied.
    pub feature: String,
    /// Whose counter it is.
    pub scope: Scope,
    /// What of it is copied.
    pub quantity: Copied,
}

/// Whose counter a derived column copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The org's.
    Org,
    /// One user's.
    User,
}

/// What a derived column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copied {
    /// Usage in the open period.
    Used,
    /// What is left of the packs.
    PurchasedRemaining,
    /// Usage as a percentage of the allowance.
    Percent,
}

/// When people are warned.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Percentages, whole and rising; an empty list warns nobody.
    pub thresholds: Thresholds,
    /// What they are percentages of.
    pub basis: Basis,
}

/// What thresholds are percentages of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The allowance: included, and what packs have paid and can still pay for.
    Allowance,
    /// The included quantity alone.
    Included,
}

/// How emails travel.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Where emails go.
    pub transport: Transport,
    /// The directory of the `directory` transport. Not set: `mail` in the state directory.
    #[schemars(extend("format" = "path"))]
    pub directory: PathBuf,
    /// The sender.
    pub from: Mailbox,
    /// A directory whose templates replace the embedded ones of the same name.
    #[schemars(extend("format" = "path"))]
    pub templates_dir: Option<PathBuf>,
    /// Where one click ends the warnings at 80 and 90 %; `{token}` in it stands for the recipient.
    #[schemars(extend("format" = "https-url"))]
    pub unsubscribe_url: Option<String>,
    /// Attempts before an email is given up.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// The mail server of the `smtp` transport.
    pub smtp: Smtp,
}

/// Where emails go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Into a directory, as `.eml` files.
    Directory,
    /// To a mail server.
    Smtp,
    /// Nowhere: alerts are recorded, nothing is written or sent.
    None,
}

/// The mail server of the `smtp` transport.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name or address.
    pub host: Option<String>,
    /// Its port.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// How the connection is kept private.
    pub tls: Tls,
    /// A file of certificates in PEM: the authorities that the server's certificate must come
    /// from. Not set: the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// The user to log in as. Not set: no login.
    pub username: Option<String>,
    /// The password, from the environment only.
    #[schemars(extend("x-credential" = "smtp-password", "x-environment-only" = true))]
    pub password: Option<Secret>,
    /// A file that holds the password. The systemd credential `smtp-password` is used when this
    /// is not set.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// Connections to the server at once.
    #[schemars(range(min = 1, max = 100))]
    pub max_connections: u32,
    /// Emails per second, at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub rate_per_second: u32,
    /// How long one email may take from connecting to the server's word.
    pub timeout: Wait,
}

/// How the connection to a mail server is kept private.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Begins in the clear and must switch to TLS before anything is said.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

/// How long things are kept.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Usage metrics of closed periods.
    pub metrics_keep: Keep,
    /// Records of runs.
    pub runs_keep: Keep,
    /// The drift log.
    pub drift_keep: Keep,
    /// Emails that were sent or given up, and then the alerts that they told of.
    pub emails_keep: Keep,
}

/// The listener for health, metrics, the usage API and the dashboard.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Is there one?
    pub enabled: bool,
    /// Where it listens, `IP:PORT`.
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub listen: SocketAddr,
}

/// What the daemon says.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least important thing that is still said.
    pub level: Level,
    /// How it is written.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something needs a look.
    Warn,
    /// What was done.
    Info,
    /// How it was done.
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
