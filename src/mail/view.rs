//! A letter as its templates see it: everything written out for its reader.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use serde::Serialize;

use super::letter::{Basis, Forecast, Letter, Recommended, Sender};
use super::units;
use super::vendor::{Brand, Links, Target};
use crate::billing::quantity::Overflow;
use crate::billing::{LocalDate, LocalTime, Quantity};
use crate::locale::Locale;
use crate::text::is_invisible;

/// Characters of a name that fit where names stand.
const NAME_CHARS: usize = 80;

/// What templates can name. README describes it for those who write their own; a field that
/// goes breaks their templates.
#[derive(Serialize)]
pub(super) struct View {
    org: Org,
    /// `minutes_transcribed`
    feature: String,
    /// `minutes transcribed`
    topic: String,
    /// `Minutes transcribed`, or what the vendor calls it.
    label: String,
    /// `minutes`
    unit: String,
    threshold: u8,
    /// `95%`; empty when the limit is nothing.
    percent: Text,
    /// Is the limit reached?
    reached: bool,
    limit_change: bool,
    /// `allowance` or `included`
    basis: &'static str,
    used: Number,
    limit: Number,
    included: Number,
    drawn: Number,
    /// What packs add to the included quantity in this period, used or not.
    purchased: Number,
    purchased_remaining: Number,
    allowance: Number,
    left_included: Number,
    /// Left of both.
    left: Number,
    /// Used beyond the allowance.
    above: Number,
    bar: Bar,
    starts: Moment,
    resets: Moment,
    /// Is the included quantity there again then?
    renews: bool,
    as_of: Moment,
    time_zone: String,
    language: String,
    forecast: Option<Outlook>,
    offer: Vec<Offered>,
    /// The price of everything recommended; empty when the currencies differ.
    offer_price: Text,
    brand: Vendor,
    links: Addresses,
    /// The address that ends the warnings with one click; none above them.
    unsubscribe_url: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Org {
    name: String,
    slug: String,
}

/// Who sells; empty texts are false.
#[derive(Serialize)]
pub(super) struct Vendor {
    name: Text,
    logo: Text,
    /// Of the button.
    colour: String,
    /// Of the text on it.
    ink: &'static str,
}

/// Where the email leads to; empty texts are false.
#[derive(Serialize)]
pub(super) struct Addresses {
    buy: Text,
    account: Text,
}

/// The usage bar, in whole percent of its width; together 100.
#[derive(Serialize)]
struct Bar {
    used: i128,
    left_included: i128,
    left_purchased: i128,
}

/// A moment on the org's wall clock.
#[derive(Serialize)]
pub(super) struct Moment {
    /// `Monday, 1 June 2026`
    day: String,
    /// `1 June 2026`
    date: String,
    /// `1 June`
    short: String,
    /// `00:00`
    time: String,
}

#[derive(Serialize)]
struct Outlook {
    /// When the allowance is used up, in the forms of a moment without a time; none: not in
    /// this period.
    used_up: Option<Day>,
    expected_at_end: Number,
    /// By how much that exceeds the allowance.
    missing: Number,
}

#[derive(Serialize)]
pub(super) struct Day {
    #[expect(clippy::struct_field_names, reason = "the word that templates read best")]
    day: String,
    date: String,
    short: String,
}

#[derive(Serialize)]
struct Offered {
    code: String,
    /// What the vendor calls it; its code, if nothing else.
    name: String,
    count: u32,
    /// What one of it holds.
    quantity: Number,
    /// What all of them hold.
    total: Number,
    /// The price of one.
    price: String,
    /// The price of all.
    total_price: String,
}

impl View {
    /// The letter for a reader of `locale`, which is the letter's own where there are templates in
    /// its language.
    pub(super) fn of(
        letter: &Letter,
        sender: &Sender,
        locale: &str,
        unsubscribe_url: Option<String>,
    ) -> Result<Self, Overflow> {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let locale = Locale::of(locale);
        let (topic, label) = topic_and_label(&letter.feature, letter.label.as_deref());
        let target = Target {
            org: &letter.org_slug,
            feature: &letter.feature,
            pack: letter.offer.first().map_or("", |offer| offer.code.as_str()),
        };
        let number = |quantity| Number::new(locale, quantity);
        let left_included = letter.left_included()?;
        let left = left_included.plus(letter.purchased_remaining)?;
        let prices = offer_price(&letter.offer);
        let offered = letter.offer.iter().map(|offer| Offered::of(offer, locale));
        Ok(Self {
            org: Org::of(&letter.org_name, &letter.org_slug),
            feature: name(&letter.feature),
            label,
            topic,
            unit: units::translated(&name(&letter.unit), language).to_owned(),
            threshold: letter.threshold,
            percent: Text(letter.percent().map_or_else(String::new, |p| locale.percent(p))),
            reached: letter.percent().is_none_or(|percent| percent >= 100),
            limit_change: letter.limit_change,
            basis: match letter.basis {
                Basis::Allowance => "allowance",
                Basis::Included => "included",
            },
            used: number(letter.used),
            limit: number(letter.limit()),
            included: number(letter.included),
            drawn: number(letter.drawn),
            purchased: number(letter.allowance.minus(letter.included)?.or_zero()),
            purchased_remaining: number(letter.purchased_remaining),
            allowance: number(letter.allowance),
            left_included: number(left_included),
            left: number(left),
            above: number(letter.above()?),
            bar: Bar::of(letter.used.or_zero(), left_included, letter.purchased_remaining),
            starts: Moment::of(letter.period_start, locale),
            resets: Moment::of(letter.period_end, locale),
            renews: !letter.never_renews,
            as_of: Moment::of(letter.composed_at, locale),
            time_zone: name(&letter.time_zone),
            language: language.to_owned(),
            forecast: match &letter.forecast {
                None => None,
                Some(Forecast { used_up_on, expected_at_end: expected }) => Some(Outlook {
                    used_up: used_up_on.map(|date| Day::of(date, locale)),
                    expected_at_end: number(about(*expected)?),
                    missing: number(about(expected.minus(letter.allowance)?.or_zero())?),
                }),
            },
            offer: offered.collect::<Result<_, _>>()?,
            offer_price: Text(prices.map_or_else(String::new, |(c, code)| locale.money(c, code))),
            brand: Vendor::of(&sender.brand),
            links: Addresses::of(&sender.links, &target),
            unsubscribe_url,
        })
    }
}

impl Org {
    pub(super) fn of(org_name: &str, slug: &str) -> Self {
        Self { name: name(org_name), slug: name(slug) }
    }
}

impl Vendor {
    pub(super) fn of(brand: &Brand) -> Self {
        Self {
            name: Text(brand.name.as_deref().map(name).unwrap_or_default()),
            logo: Text(brand.logo.clone().unwrap_or_default()),
            colour: brand.colour().to_owned(),
            ink: brand.ink(),
        }
    }
}

impl Addresses {
    pub(super) fn of(links: &Links, target: &Target<'_>) -> Self {
        let address = |template: &Option<String>| {
            Text(template.as_deref().map(|template| target.address(template)).unwrap_or_default())
        };
        Self { buy: address(&links.buy), account: address(&links.account) }
    }
}

/// A feature in words, and what emails call it.
pub(super) fn topic_and_label(feature: &str, label: Option<&str>) -> (String, String) {
    let topic = name(feature).replace('_', " ");
    let label = label.map_or_else(|| capitalised(&topic), name);
    (topic, label)
}

/// The text with its first letter large.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Bar {
    /// What is there shows, however little of it there is.
    fn of(used: Quantity, included: Quantity, purchased: Quantity) -> Self {
        let parts = [used, included, purchased].map(Quantity::millionths);
        let whole = parts.iter().sum::<i128>().max(1);
        let share = |part: i128| if part == 0 { 0 } else { (part * 100 / whole).clamp(1, 98) };
        let (left_included, left_purchased) = (share(parts[1]), share(parts[2]));
        Self { used: 100 - left_included - left_purchased, left_included, left_purchased }
    }
}

