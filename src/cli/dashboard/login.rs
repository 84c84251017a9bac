//! `periodd dashboard login`: logging in to the pages that the daemon serves.

use uuid::Uuid;

use super::super::output::{Output, Page};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::Instant;
use crate::config::Config;
use crate::store::orgs;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::{self, NewToken, Scope, sessions};

/// Shown with `--help`.
pub(super) const NOTES: &str = "\
The session lasts 12 hours and reads, no more. It acts for a token of its own, which `tokens list`
shows and `tokens revoke` ends.

Examples:
  periodd dashboard login
  periodd dashboard login --org acme";

/// Adds a link for a browser, of one org or of all.
pub(super) async fn login(session: &Session, org: Option<&str>) -> Result<Exit, Failure> {
    let address = address(&session.config)?;
    let org_id = match org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let random = || {
        Secret::random().map_err(|error| {
            Failure::failed(format!("the system has no randomness for a link: {error}"))
        })
    };
    // Nobody is ever shown the token itself.
    let (token, link) = (random()?.digest(), random()?);
    let id = Uuid::new_v4().simple().to_string();
    let name = format!("dashboard-{}", &id[..12]);
    let mut connection = session.database.connection().await?;
    let now = crate::store::server_now(&mut connection).await?;
    let until = now.plus(sessions::LASTS).map_err(|error| Failure::failed(error.to_string()))?;
    let scopes = &[Scope::Read][..];
    let new = NewToken { name: &name, digest: token, scopes, org: org_id, expires_at: Some(until) };
    if !tokens::add(&mut connection, &new).await? {
        return Err(Failure::failed(format!("a token named {name} exists already; try again")));
    }
    let expires_at = sessions::add_link(&mut connection, &link.digest(), &token).await?;
    drop(connection);
    session.screen.note("this link logs in once, within 60 seconds");
    session.screen.show(&Link {
        url: format!("{address}/login?link={}", link.reveal()),
        expires_at,
        token: name,
        org: org.map(str::to_owned),
    })?;
    Ok(Exit::Done)
}

/// Where browsers find the dashboard.
fn address(config: &Config) -> Result<String, Failure> {
    let http = &config.http;
    if !http.enabled || !http.dashboard {
        let key = if http.enabled { "dashboard" } else { "enabled" };
        return Err(Failure::failed(format!(
            "the daemon serves no dashboard: set [http] {key} = true and restart the daemon"
        )));
    }
    if let Some(url) = &http.public_url {
        return Ok(url.as_str().to_owned());
    }
    match http.listen.0 {
        Some(listens) if listens.port() == 0 => Err(Failure::failed(
            "[http] listen has port 0, and only the daemon's log says which one it is; set a port",
        )),
        Some(listens) if listens.ip().is_unspecified() => {
            Ok(format!("http://localhost:{}", listens.port()))
        }
        Some(listens) => Ok(format!("http://{listens}")),
        None => Err(Failure::failed(
            "the daemon listens on a socket alone; set [http] public_url to the address of its \
             proxy",
        )),
    }
}

/// A link that logs in.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Link {
    /// Works once.
    url: String,
    /// Until when.
    expires_at: Instant,
    /// Name of the token that the session acts for.
    token: String,
    /// The only org that it is for; null: all.
    org: Option<String>,
}

impl Output for Link {
    fn page(&self) -> Page {
        Page::new().line(&self.url)
    }
}
