//! What happens to the sample company, besides life going on: purchases, changes, an outage.

use super::Error;
use super::company::{SEATS, id};
use crate::billing::{Instant, Quantity};
use crate::store::orgs::packs::{self, Grant};
use crate::store::usage::level::{self, NewLevel};
use crate::store::usage::{self, NewUsage};
use crate::store::{Database, sample};

/// When the company opens its books …
const OPENS: &str = "2026-01-05T00:00:00Z";
/// … and up to when its story is told: a boundary, so that the last close says that it is.
const ENDS: &str = "2026-05-31T10:00:00Z";

/// Something that happens at a moment.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: Instant,
    /// What.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What can happen.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// An org buys a pack.
    Bought {
        /// Who.
        org: &'static str,
        /// What it pays for.
        feature: &'static str,
        /// How much of it.
        quantity: Quantity,
        /// Until when; `None` for ever.
        expires_at: Option<Instant>,
        /// The buyer's reference.
        reference: &'static str,
    },
    /// The application sets a level of an org.
    Set {
        /// Whose.
        org: &'static str,
        /// Of which feature.
        feature: &'static str,
        /// What it is from then on.
        level: Quantity,
    },
    /// An org moves to another zone.
    Moved {
        /// Who.
        org: &'static str,
        /// From where.
        from: &'static str,
        /// Where to.
        to: &'static str,
    },
    /// An org books another tier, from its next period on.
    Booked {
        /// Who.
        org: &'static str,
        /// Which tier.
        tier: &'static str,
    },
    /// An org ends its subscription.
    Ended {
        /// Who.
        org: &'static str,
        /// It runs until the first boundary from here on.
        ends_at: Instant,
    },
    /// A faulty program writes to a counter directly.
    Miscounted {
        /// Whose.
        org: &'static str,
        /// Of which feature.
        feature: &'static str,
        /// How much the counter lacks from then on.
        quantity: Quantity,
    },
    /// A program writes a time zone that does not exist.
    Misspelt {
        /// Whose.
        org: &'static str,
        /// What it writes.
        zone: &'static str,
    },
    /// The rollover sets an org aside, and goes on with the others.
    Parked {
        /// Whom.
        org: String,
        /// Why.
        reason: String,
    },
    /// A shop adds what it sold to an org's row, and grants no pack.
    Credited {
        /// Whose.
        org: &'static str,
        /// Minutes.
        quantity: Quantity,
    },
    /// Usage of a closed period is reported.
    Late {
        /// By whom.
        org: &'static str,
        /// Of what.
        feature: &'static str,
        /// How much.
        quantity: Quantity,
        /// When it was used.
        used_at: Instant,
    },
    /// The nightly audit runs.
    Audited,
    /// The daemon stops: nothing is closed any more.
    Stopped,
    /// The daemon is back.
    Started,
    /// The mail server stops: emails wait.
    MailStopped,
    /// The mail server is back.
    MailStarted,
}

/// The story: what happens, in order.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) opens: Instant,
    pub(super) ends: Instant,
    pub(super) events: Vec<Event>,
}

impl Story {
    /// The story of 2026.
    pub(super) fn of_2026() -> Result<Self, Error> {
        let event = |at: &str, what| Ok::<_, Error>(Event { at: at.parse()?, what });
        let events = vec![
            event("2026-01-08T17:20:00Z", seats("burrard", 12))?,
            event("2026-01-12T09:30:00Z", bought("alster", "minutes_transcribed", 900, None)?)?,
            event("2026-01-20T14:05:00Z", bought("fleet", "minutes_transcribed", 150, None)?)?,
            event("2026-01-26T18:40:00Z", bought("ipanema", "minutes_transcribed", 1_200, None)?)?,
            event("2026-02-17T10:15:00Z", bought("anfa", "sms_sent", 300, Some("2026-03-10"))?)?,
            event("2026-02-18T10:20:00Z", bought("anfa", "sms_sent", 800, None)?)?,
            event("2026-02-20T21:00:00Z", bought("hudson", "sms_sent", 800, Some("2026-05-01"))?)?,
            event("2026-03-01T16:20:00Z", late("alster", 95, "2026-02-26T14:00:00Z")?)?,
            event("2026-03-02T03:30:00Z", What::Audited)?,
            event("2026-03-02T06:45:00Z", What::Booked { org: "howrah", tier: "pro" })?,
            event(
                "2026-03-10T01:00:00Z",
                What::Moved { org: "kanda", from: "Asia/Tokyo", to: "America/New_York" },
            )?,
            event(
                "2026-03-12T13:05:00Z",
                What::Miscounted {
                    org: "burrard",
                    feature: "scrapes",
                    quantity: Quantity::units(480),
                },
            )?,
            event("2026-03-12T15:40:00Z", late("fleet", 12, "2026-02-20T10:00:00Z")?)?,
            event("2026-03-13T03:30:00Z", What::Audited)?,
            event("2026-03-16T16:45:00Z", seats("burrard", 18))?,
            event(
                "2026-03-18T11:30:00Z",
                What::Ended { org: "fleet", ends_at: "2026-03-18T11:30:00Z".parse()? },
            )?,
            event("2026-04-11T03:17:00Z", What::Stopped)?,
            event("2026-04-20T08:00:00Z", bought("tabwakea", "scrapes", 200, None)?)?,
            event("2026-05-05T08:00:00Z", What::Started)?,
            event(
                "2026-05-12T09:20:00Z",
                What::Misspelt { org: "waitangi", zone: "Pacific/Chatam" },
            )?,
            event("2026-05-20T17:00:00Z", bought("burrard", "scrapes", 2_000, None)?)?,
            event(
                "2026-05-30T15:10:00Z",
                What::Credited { org: "ipanema", quantity: Quantity::units(400) },
            )?,
            event(
                "2026-05-30T18:25:00Z",
                What::Miscounted {
                    org: "hudson",
                    feature: "minutes_transcribed",
                    quantity: Quantity::units(35),
                },
            )?,
            event("2026-05-30T20:30:00Z", What::MailStopped)?,
            event("2026-05-31T01:00:00Z", What::MailStarted)?,
            event("2026-05-31T03:30:00Z", What::Audited)?,
        ];
        Ok(Self { opens: OPENS.parse()?, ends: ENDS.parse()?, events })
    }

