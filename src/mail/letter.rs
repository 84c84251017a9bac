//! What an email says, as facts: no sentence, no markup, no header yet.

use serde::{Deserialize, Serialize};

use super::notice::NoticeLetter;
use super::vendor::{Brand, Links};
use crate::billing::quantity::Overflow;
use crate::billing::{Instant, LocalDate, LocalTime, Quantity};

/// What an email says: of a threshold, or of a notice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Contents {
    Alert(Box<Letter>),
    Notice(Box<NoticeLetter>),
}

impl Contents {
    /// Reads what was kept as JSON. A notice says its kind.
    ///
    /// # Errors
    /// As `serde_json`, for what is neither.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Probe {
            kind: Option<serde::de::IgnoredAny>,
        }
        let probe: Probe = serde_json::from_str(text)?;
        if probe.kind.is_some() {
            serde_json::from_str(text).map(|notice| Self::Notice(Box::new(notice)))
        } else {
            serde_json::from_str(text).map(|letter| Self::Alert(Box::new(letter)))
        }
    }

    /// When all it says was so.
    pub const fn composed_at(&self) -> LocalTime {
        match self {
            Self::Alert(letter) => letter.composed_at,
            Self::Notice(letter) => letter.composed_at,
        }
    }
}

/// Everything that an alert email says.
///
/// It is composed once, with the alert, and stored beside it as JSON: whatever happens to the org
/// afterwards, every attempt renders the same email.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The folder of templates that says it; none: `alert`, which every feature has unless the
    /// configuration gives it one of its own.
    #[serde(default)]
    pub template: Option<String>,
    /// The percentage that was reached: 80, 90, 100 or one of the operator's own.
    pub threshold: u8,
    /// Was it reached because the limit fell, rather than because usage rose?
    pub limit_change: bool,
    /// What the percentage is a percentage of.
    pub basis: Basis,
    /// The org's name for people; any text.
    pub org_name: String,
    /// The org's short name.
    pub org_slug: String,
    /// What is metered, such as `minutes_transcribed`.
    pub feature: String,
    /// What it is called in emails; none: its name in words.
    #[serde(default)]
    pub label: Option<String>,
    /// What one unit is called, such as `minutes`.
    pub unit: String,
    /// Usage in the period.
    pub used: Quantity,
    /// What the tier grants per period. Never unlimited: that crosses no threshold.
    pub included: Quantity,
    /// The part of the overage that packs have already paid for in this period.
    pub drawn: Quantity,
    /// What is left of the packs that are usable now.
    pub purchased_remaining: Quantity,
    /// Included, drawn, and what usable packs still hold.
    pub allowance: Quantity,
    /// When the period began, on the org's wall clock.
    pub period_start: LocalTime,
    /// When it ends and the included quantity is there again, on the org's wall clock.
    pub period_end: LocalTime,
    /// Does usage go on beyond that end? So it is with a level, and where the period never ends.
    #[serde(default)]
    pub never_renews: bool,
    /// The org's zone, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Language and region for numbers and dates, such as `en`, `en-GB` or `de`. It also names
    /// the folder of templates in another language; what is unknown reads as `en`.
    pub locale: String,
    /// Where usage is heading; none with less than a week of history.
    pub forecast: Option<Forecast>,
    /// What to buy so that the forecast is covered; empty when nothing on sale would, or nothing
    /// is needed.
    pub offer: Vec<Recommended>,
    /// When all this was so, on the org's wall clock.
    pub composed_at: LocalTime,
}

impl Letter {
    /// What the percentage is a percentage of.
    pub const fn limit(&self) -> Quantity {
        match self.basis {
            Basis::Allowance => self.allowance,
            Basis::Included => self.included,
        }
    }

    /// Usage as a whole percentage of the limit, rounded down, so that 99.9 is not yet 100.
    /// A limit of nothing has none.
    pub fn percent(&self) -> Option<i128> {
        let limit = self.limit().millionths();
        if limit <= 0 {
            return None;
        }
        // Quantities stay below 10^28 millionths, a hundred times that fits.
        Some((self.used.millionths() * 100).div_euclid(limit))
    }

    /// What is left of the included quantity.
    ///
    /// # Errors
    /// [`Overflow`] for quantities at the end of their range.
    pub fn left_included(&self) -> Result<Quantity, Overflow> {
        Ok(self.included.minus(self.used)?.or_zero())
    }

    /// Usage that neither the included quantity nor a pack covers.
    ///
    /// # Errors
    /// [`Overflow`] for quantities at the end of their range.
    pub fn above(&self) -> Result<Quantity, Overflow> {
        Ok(self.used.minus(self.allowance)?.or_zero())
    }
}

/// What a threshold is a percentage of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The allowance: included, and what packs have paid and can still pay for.
    Allowance,
    /// The included quantity alone.
    Included,
}

/// Where usage is heading at the current pace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// The org's local date on which the allowance is used up; none if that is not before the
    /// period's end, or has already happened.
    pub used_up_on: Option<LocalDate>,
    /// Usage at the period's end.
    pub expected_at_end: Quantity,
}

/// One pack offer that would help, and how many of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recommended {
    /// The offer's code.
    pub code: String,
    /// What it is called in emails; none: its code.
    #[serde(default)]
    pub name: Option<String>,
    /// How many of it.
    pub count: u32,
    /// What one of it holds.
    pub quantity: Quantity,
    /// The price of one, in hundredths of the currency, whatever its smallest unit is.
    pub price_cents: i64,
    /// ISO 4217 code.
    pub currency: String,
}

/// What is written on the outside of an email: fixed when it enters the outbox, so that all
/// attempts are one message to whoever receives several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The recipient's bare address.
    pub to: String,
    /// The Message-ID without its angle brackets: `id@host`.
    pub message_id: String,
    /// What the Date header says.
    pub date: Instant,
    /// The recipient's token for the unsubscribe link; none: no link.
    pub unsubscribe: Option<String>,
}

/// Who sends, as the configuration says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sender {
    /// The name that mail programs show.
    pub name: Option<String>,
    pub address: String,
    /// The address that ends the warnings below 100 % with one click; `{token}` in it stands for
    /// the recipient's. None: emails carry no such link.
    pub unsubscribe_url: Option<String>,
    pub brand: Brand,
    pub links: Links,
}
