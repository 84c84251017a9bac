//! Notices of every kind, made up: templates are tried with them.

use jiff::civil::date;

use super::{NoticeLetter, PackLeft};
use crate::billing::notice::Kind;
use crate::billing::{LocalDate, LocalTime, Quantity};

/// Letters that between them say everything that notices can say.
pub(in crate::mail) fn letters() -> Vec<NoticeLetter> {
    let units = Quantity::units;
    let nothing = NoticeLetter {
        kind: Kind::RunsOut,
        opt_out: true,
        org_name: "Acme GmbH".to_owned(),
        org_slug: "acme".to_owned(),
        feature: String::new(),
        label: None,
        unit: String::new(),
        used: Quantity::ZERO,
        allowance: Quantity::ZERO,
        expected_at_end: Quantity::ZERO,
        about: None,
        at: at("2026-06-01T00:00:00+02:00"),
        days: 7,
        packs: Vec::new(),
        tier: String::new(),
        next_tier: String::new(),
        reason: String::new(),
        time_zone: "Europe/Berlin".to_owned(),
        locale: "en".to_owned(),
        composed_at: at("2026-05-25T14:05:00+02:00"),
    };
    let metered = NoticeLetter {
        feature: "minutes_transcribed".to_owned(),
        unit: "minutes".to_owned(),
        used: units(320),
        allowance: units(600),
        ..nothing.clone()
    };
    let pack = |feature: &str, unit: &str, left, expires: &str| PackLeft {
        feature: feature.to_owned(),
        label: None,
        unit: unit.to_owned(),
        left: units(left),
        expires: at(expires),
    };
    let minutes = pack("minutes_transcribed", "minutes", 120, "2026-06-01T00:00:00+02:00");
    let change = |kind, days, opt_out| NoticeLetter {
        kind,
        opt_out,
        days,
        tier: "Pro".to_owned(),
        next_tier: "Free".to_owned(),
        ..nothing.clone()
    };
    vec![
        NoticeLetter {
            expected_at_end: units(815),
            about: Some(LocalDate(date(2026, 5, 23))),
            days: 18,
            composed_at: at("2026-05-14T14:05:00+02:00"),
            ..metered.clone()
        },
        NoticeLetter {
            kind: Kind::PackExpires,
            packs: vec![minutes.clone()],
            used: Quantity::ZERO,
            allowance: Quantity::ZERO,
            ..metered.clone()
        },
        NoticeLetter {
            kind: Kind::PackExpires,
            days: 1,
            packs: vec![minutes, pack("sms_sent", "messages", 40, "2026-06-07T10:30:00+02:00")],
            ..nothing.clone()
        },
        change(Kind::SubscriptionEnds, 7, false),
        change(Kind::SubscriptionEnds, 1, false),
        change(Kind::TrialEnds, 3, false),
        change(Kind::TierChanges, 7, false),
        NoticeLetter { kind: Kind::LimitReachedAgain, used: units(640), ..metered.clone() },
        NoticeLetter { kind: Kind::LimitReachedAgain, used: units(600), days: 1, ..metered },
        NoticeLetter {
            kind: Kind::OrgParked,
            opt_out: false,
            reason: "unknown time zone `Europe/Berlim`".to_owned(),
            at: at("2026-05-25T11:30:00+02:00"),
            ..nothing
        },
    ]
}

/// A constant of this file.
fn at(text: &str) -> LocalTime {
    text.parse().expect("a sample's time")
}
