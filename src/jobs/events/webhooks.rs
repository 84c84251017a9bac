//! Webhooks as they are configured: who listens, greeting an endpoint, switching it on again.

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::events::{Kind, Ping};
use crate::billing::when::shown_in_utc;
use crate::command::Command;
use crate::config::values::Secret;
use crate::config::webhooks::{EndpointUrl, EventKind, Webhook};
use crate::config::{Config, ConfigError};
use crate::jobs::finding::{Check, Finding, Mend, many};
use crate::mail::webhook::{Allowed, Answered, Endpoint, Secrets, Settings, Unusable};
use crate::store::events::listeners::{self, Channel, EndpointRow, Listener};
use crate::store::events::webhook_outbox;
use crate::store::reports::status::MANY;
use crate::store::{Connection, Database, IdPrefix, LockTimeout, StoreError, begin_within, orgs};

/// The event table among the listeners.
const TABLE: &str = "events";

/// What is recent.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);
/// A message that waits for so long is late.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// Why an endpoint cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Its secret cannot be had.
    #[error("{0}")]
    Secret(#[from] ConfigError),
    /// Its settings cannot be used.
    #[error("{0}")]
    Unusable(#[from] Unusable),
}

/// The endpoint of a webhook. Connects to nobody yet.
pub(crate) fn endpoint(config: &Config, webhook: &Webhook) -> Result<Endpoint, EndpointError> {
    let secrets = config.webhook_secrets(webhook)?;
    let secrets = Secrets::read(secrets.iter().map(Secret::reveal))
        .map_err(|why| Unusable(format!("the secret of the webhook {}: {why}", webhook.name)))?;
    let settings = Settings {
        uri: webhook.url.uri().clone(),
        allowed: allowed(&webhook.url, webhook.private_addresses),
        secrets,
        ca_file: webhook.ca_file.clone(),
        timeout: webhook.timeout.0,
    };
    Ok(Endpoint::new(settings)?)
}

/// The addresses that an endpoint may have. What names this machine, and may do without TLS, goes
/// nowhere else, whoever answers for its name.
fn allowed(url: &EndpointUrl, private_addresses: bool) -> Allowed {
    match (url.is_loopback(), private_addresses) {
        (true, _) => Allowed::Loopback,
        (false, true) => Allowed::Private,
        (false, false) => Allowed::Public,
    }
}

/// Sends an endpoint a message that nothing happened.
pub(crate) async fn ping(endpoint: &Endpoint, webhook: &Webhook, now: Instant) -> Answered {
    let id = Uuid::new_v4();
    let said = Ping { endpoint: webhook.name.to_string() };
    let body = serde_json::json!({
        "type": Kind::Ping.name(), "id": id, "timestamp": now, "data": said,
    });
    endpoint.send(id, now, &body.to_string()).await
}

/// An endpoint whose settings cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct NotApplied {
    /// Its name.
    pub(crate) endpoint: String,
    /// What is wrong.
    pub(crate) reason: String,
}

/// What was applied of a configuration.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Did anything change?
    pub(crate) changed: bool,
    pub(crate) left_out: Vec<NotApplied>,
}

/// Makes the database's listeners those of the configuration. An endpoint whose org is unknown
/// stays as it was, and keeps no other from being applied.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn apply(database: &Database, config: &Config) -> Result<Applied, StoreError> {
    let (mut wanted, left_out) = wanted(database, config).await?;
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    let known = listeners::known(&mut transaction).await?;
    keep(&mut wanted, &known, &left_out);
    let changed = known != wanted;
    if changed {
        listeners::write(&mut transaction, &wanted).await?;
        transaction.commit().await?;
    }
    Ok(Applied { changed, left_out })
}

/// What stands in the database about endpoints that cannot be applied is wanted as it is.
fn keep(wanted: &mut Vec<Listener>, known: &[Listener], left_out: &[NotApplied]) {
    let stays = |one: &&Listener| {
        let is_named = left_out.iter().any(|fault| fault.endpoint == one.name);
        one.channel == Channel::Webhook.name() && is_named
    };
    wanted.extend(known.iter().filter(stays).cloned());
    wanted.sort();
}

/// The listeners of a configuration, and the endpoints whose org is unknown.
async fn wanted(
    database: &Database,
    config: &Config,
) -> Result<(Vec<Listener>, Vec<NotApplied>), StoreError> {
    let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
    if config.events.enabled {
        wanted.push(Listener {
            channel: Channel::Table.name().to_owned(),
            name: TABLE.to_owned(),
            kinds: names(&config.events.kinds),
            only_org: None,
        });
    }
    for webhook in &config.webhooks {
        let name = webhook.name.to_string();
        let only_org = match &webhook.org {
            None => None,
            Some(org) => match orgs::find(database, org).await {
                Ok(org) => Some(org),
                Err(StoreError::Invalid(reason)) => {
                    left_out.push(NotApplied { endpoint: name, reason });
                    continue;
                }
                Err(other) => return Err(other),
            },
        };
        wanted.push(Listener {
            channel: Channel::Webhook.name().to_owned(),
            name,
            kinds: names(&webhook.kinds),
            only_org,
        });
    }
    Ok((wanted, left_out))
}

