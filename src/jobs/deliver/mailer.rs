//! The mailer: how letters are rendered, and the transport, as configured.

use uuid::Uuid;

use super::attempt::Outcome;
use super::compose::{Composer, FeatureLabels};
use super::rendering::Rendering;
use super::webhooks::Webhooks;
use crate::billing::Instant;
use crate::billing::notice::Kind;
use crate::config::{self, Config, ConfigError};
use crate::mail::letter::Contents;
use crate::mail::notice::NoticeLetter;
use crate::mail::samples;
use crate::mail::templates::TemplateError;
use crate::mail::transport::{Login, Settings, Tls, Unusable};
use crate::mail::{Email, Envelope, RenderError, SendError, Transport};
use crate::store::messages::content::{About, Facts};
use crate::store::{Connection, StoreError};
use crate::tz::TzData;

/// Why a configuration has no mailer.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// A template is wrong.
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// The mail server's settings cannot be used.
    #[error("{0}")]
    Unusable(#[from] Unusable),
    /// A secret cannot be had.
    #[error("{0}")]
    Secret(#[from] ConfigError),
}

/// Composes and sends emails, and sends webhooks.
#[derive(Debug)]
pub struct Mailer {
    rendering: Rendering,
    transport: Transport,
    labels: FeatureLabels,
    pub(super) webhooks: Webhooks,
}

impl Mailer {
    /// The mailer of a configuration. Connects to no server yet.
    pub fn of(config: &Config) -> Result<Self, MailerError> {
        let mail = &config.mail;
        Ok(Self {
            rendering: Rendering::of(config)?,
            transport: match mail.transport {
                config::sections::Transport::Smtp => Transport::smtp(settings(config)?)?,
                config::sections::Transport::Directory => {
                    Transport::directory(mail.directory.clone())
                }
                config::sections::Transport::None => Transport::None,
            },
            labels: FeatureLabels::of(config),
            webhooks: Webhooks::of(config),
        })
    }

    /// Does it carry emails anywhere? Otherwise those that are queued wait for one that does.
    pub const fn carries(&self) -> bool {
        !matches!(self.transport, Transport::None)
    }

    pub(super) const fn labels(&self) -> &FeatureLabels {
        &self.labels
    }

    pub(super) fn concurrency(&self) -> usize {
        self.transport.concurrency().max(1)
    }

    pub(super) async fn rest(&self) {
        self.transport.rest().await;
    }

    pub(super) const fn rendering(&self) -> &Rendering {
        &self.rendering
    }

    /// Renders a letter and sends it; what the server said.
    pub(super) async fn send(
        &self,
        letter: &Contents,
        envelope: &Envelope,
    ) -> Result<String, Outcome> {
        // A template can be corrected, and the email is tried again.
        let email = self.rendering.email(letter, envelope);
        let email = email.map_err(|error| Outcome::Waits(error.to_string()))?;
        Ok(self.transport.send(&email).await?.note)
    }

    /// What a letter, as the outbox keeps it, says to a recipient.
    ///
    /// # Errors
    /// A sentence, for what is no letter or cannot be rendered.
    pub fn written(&self, letter: &str, to: String) -> Result<Written, String> {
        let letter = Contents::read(letter).map_err(|error| error.to_string())?;
        let (message_id, date) = (self.rendering.message_id(Uuid::nil()), letter.composed_at().at);
        let envelope = Envelope { to: to.clone(), message_id, date, unsubscribe: None };
        let email = self.rendering.email(&letter, &envelope);
        let Email { subject, text, .. } = email.map_err(|error| error.to_string())?;
        Ok(Written { to, subject, text })
    }

    /// Goes as far as one can without sending anything: finds the mail server, sees its
    /// certificate, logs in, says goodbye. Returns where emails go.
    ///
    /// # Errors
    /// [`SendError::Unreachable`] or [`SendError::Credentials`].
    pub async fn greet(&self) -> Result<String, SendError> {
        self.transport.greet().await
    }

    /// Sends a made-up warning to an address, and returns what the server said.
    ///
    /// # Errors
    /// [`SendError`], and [`SendError::Rejected`] for what cannot even be rendered.
    pub async fn send_test(&self, address: &str, now: Instant) -> Result<String, SendError> {
        let Some((letter, _)) = samples::letters().into_iter().next() else {
            return Err(SendError::Rejected("no sample to send".to_owned()));
        };
        let envelope = Envelope {
            to: address.to_owned(),
            message_id: self.rendering.message_id(Uuid::new_v4()),
            date: now,
            unsubscribe: None,
        };
        let email = self.rendering.email(&Contents::Alert(Box::new(letter)), &envelope);
        let email = email.map_err(|error| SendError::Rejected(error.to_string()))?;
        let sent = self.transport.send(&email).await;
        self.rest().await;
        Ok(sent?.note)
    }

    /// The email that an org would get about these facts; nothing is sent and nothing is kept.
    pub async fn preview(
        &self,
        connection: &mut Connection,
        tz: &TzData,
        facts: &Facts,
        to: &str,
        now: Instant,
    ) -> Result<Email, Preview> {
        let composer = Composer { tz, labels: &self.labels, now };
        let letters = composer.letters(connection, std::slice::from_ref(facts)).await?;
        let letter = letters.into_iter().next();
        let letter = letter.ok_or_else(|| Preview::Uncomposable("it has no facts".to_owned()))?;
        let letter = letter.map_err(|why| Preview::Uncomposable(why.to_string()))?;
        let envelope = Envelope {
            to: to.to_owned(),
            message_id: self.rendering.message_id(facts.id),
            date: now,
            unsubscribe: Some("preview".to_owned()),
        };
        Ok(self.rendering.email(&Contents::Alert(Box::new(letter)), &envelope)?)
    }

    /// An email of a kind of notice to an org, with made-up figures; nothing is sent and nothing is
    /// kept.
    pub fn preview_notice(
        &self,
        kind: Kind,
        about: &About,
        to: &str,
        now: Instant,
    ) -> Result<Email, Preview> {
        let sample = samples::notices().into_iter().find(|letter| letter.kind == kind);
        let missing = || Preview::Uncomposable(format!("{kind} has no example"));
        let letter = NoticeLetter {
            org_name: about.name.clone(),
            org_slug: about.slug.clone(),
            locale: about.locale.clone().unwrap_or_else(|| "en".to_owned()),
            ..sample.ok_or_else(missing)?
        };
        let unsubscribe = letter.opt_out.then(|| "preview".to_owned());
        let message_id = self.rendering.message_id(Uuid::nil());
        let envelope = Envelope { to: to.to_owned(), message_id, date: now, unsubscribe };
        Ok(self.rendering.email(&Contents::Notice(Box::new(letter)), &envelope)?)
    }
}

/// An email, as a person reads it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Written {
    /// To whom.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its text part.
    pub text: String,
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum Preview {
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The letter cannot be composed.
    #[error("the email cannot be composed: {0}")]
    Uncomposable(String),
    /// The email cannot be rendered.
    #[error("{0}")]
    Render(#[from] RenderError),
}

fn settings(config: &Config) -> Result<Settings, MailerError> {
    let smtp = &config.mail.smtp;
    let login = match (&smtp.username, config.smtp_password()?) {
        (Some(username), Some(password)) => {
            Some(Login { username: username.clone(), password: password.reveal().to_owned() })
        }
        _ => None,
    };
    Ok(Settings {
        host: smtp.bare_host().to_owned(),
        port: smtp.port,
        tls: match smtp.tls {
            config::sections::Tls::Starttls => Tls::Starttls,
            config::sections::Tls::Tls => Tls::Tls,
            config::sections::Tls::None => Tls::None,
        },
        ca_file: smtp.ca_file.clone(),
        login,
        max_connections: smtp.max_connections,
        rate_per_second: smtp.rate_per_second,
        timeout: smtp.timeout.0,
    })
}