impl Moment {
    pub(super) fn of(at: LocalTime, locale: Locale) -> Self {
        let (hour, minute) = at.hour_and_minute();
        let Day { day, date, short } = Day::of(at.date(), locale);
        Self { day, date, short, time: format!("{hour:02}:{minute:02}") }
    }
}

impl Day {
    pub(super) fn of(date: LocalDate, locale: Locale) -> Self {
        Self { day: locale.day(date), date: locale.date(date), short: locale.short_date(date) }
    }
}

impl Offered {
    fn of(offer: &Recommended, locale: Locale) -> Result<Self, Overflow> {
        let total = offer.quantity.millionths() * i128::from(offer.count);
        Ok(Self {
            code: name(&offer.code),
            name: name(offer.name.as_deref().unwrap_or(&offer.code)),
            count: offer.count,
            quantity: Number::new(locale, offer.quantity),
            total: Number::new(locale, Quantity::from_millionths(total)?),
            price: locale.money(offer.price_cents, &offer.currency),
            total_price: locale.money(total_cents(offer), &offer.currency),
        })
    }
}

/// An estimate without digits that it does not have: whole from ten on, rounded up.
pub(super) fn about(quantity: Quantity) -> Result<Quantity, Overflow> {
    let unit = Quantity::units(1).millionths();
    let step = if quantity.millionths() < 10 * unit { unit / 10 } else { unit };
    let steps = quantity.millionths().div_euclid(step);
    let rest = i128::from(quantity.millionths().rem_euclid(step) > 0);
    Quantity::from_millionths((steps + rest) * step)
}

fn total_cents(offer: &Recommended) -> i64 {
    offer.price_cents.saturating_mul(i64::from(offer.count))
}

/// What everything costs together, if it is all in one currency.
fn offer_price(offers: &[Recommended]) -> Option<(i64, &str)> {
    let currency = &offers.first()?.currency;
    let is_one = offers.iter().all(|offer| offer.currency == *currency);
    let cents = offers.iter().map(total_cents).fold(0_i64, i64::saturating_add);
    is_one.then_some((cents, currency))
}

/// A name as one short line of text: whatever it holds, it stays a name.
///
/// Characters that nobody sees would garble what stands beside them, or hide a word from whoever
/// looks for it; marks that pile up would cover the lines above.
pub(super) fn name(text: &str) -> String {
    let mut marks = 0;
    let seen: String = text
        .chars()
        .filter(|c| {
            marks = if is_mark(*c) { marks + 1 } else { 0 };
            let separates = c.is_control() || c.is_whitespace();
            separates || marks <= MARKS_PER_LETTER && !is_invisible(*c)
        })
        .collect();
    let words = seen.split(|c: char| c.is_control() || c.is_whitespace());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Marks on one letter: Vietnamese has two, and so have most scripts at the most.
const MARKS_PER_LETTER: usize = 3;

/// Is this a mark of the blocks of combining diacritics?
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// A number, written out; false in a template when it is nothing.
#[derive(Debug)]
struct Shown {
    text: String,
    is_some: bool,
}

impl Object for Shown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.is_some
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Number(Value);

impl Number {
    pub(super) fn new(locale: Locale, quantity: Quantity) -> Self {
        let (text, is_some) = (locale.number(quantity), !quantity.is_zero());
        Self(Value::from_object(Shown { text, is_some }))
    }
}

/// Text that may be missing: empty is false in a template.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(String);