/// No kinds are all kinds.
fn names(kinds: &[EventKind]) -> Option<Vec<String>> {
    let names = kinds.iter().map(|kind| kind.0.name().to_owned());
    (!kinds.is_empty()).then(|| names.collect())
}

/// How endpoints fare, at an instant in real time.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn endpoints(
    connection: &mut Connection,
    now: Instant,
) -> Result<Vec<EndpointRow>, StoreError> {
    let recently = now.plus(-RECENTLY).unwrap_or(now);
    listeners::endpoints(connection, recently, MANY).await
}

/// What is wrong with endpoints, at an instant in real time.
pub(in crate::jobs) fn findings(endpoints: &[EndpointRow], now: Instant) -> Vec<Finding> {
    let mut findings = Vec::new();
    let late = now.plus(-LATE).unwrap_or(now);
    for endpoint in endpoints {
        let EndpointRow { name, switched_off_at, answer, due, oldest, .. } = endpoint;
        let said = answer.as_ref().map_or_else(String::new, |words| format!(": {words}"));
        if let Some(at) = switched_off_at {
            let since = shown_in_utc(*at);
            let what = format!("the webhook {name} has been switched off since {since}{said}");
            let resume = Mend::periodd(["webhooks", "resume", name]);
            findings.push(Finding::problem(Check::WebhookOff, what).mend(resume));
        } else if let Some(since) = oldest.filter(|since| *since <= late) {
            let since = shown_in_utc(since);
            let messages = many(*due, "message");
            let what =
                format!("{messages} to the webhook {name}, the oldest recorded at {since}{said}");
            let now = Command::periodd(["alerts", "run", "--now"]);
            let mend = Mend::advice_then("repair the endpoint, then have them tried at once", now);
            findings.push(Finding::problem(Check::WebhookLate, what).mend(mend));
        }
    }
    let given_up: i64 = endpoints.iter().map(|endpoint| endpoint.given_up).sum();
    if given_up > 0 {
        let what = format!("{} given up in the last 24 hours", many(given_up, "webhook"));
        let again = Mend::periodd(["alerts", "resend", "--state", "given_up"]);
        findings.push(Finding::problem(Check::WebhooksGivenUp, what).mend(again));
    }
    findings
}

/// That the database has other listeners than the configuration, and endpoints that cannot be
/// applied.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(in crate::jobs) async fn mismatches(
    database: &Database,
    config: &Config,
) -> Result<Vec<Finding>, StoreError> {
    let (mut wanted, left_out) = wanted(database, config).await?;
    let known = listeners::known(&mut *database.connection().await?).await?;
    keep(&mut wanted, &known, &left_out);
    let faults = left_out.into_iter().map(|NotApplied { endpoint, reason }| {
        let what = format!("the webhook {endpoint} cannot be applied: {reason}");
        let advice = Mend::advice("correct `org` in [[webhooks]]");
        Finding::problem(Check::Listeners, what).mend(advice)
    });
    let mut findings: Vec<Finding> = faults.collect();
    if known != wanted {
        let what = "[events] or [[webhooks]] of the configuration are not applied to the database";
        let apply = Mend::periodd(["webhooks", "apply"]);
        findings.push(Finding::warning(Check::Listeners, what.to_owned()).mend(apply));
    }
    Ok(findings)
}

/// Switches an endpoint on again, and has it tried at once. False: it is not known.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn resume(database: &Database, name: &str) -> Result<bool, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    let is_known = listeners::resume(&mut transaction, name).await?;
    transaction.commit().await?;
    Ok(is_known)
}

/// The one message whose id begins so, as its org and id; `None`: there is none.
///
/// # Errors
/// [`StoreError::Invalid`] when several begin so.
pub(crate) async fn find(
    database: &Database,
    prefix: &IdPrefix,
) -> Result<Option<(Uuid, Uuid)>, StoreError> {
    let found = webhook_outbox::find(&mut *database.connection().await?, prefix).await?;
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(StoreError::Invalid(format!(
            "several webhooks begin with {prefix}; write more digits"
        ))),
    }
}

/// Messages that were given up, of one org or of all, since an instant; as orgs and ids.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn given_up(
    database: &Database,
    org: Option<Uuid>,
    since: Option<Instant>,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    webhook_outbox::given_up(&mut *database.connection().await?, org, since).await
}

/// Has messages sent once more by the next delivery, with the ids that they had; returns how many
/// there are.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn queue_again(
    database: &Database,
    messages: &[(Uuid, Uuid)],
) -> Result<usize, StoreError> {
    let now = database.believed_now().await?;
    let mut connection = database.connection().await?;
    let mut queued = 0;
    for (org, id) in messages {
        let again = webhook_outbox::queue_again(&mut connection, *org, *id, now).await?;
        queued += usize::from(again);
    }
    Ok(queued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_this_machine_stays_on_it() {
        let of = |url: &str, private| allowed(&url.parse().expect("an address"), private);
        for private in [false, true] {
            assert_eq!(of("http://localhost/", private), Allowed::Loopback);
            assert_eq!(of("https://127.0.0.1/", private), Allowed::Loopback);
        }
        assert_eq!(of("https://10.0.0.1/", true), Allowed::Private);
        assert_eq!(of("https://10.0.0.1/", false), Allowed::Public);
    }
}
