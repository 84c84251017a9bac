//! A notice as its templates see it: everything written out for its reader.

use serde::Serialize;

use super::{NoticeLetter, UsedOf};
use crate::billing::LocalDate;
use crate::billing::quantity::Overflow;
use crate::locale::Locale;
use crate::mail::letter::Sender;
use crate::mail::units;
use crate::mail::vendor::Target;
use crate::mail::view::{
    Addresses, Day, Moment, Number, Org, Vendor, about, name, topic_and_label,
};
use crate::text;

/// What templates of notices can name; docs/emails.md describes it.
#[derive(Serialize)]
pub(in crate::mail) struct NoticeView {
    /// `pack_expires`, …
    kind: &'static str,
    org: Org,
    feature: String,
    /// `minutes transcribed`
    topic: String,
    /// `Minutes transcribed`, or what the vendor calls it; empty where it is about the org.
    label: String,
    unit: String,
    used: Number,
    allowance: Number,
    left: Number,
    /// Used beyond the allowance.
    above: Number,
    expected_at_end: Number,
    /// The day on which the allowance runs out; none but for that.
    about: Option<Day>,
    at: Moment,
    /// Is anything there again then?
    renews: bool,
    days: i64,
    packs: Vec<Pack>,
    tier: String,
    next_tier: String,
    reason: String,
    command: String,
    /// Is it for those who run periodd?
    for_operators: bool,
    /// The first and the last day of the period of a summary.
    from: Option<Day>,
    upto: Option<Day>,
    /// What was used in it, by feature.
    lines: Vec<Line>,
    /// What was counted after its close.
    later: Vec<Line>,
    /// Are there more features than these?
    is_cut: bool,
    as_of: Moment,
    time_zone: String,
    language: String,
    brand: Vendor,
    links: Addresses,
    unsubscribe_url: Option<String>,
}

#[derive(Serialize)]
struct Pack {
    feature: String,
    label: String,
    unit: String,
    left: Number,
    expires: Moment,
}

/// What was used of a feature.
#[derive(Serialize)]
struct Line {
    feature: String,
    label: String,
    unit: String,
    used: Number,
    /// None: unlimited.
    included: Option<Number>,
    drawn: Number,
    uncovered: Number,
}

impl NoticeView {
    pub(in crate::mail) fn of(
        letter: &NoticeLetter,
        sender: &Sender,
        locale: &str,
        unsubscribe_url: Option<String>,
    ) -> Result<Self, Overflow> {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let locale = Locale::of(locale);
        let unit = |unit: &str| units::translated(&name(unit), language).to_owned();
        let number = |quantity| Number::new(locale, quantity);
        let (topic, label) = topic_and_label(&letter.feature, letter.label.as_deref());
        let target = Target { org: &letter.org_slug, feature: &letter.feature, pack: "" };
        let packs = letter.packs.iter().map(|pack| Pack {
            feature: name(&pack.feature),
            label: topic_and_label(&pack.feature, pack.label.as_deref()).1,
            unit: unit(&pack.unit),
            left: number(pack.left),
            expires: Moment::of(pack.expires, locale),
        });
        let line = |one: &UsedOf| Line {
            feature: name(&one.feature),
            label: topic_and_label(&one.feature, one.label.as_deref()).1,
            unit: unit(&one.unit),
            used: number(one.used),
            included: one.included.map(number),
            drawn: number(one.drawn),
            uncovered: number(one.uncovered),
        };
        let day = |date: Option<LocalDate>| date.map(|date| Day::of(date, locale));
        Ok(Self {
            kind: letter.kind.name(),
            org: Org::of(&letter.org_name, &letter.org_slug),
            feature: name(&letter.feature),
            topic,
            label,
            unit: unit(&letter.unit),
            used: number(letter.used),
            allowance: number(letter.allowance),
            left: number(letter.allowance.minus(letter.used)?.or_zero()),
            above: number(letter.used.minus(letter.allowance)?.or_zero()),
            expected_at_end: number(about(letter.expected_at_end)?),
            about: day(letter.about),
            at: Moment::of(letter.at, locale),
            renews: !letter.never_renews,
            days: letter.days,
            packs: packs.collect(),
            tier: name(&letter.tier),
            next_tier: name(&letter.next_tier),
            reason: name(&letter.reason),
            command: text::visible(&letter.command).into_owned(),
            for_operators: letter.kind.is_for_operators(),
            from: day(letter.from),
            upto: day(letter.upto),
            lines: letter.used_each.iter().map(line).collect(),
            later: letter.later.iter().map(line).collect(),
            is_cut: letter.is_cut,
            as_of: Moment::of(letter.composed_at, locale),
            time_zone: name(&letter.time_zone),
            language: language.to_owned(),
            brand: Vendor::of(&sender.brand),
            links: Addresses::of(&sender.links, &target),
            unsubscribe_url,
        })
    }
}
