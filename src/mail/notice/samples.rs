//! Notices of every kind, made up: templates are tried with them.

use jiff::civil::date;

use super::{NoticeLetter, PackLeft, UsedOf};
use crate::billing::notice::Kind;
use crate::billing::{LocalDate, LocalTime, Quantity};

/// Letters that between them say everything that notices can say.
pub(in crate::mail) fn letters() -> Vec<NoticeLetter> {
    [closes(), warnings(), changes(), for_operators()].concat()
}

fn units(units: i64) -> Quantity {
    Quantity::units(units)
}

/// What all of them say.
fn nothing() -> NoticeLetter {
    NoticeLetter {
        kind: Kind::RunsOut,
        opt_out: true,
        org_name: "Acme GmbH".to_owned(),
        org_slug: "acme".to_owned(),
        at: at("2026-06-01T00:00:00+02:00"),
        days: 7,
        time_zone: "Europe/Berlin".to_owned(),
        ..NoticeLetter::blank(at("2026-05-25T14:05:00+02:00"))
    }
}

/// Of a feature.
fn metered() -> NoticeLetter {
    NoticeLetter {
        feature: "minutes_transcribed".to_owned(),
        unit: "minutes".to_owned(),
        used: units(320),
        allowance: units(600),
        ..nothing()
    }
}

fn used(names: [&str; 2], used: i64, included: Option<i64>, paid: [i64; 2]) -> UsedOf {
    let ([feature, unit], [drawn, uncovered]) = (names.map(str::to_owned), paid.map(units));
    let (used, included) = (units(used), included.map(units));
    UsedOf { feature, label: None, unit, used, included, drawn, uncovered }
}

fn closes() -> Vec<NoticeLetter> {
    let (minutes, sms) = (["minutes_transcribed", "minutes"], ["sms_sent", "messages"]);
    let summary = NoticeLetter {
        kind: Kind::Summary,
        days: 0,
        from: Some(LocalDate(date(2026, 5, 1))),
        upto: Some(LocalDate(date(2026, 5, 31))),
        composed_at: at("2026-06-01T00:40:00+02:00"),
        used_each: vec![
            used(minutes, 950, Some(600), [300, 50]),
            used(sms, 40, Some(100), [0, 0]),
            used(["emails_sent", "emails"], 1250, None, [0, 0]),
        ],
        ..nothing()
    };
    let cut = NoticeLetter {
        used_each: vec![used(["scrapes", "scrapes"], 12, Some(100), [0, 0])],
        later: vec![used(sms, 7, None, [5, 2])],
        is_cut: true,
        ..summary.clone()
    };
    vec![summary, cut]
}

fn warnings() -> Vec<NoticeLetter> {
    let pack = |feature: &str, unit: &str, left, expires: &str| PackLeft {
        feature: feature.to_owned(),
        label: None,
        unit: unit.to_owned(),
        left: units(left),
        expires: at(expires),
    };
    let minutes = pack("minutes_transcribed", "minutes", 120, "2026-06-01T00:00:00+02:00");
    let own = NoticeLetter { kind: Kind::UserLimit, ..metered() };
    let again = NoticeLetter { kind: Kind::LimitReachedAgain, ..metered() };
    vec![
        NoticeLetter { used: units(540), ..own.clone() },
        NoticeLetter { used: units(612), ..own.clone() },
        NoticeLetter {
            expected_at_end: units(815),
            about: Some(LocalDate(date(2026, 5, 23))),
            days: 18,
            composed_at: at("2026-05-14T14:05:00+02:00"),
            ..metered()
        },
        NoticeLetter {
            kind: Kind::PackExpires,
            packs: vec![minutes.clone()],
            used: Quantity::ZERO,
            allowance: Quantity::ZERO,
            ..metered()
        },
        NoticeLetter {
            kind: Kind::PackExpires,
            days: 1,
            packs: vec![minutes, pack("sms_sent", "messages", 40, "2026-06-07T10:30:00+02:00")],
            ..nothing()
        },
        NoticeLetter { used: units(640), ..again.clone() },
        NoticeLetter { used: units(600), days: 1, ..again.clone() },
        NoticeLetter { used: units(540), never_renews: true, ..own },
        NoticeLetter { used: units(600), never_renews: true, ..again },
    ]
}

fn changes() -> Vec<NoticeLetter> {
    let change = |kind, days| NoticeLetter {
        kind,
        opt_out: false,
        days,
        tier: "Pro".to_owned(),
        next_tier: "Free".to_owned(),
        ..nothing()
    };
    vec![
        change(Kind::SubscriptionEnds, 7),
        change(Kind::SubscriptionEnds, 1),
        change(Kind::TrialEnds, 3),
        change(Kind::TierChanges, 7),
    ]
}

fn for_operators() -> Vec<NoticeLetter> {
    let found = at("2026-05-25T11:30:00+02:00");
    let words = ["periodd", "packs", "grant", "--org", "acme", "--feature", "minutes_transcribed"];
    let more = ["--quantity", "300", "--reference", "sold:5f0c3a52"];
    let grant = words.into_iter().chain(more).collect::<Vec<_>>().join(" ");
    vec![
        NoticeLetter {
            kind: Kind::PurchaseWithoutPack,
            opt_out: false,
            used: units(300),
            allowance: Quantity::ZERO,
            reason: "organizations.overage_minutes".to_owned(),
            command: grant,
            at: found,
            days: 0,
            ..metered()
        },
        NoticeLetter {
            kind: Kind::OrgParked,
            opt_out: false,
            reason: "unknown time zone `Europe/Berlim`".to_owned(),
            at: found,
            ..nothing()
        },
    ]
}

/// A constant of this file.
fn at(text: &str) -> LocalTime {
    text.parse().expect("a sample's time")
}