    /// The first event after `clock`.
    pub(super) fn next(&self, clock: Instant) -> Option<&Event> {
        self.events.iter().find(|event| event.at > clock)
    }

    /// Does somebody carry emails at that moment?
    pub(super) fn has_mail(&self, at: Instant) -> bool {
        let passed = self.events.iter().rev().filter(|event| event.at <= at);
        let mut switches = passed.filter_map(|event| match event.what {
            What::MailStopped => Some(false),
            What::MailStarted => Some(true),
            _ => None,
        });
        switches.next().unwrap_or(true)
    }

    /// Is it part of the story that this org is parked?
    pub(super) fn parks(&self, slug: &str) -> bool {
        let is_it = |event: &Event| matches!(event.what, What::Misspelt { org, .. } if org == slug);
        self.events.iter().any(is_it)
    }

    /// When a daemon that should act at `at` really does: an outage delays it to its end.
    pub(super) fn awake_from(&self, at: Instant) -> Instant {
        let event = |wanted: fn(&What) -> bool| self.events.iter().find(|e| wanted(&e.what));
        let stopped = event(|what| matches!(what, What::Stopped));
        let started = event(|what| matches!(what, What::Started));
        match (stopped, started) {
            (Some(stopped), Some(started)) if stopped.at <= at && at < started.at => started.at,
            _ => at,
        }
    }
}

fn bought(
    org: &'static str,
    feature: &'static str,
    quantity: i64,
    until: Option<&str>,
) -> Result<What, Error> {
    let expires_at = until.map(|date| format!("{date}T00:00:00Z").parse()).transpose()?;
    let reference = if expires_at.is_some() { "order-2" } else { "order-1" };
    let quantity = Quantity::units(quantity);
    Ok(What::Bought { org, feature, quantity, expires_at, reference })
}

fn seats(org: &'static str, level: i64) -> What {
    What::Set { org, feature: SEATS, level: Quantity::units(level) }
}

fn late(org: &'static str, minutes: i64, used_at: &str) -> Result<What, Error> {
    let (feature, quantity) = ("minutes_transcribed", Quantity::units(minutes));
    Ok(What::Late { org, feature, quantity, used_at: used_at.parse()? })
}

impl Event {
    /// Lets it happen in the database, as an application would write it; a second time changes
    /// nothing.
    pub(super) async fn happen(&self, database: &Database) -> Result<(), Error> {
        match &self.what {
            &What::Bought { org, feature, quantity, expires_at, reference } => {
                let grant = Grant {
                    org: id(org),
                    feature: feature.to_owned(),
                    quantity,
                    reference: Some(reference.to_owned()),
                    purchased_at: self.at,
                    expires_at,
                    price: None,
                };
                packs::grant(database, &grant).await?;
            }
            &What::Set { org, feature, level } => {
                let key = Some(format!("demo-level-{}", self.at));
                let (org, feature) = (id(org), feature.to_owned());
                let wanted = NewLevel { org, feature, level, set_at: self.at, key };
                level::set(database, &wanted).await?;
            }
            &What::Moved { org, to, .. } => sample::move_to_zone(database, id(org), to).await?,
            &What::Booked { org, tier } => {
                sample::book_tier(database, id(org), tier, self.at).await?;
            }
            &What::Ended { org, ends_at } => {
                sample::end_subscription(database, id(org), ends_at).await?;
            }
            &What::Miscounted { org, feature, quantity } => {
                sample::miscount(database, id(org), feature, self.at, quantity).await?;
            }
            &What::Misspelt { org, zone } => sample::move_to_zone(database, id(org), zone).await?,
            &What::Credited { org, quantity } => {
                sample::credit(database, id(org), quantity).await?;
            }
            &What::Late { org, feature, quantity, used_at } => {
                let key = format!("demo-late-{}", self.at);
                let (org, feature) = (id(org), feature.to_owned());
                let late = NewUsage { org, feature, quantity, user: None, used_at, key: Some(key) };
                usage::insert_metrics(database, &[late]).await?;
            }
            What::Audited
            | What::Parked { .. }
            | What::Stopped
            | What::Started
            | What::MailStopped
            | What::MailStarted => {}
        }
        Ok(())
    }
}
