//! What turns a letter into an email, as configured: the templates and the sender.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::billing::Instant;
use crate::config::Config;
use crate::mail::letter::Contents;
use crate::mail::templates::TemplateError;
use crate::mail::vendor::{Brand, Links};
use crate::mail::{Email, Envelope, RenderError, Sender, Templates, render, render_notice};

/// Stands for the recipient's token where nobody but the recipient may have it.
const NO_TOKEN: &str = "preview";

/// Templates and sender.
#[derive(Debug)]
pub struct Rendering {
    templates: Templates,
    sender: Sender,
}

/// An email that was composed, as the outbox keeps it.
#[derive(Debug, Clone)]
pub struct Composed<'a> {
    /// What it says.
    pub letter: &'a str,
    pub recipient: &'a str,
    pub message_id: &'a str,
    pub dated: Instant,
    /// Has it a link that ends the warnings?
    pub has_link: bool,
}

/// What an email said, rendered once more.
#[derive(Debug, Clone)]
pub struct Reread {
    pub subject: String,
    pub text: String,
    pub html: String,
    pub templates: ComposedWith,
}

/// The templates that there were when an email was composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComposedWith {
    /// Those of today.
    SameTemplates,
    /// Others.
    OtherTemplates,
    /// Nobody wrote that down.
    UnknownTemplates,
}

/// A letter with the digest of the templates that there were when it was composed.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    letter: &'a Contents,
    templates: &'a str,
}

/// The part of it that is not the letter's.
#[derive(Deserialize)]
struct Beside {
    templates: Option<String>,
}

impl Rendering {
    /// As the configuration says; reads the templates.
    ///
    /// # Errors
    /// [`TemplateError`] for a template that cannot be read, or fails.
    pub fn of(config: &Config) -> Result<Self, TemplateError> {
        let mail = &config.mail;
        Ok(Self {
            templates: Templates::load(mail.templates_dir.as_deref())?,
            sender: Sender {
                name: mail.from.name.clone(),
                address: mail.from.address.clone(),
                unsubscribe_url: config.unsubscribe_url(),
                brand: Brand {
                    name: mail.brand.name.clone(),
                    logo: mail.brand.logo.clone(),
                    colour: mail.brand.colour.clone(),
                },
                links: Links { buy: mail.links.buy.clone(), account: mail.links.account.clone() },
            },
        })
    }

    /// The Message-ID of an email: its id, which is unique, at the sender's host.
    pub(super) fn message_id(&self, id: Uuid) -> String {
        let host = self.sender.address.rsplit('@').next().unwrap_or("localhost");
        format!("{id}@{host}")
    }

    pub(super) fn email(
        &self,
        contents: &Contents,
        envelope: &Envelope,
    ) -> Result<Email, RenderError> {
        match contents {
            Contents::Alert(letter) => render(&self.templates, letter, envelope, &self.sender),
            Contents::Notice(notice) => {
                render_notice(&self.templates, notice, envelope, &self.sender)
            }
        }
    }

    /// A letter as the outbox keeps it.
    pub(super) fn kept(&self, letter: &Contents) -> Result<String, String> {
        let kept = Kept { letter, templates: self.templates.digest() };
        serde_json::to_string(&kept).map_err(|error| error.to_string())
    }

    /// Renders a composed email once more. Whoever reads it cannot opt its recipient out: the link
    /// has no token.
    ///
    /// # Errors
    /// A sentence, for what cannot be read or rendered any more.
    pub fn reread(&self, composed: &Composed<'_>) -> Result<Reread, String> {
        let unreadable = |error: serde_json::Error| format!("it cannot be read: {error}");
        let letter = Contents::read(composed.letter).map_err(unreadable)?;
        let beside: Beside = serde_json::from_str(composed.letter).map_err(unreadable)?;
        let envelope = Envelope {
            to: composed.recipient.to_owned(),
            message_id: composed.message_id.to_owned(),
            date: composed.dated,
            unsubscribe: composed.has_link.then(|| NO_TOKEN.to_owned()),
        };
        let email = self.email(&letter, &envelope).map_err(|error| error.to_string())?;
        let templates = match beside.templates {
            Some(digest) if digest == self.templates.digest() => ComposedWith::SameTemplates,
            Some(_) => ComposedWith::OtherTemplates,
            None => ComposedWith::UnknownTemplates,
        };
        Ok(Reread { subject: email.subject, text: email.text, html: email.html, templates })
    }
}
