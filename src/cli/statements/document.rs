//! The statements as one self-contained document: no script, nothing fetched, a sheet of A4 for
//! each statement. PDF is this document, printed.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Answer, Shown, apart, apart_or_unlimited, name};
use crate::billing::price::said;
use crate::cli::Failure;
use crate::jobs::statements::Amounts;
use crate::text::visible;

const TEMPLATE: &str = include_str!("document.html");

/// All that the template sees.
#[derive(Serialize)]
struct Document {
    sheets: Vec<Sheet>,
    /// The sums over several statements.
    sums: Vec<[String; 6]>,
    version: &'static str,
}

/// A statement as the template sees it: texts, escaped by the template.
#[derive(Serialize)]
struct Sheet {
    name: String,
    slug: String,
    first_day: String,
    last_day: String,
    time_zone: String,
    tier: String,
    closed: String,
    usage: Vec<[String; 7]>,
    adjustments: Vec<[String; 6]>,
    bought: Vec<[String; 5]>,
    refunded: Vec<[String; 5]>,
    drawn: Vec<[String; 4]>,
    has_amounts: bool,
    agrees: bool,
    totals: Vec<[String; 6]>,
}

/// The document.
///
/// # Errors
/// Exit 1 for a template that fails.
pub(super) fn render(answer: &Answer) -> Result<String, Failure> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // The name says that it is HTML, in which everything is escaped.
    let added = environment.add_template("document.html", TEMPLATE);
    let rendered = added.and_then(|()| {
        let sheets: Vec<Sheet> = answer.statements.iter().map(Sheet::of).collect();
        let sums = if sheets.len() > 1 { totals(&answer.totals) } else { Vec::new() };
        let document = Document { sheets, sums, version: env!("CARGO_PKG_VERSION") };
        environment.get_template("document.html")?.render(Serde(&document))
    });
    rendered.map_err(|error| Failure::failed(format!("cannot write the statements: {error}")))
}

/// One line of a text that others chose.
fn text(text: &str) -> String {
    visible(text).into_owned()
}

impl Sheet {
    fn of(shown: &Shown) -> Self {
        let usage = shown.usage.iter().map(|row| {
            [
                text(&row.feature),
                text(&row.unit),
                apart(row.used),
                apart_or_unlimited(row.included),
                apart(row.drawn),
                apart(row.uncovered),
                shown.amount(row.amount_cents),
            ]
        });
        let adjustments = shown.adjustments.iter().map(|row| {
            [
                text(&row.feature),
                row.kind.replace('_', " "),
                apart(row.used),
                apart(row.drawn),
                apart(row.uncovered),
                row.amount(),
            ]
        });
        let bought = shown.packs_bought.iter().map(|row| {
            let name = text(&name(row.reference.as_ref(), row.pack));
            [name, text(&row.feature), row.day.clone(), apart(row.quantity), row.price()]
        });
        let refunded = shown.packs_refunded.iter().map(|row| {
            let name = text(&name(row.reference.as_ref(), row.pack));
            [name, text(&row.feature), row.day.clone(), apart(row.quantity), row.amount()]
        });
        let drawn = shown.packs_drawn.iter().map(|row| {
            let name = text(&name(row.reference.as_ref(), row.pack));
            [name, text(&row.feature), apart(row.quantity), apart(row.remaining)]
        });
        Self {
            name: text(&shown.name),
            slug: text(&shown.org),
            first_day: shown.first_day.clone(),
            last_day: shown.last_day.clone(),
            time_zone: text(&shown.time_zone),
            tier: text(&shown.tier),
            closed: shown.closed.clone(),
            usage: usage.collect(),
            adjustments: adjustments.collect(),
            bought: bought.collect(),
            refunded: refunded.collect(),
            drawn: drawn.collect(),
            has_amounts: shown.currency.is_some()
                || shown.adjustments.iter().any(|row| row.amount_cents.is_some()),
            agrees: shown.agrees_with_ledger,
            totals: totals(&shown.totals),
        }
    }
}

/// The currency, and the amounts in it.
fn totals(totals: &[Amounts]) -> Vec<[String; 6]> {
    let row = |total: &Amounts| {
        let of = |cents| said(cents, &total.currency);
        [
            total.currency.clone(),
            of(total.usage_cents),
            of(total.adjustments_cents),
            of(total.packs_cents),
            of(total.refunds_cents),
            of(total.total_cents),
        ]
    };
    totals.iter().map(row).collect()
}
