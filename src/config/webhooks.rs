//! `[events]` and `[[webhooks]]`: what programs hear of, and where messages go.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::Wait;
pub use super::endpoints::{EndpointUrl, EventKind, WebhookName};
use super::values::Secret;

/// How long a message may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Messages per second where nothing else is said.
const RATE: u32 = 50;

/// The event table.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Whether events are written to the event table.
    pub enabled: bool,
    /// Kinds of events in the table. Not set: all.
    #[serde(default)]
    pub kinds: Vec<EventKind>,
}

/// An endpoint that is sent messages about events.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Name of the endpoint, for lists and logs.
    pub name: WebhookName,
    /// Address of the endpoint: https, or http to this machine.
    pub url: EndpointUrl,
    /// Kinds of events that it is sent. Not set: all.
    #[serde(default)]
    pub kinds: Vec<EventKind>,
    /// The only org whose events it is sent (slug or id). Not set: all orgs.
    pub org: Option<String>,
    /// A file with the secret; two lines while it is replaced.
    #[schemars(extend("format" = "path"))]
    pub secret_file: Option<PathBuf>,
    /// Name of the environment variable with the secret.
    pub secret_env: Option<String>,
    /// Whether the address may be a private one.
    #[serde(default)]
    pub private_addresses: bool,
    /// PEM file with the certificate authorities to trust. Not set: the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Maximum number of messages per second [default: 50].
    #[serde(default = "rate")]
    #[schemars(range(min = 1, max = 100_000))]
    pub rate_per_second: u32,
    /// Timeout per message, from connecting to the end of the answer, up to 60s [default: 20s].
    #[serde(default = "timeout")]
    pub timeout: Wait,
    /// What the environment variable held.
    #[serde(skip)]
    pub(super) secret: Option<Secret>,
}

const fn rate() -> u32 {
    RATE
}

const fn timeout() -> Wait {
    Wait(TIMEOUT)
}
