//! Webhooks as they are configured: who listens, greeting an endpoint, switching it on again.

use jiff::SignedDuration;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::events::{Kind, Ping};
use crate::billing::when::shown_in_utc;
use crate::command::Command;
use crate::config::values::Secret;
use crate::config::webhooks::{EventKind, Webhook};
use crate::config::{Config, ConfigError};
use crate::jobs::finding::{Check, Finding, Mend};
use crate::mail::webhook::{Allowed, Answered, Endpoint, Secrets, Settings, Unusable};
use crate::store::events::listeners::{self, Channel, EndpointRow, Fares, Listener};
use crate::store::events::webhook_outbox;
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
    let allowed = match (webhook.private_addresses, webhook.url.is_loopback()) {
        (true, _) => Allowed::Private,
        (false, true) => Allowed::Loopback,
        (false, false) => Allowed::Public,
    };
    let settings = Settings {
        uri: webhook.url.uri().clone(),
        allowed,
        secrets,
        ca_file: webhook.ca_file.clone(),
        timeout: webhook.timeout.0,
    };
    Ok(Endpoint::new(settings)?)
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

/// Makes the database's listeners those of the configuration, and says whether that changed any.
///
/// # Errors
/// [`StoreError::Invalid`] for an unknown org, [`StoreError`] when the database fails.
pub(crate) async fn apply(database: &Database, config: &Config) -> Result<bool, StoreError> {
    let wanted = wanted(database, config).await?;
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    if listeners::known(&mut transaction).await? == wanted {
        return Ok(false);
    }
    listeners::write(&mut transaction, &wanted).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Are the database's listeners those of the configuration?
///
/// # Errors
/// As [`apply`].
pub(crate) async fn are_applied(database: &Database, config: &Config) -> Result<bool, StoreError> {
    let wanted = wanted(database, config).await?;
    Ok(listeners::known(&mut *database.connection().await?).await? == wanted)
}

async fn wanted(database: &Database, config: &Config) -> Result<Vec<Listener>, StoreError> {
    let mut wanted = Vec::new();
    if config.events.enabled {
        wanted.push(Listener {
            channel: Channel::Table.name().to_owned(),
            name: TABLE.to_owned(),
            kinds: names(&config.events.kinds),
            only_org: None,
        });
    }
    for webhook in &config.webhooks {
        let only_org = match &webhook.org {
            Some(org) => Some(orgs::find(database, org).await?),
            None => None,
        };
        wanted.push(Listener {
            channel: Channel::Webhook.name().to_owned(),
            name: webhook.name.to_string(),
            kinds: names(&webhook.kinds),
            only_org,
        });
    }
    wanted.sort();
    Ok(wanted)
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
    listeners::endpoints(connection, recently).await
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
            let messages = if *due == 1 { "message" } else { "messages" };
            let what = format!(
                "{due} {messages} to the webhook {name}, the oldest recorded at {since}{said}"
            );
            let now = Command::periodd(["alerts", "run", "--now"]);
            let mend = Mend::advice_then("repair the endpoint, then have them tried at once", now);
            findings.push(Finding::problem(Check::WebhookLate, what).mend(mend));
        }
    }
    let given_up: i64 = endpoints.iter().map(|endpoint| endpoint.given_up).sum();
    if given_up > 0 {
        let webhooks = if given_up == 1 { "webhook" } else { "webhooks" };
        let what = format!("{given_up} {webhooks} given up in the last 24 hours");
        let again = Mend::periodd(["alerts", "resend", "--state", "given_up"]);
        findings.push(Finding::problem(Check::WebhooksGivenUp, what).mend(again));
    }
    findings
}

/// The finding that the database has other listeners than the configuration.
///
/// # Errors
/// As [`apply`].
pub(in crate::jobs) async fn mismatch(
    database: &Database,
    config: &Config,
) -> Result<Option<Finding>, StoreError> {
    match are_applied(database, config).await {
        Ok(true) => return Ok(None),
        Ok(false) => {}
        Err(StoreError::Invalid(why)) => {
            let what = format!("[[webhooks]] cannot be applied: {why}");
            let advice = "correct `org` in [[webhooks]]";
            let finding = Finding::problem(Check::Listeners, what).mend(Mend::advice(advice));
            return Ok(Some(finding));
        }
        Err(other) => return Err(other),
    }
    let what = "[events] or [[webhooks]] of the configuration are not applied to the database";
    let apply = Mend::periodd(["webhooks", "apply"]);
    Ok(Some(Finding::warning(Check::Listeners, what.to_owned()).mend(apply)))
}

/// Switches an endpoint on again, and has it tried at once. False: it is not known.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub(crate) async fn resume(database: &Database, name: &str) -> Result<bool, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = begin_within(&mut connection, LockTimeout::Long).await?;
    let is_known = listeners::fares(&mut transaction, name).await?.is_some();
    listeners::note(&mut transaction, name, Fares::default(), None).await?;
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
