//! Letters of every kind, made up: templates are tried with them, and so are mail programs.

use jiff::civil::date;

use super::letter::{Basis, Forecast, Letter, Recommended, Sender};
use super::notice::{self, NoticeLetter};
use super::vendor::{Brand, Links};
use crate::billing::{LocalDate, LocalTime, Quantity};

/// Letters that between them say everything that a letter can say, each with whether it ends in
/// an unsubscribe link.
pub fn letters() -> Vec<(Letter, bool)> {
    let units = Quantity::units;
    let forecast =
        |used_up_on, expected| Some(Forecast { used_up_on, expected_at_end: units(expected) });
    let warning = warning();
    let full = Letter {
        threshold: 100,
        used: units(600),
        forecast: None,
        offer: Vec::new(),
        ..warning.clone()
    };
    let packed = Letter {
        allowance: units(900),
        purchased_remaining: units(300),
        forecast: forecast(Some(LocalDate(date(2026, 5, 27))), 1315),
        offer: vec![offer("minutes-300", 1, 300, 1900), offer("minutes-60", 2, 60, 450)],
        ..warning.clone()
    };
    vec![
        (
            Letter {
                threshold: 80,
                used: units(480),
                forecast: forecast(None, 590),
                offer: Vec::new(),
                ..warning.clone()
            },
            true,
        ),
        (Letter { limit_change: true, forecast: None, offer: vec![], ..warning.clone() }, false),
        (Letter { basis: Basis::Included, ..packed.clone() }, true),
        (
            Letter {
                threshold: 80,
                used: units(720),
                drawn: units(120),
                purchased_remaining: units(180),
                ..packed.clone()
            },
            true,
        ),
        (Letter { threshold: 100, used: units(600), basis: Basis::Included, ..packed }, false),
        (Letter { used: units(640), ..full.clone() }, false),
        (
            Letter { forecast: forecast(None, 815), offer: warning.offer.clone(), ..full.clone() },
            false,
        ),
        (
            Letter {
                used: units(3),
                included: Quantity::ZERO,
                allowance: Quantity::ZERO,
                ..full.clone()
            },
            false,
        ),
        (warning.clone(), true),
        (Letter { never_renews: true, ..full }, false),
        (Letter { never_renews: true, forecast: None, offer: Vec::new(), ..warning }, true),
    ]
}

/// Notices that between them say everything that notices can say.
pub fn notices() -> Vec<NoticeLetter> {
    notice::samples::letters()
}

fn offer(code: &str, count: u32, quantity: i64, price_cents: i64) -> Recommended {
    let (code, currency) = (code.to_owned(), "USD".to_owned());
    let (name, quantity) = (None, Quantity::units(quantity));
    Recommended { code, name, count, quantity, price_cents, currency }
}

/// A sender with everything that one can have.
pub fn sender() -> Sender {
    let some = |text: &str| Some(text.to_owned());
    Sender {
        name: some("Example Billing"),
        address: "billing@example.com".to_owned(),
        unsubscribe_url: some("https://example.com/unsubscribe?t={token}"),
        brand: Brand {
            name: some("Example"),
            logo: some("https://example.com/logo.png"),
            colour: some("#0b6b53"),
        },
        links: Links {
            buy: some("https://example.com/{org.slug}/packs?pack={pack.code}"),
            account: some("https://example.com/{org.slug}"),
        },
    }
}

/// The most usual letter: 570 of 600 minutes on 21 May.
pub fn warning() -> Letter {
    let units = Quantity::units;
    Letter {
        template: None,
        threshold: 90,
        limit_change: false,
        basis: Basis::Allowance,
        org_name: "Acme GmbH".to_owned(),
        org_slug: "acme".to_owned(),
        feature: "minutes_transcribed".to_owned(),
        label: None,
        unit: "minutes".to_owned(),
        used: units(570),
        included: units(600),
        drawn: Quantity::ZERO,
        purchased_remaining: Quantity::ZERO,
        allowance: units(600),
        period_start: at("2026-05-01T00:00:00+02:00"),
        period_end: at("2026-06-01T00:00:00+02:00"),
        never_renews: false,
        time_zone: "Europe/Berlin".to_owned(),
        locale: "en".to_owned(),
        forecast: Some(Forecast {
            used_up_on: Some(LocalDate(date(2026, 5, 23))),
            expected_at_end: units(815),
        }),
        offer: vec![offer("minutes-300", 1, 300, 1900)],
        composed_at: at("2026-05-21T14:05:00+02:00"),
    }
}

/// A constant of this file.
fn at(text: &str) -> LocalTime {
    text.parse().expect("a sample's time")
}
