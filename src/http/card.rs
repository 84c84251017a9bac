//! A card for an application's own customers: how much of a feature is used, what is left, and
//! when it resets, as a piece of HTML or as an SVG.
//!
//! It is whole in itself: no script, no file from elsewhere, colours by CSS custom properties of
//! the page around it. Words can be replaced; numbers and dates are written as the org's locale
//! does.

use std::fmt::Write;

use axum::http::{HeaderValue, header};

use super::answer::{Answer, of};
use super::call::{Access, Call, Kind, Parameter, Route};
use super::limits::{included_left, unknown_feature};
use super::problem::{Code, Problem};
use crate::billing::{Instant, Quantity, Zone};
use crate::jobs::usage::history::{self, Forecast};
use crate::locale::{Locale, is_known_locale};
use crate::store::orgs::settings;
use crate::store::reports::overview;
use crate::store::tokens::Scope;
use crate::store::usage::asked::{self, Question, Standing};
use crate::store::usage::limits::Limit;
use crate::store::{Connection, StoreError};
use crate::text::{escaped, visible};
use crate::tz::TzData;

const SVG: &str = "image/svg+xml";
/// How wide a letter of the picture is, at most.
const LETTER: usize = 8;
/// Letters of a word, and of a feature's name, at most.
const LONGEST: usize = 80;
/// Nothing is loaded where somebody opens the piece alone, and nothing in it runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
                      base-uri 'none'; sandbox";

const PARAMETERS: [Parameter; 10] = [
    Parameter {
        name: "feature",
        meaning: "The feature, in any case of letters.",
        example: "minutes_transcribed",
        kind: Kind::Text,
        is_required: true,
    },
    Parameter::optional(
        "locale",
        "How numbers and dates are written: a language with or without a region. Not given: that \
         of the organization, or English.",
        "de-AT",
        Kind::Text,
    ),
    Parameter::optional("title", "The title; the feature if not given.", "Minutes", Kind::Text),
    word("used", "The word for what is used."),
    word("left", "The word for what is left in all."),
    word("included", "The word for what is left of what is included."),
    word("purchased", "The word for what is left in purchased packs."),
    word("resets", "The word for when usage resets."),
    word("forecast", "The word for what will have been used by then."),
    word("unlimited", "The word for what has no limit."),
];

const fn word(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter::optional(name, meaning, "a word or two", Kind::Text)
}

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/usage/{org}/card",
    access: Access::Needs(Scope::Read),
    summary: "Usage of a feature as a piece of HTML for an application's own page, or as an SVG \
              with `Accept: image/svg+xml`. Colours are the CSS custom properties --periodd-ink, \
              --periodd-soft, --periodd-paper, --periodd-line, --periodd-bar, --periodd-used and \
              --periodd-full.",
    parameters: &PARAMETERS,
    bodies: &[],
    answer: None,
    media_types: &["text/html", SVG],
    problems: &[Code::UnknownOrg, Code::UnknownFeature],
    handler: |call| Box::pin(show(call)),
}];

/// The words of a card, in English unless they are replaced.
struct Words {
    used: String,
    left: String,
    included: String,
    purchased: String,
    resets: String,
    forecast: String,
    unlimited: String,
}

impl Words {
    fn of(call: &Call) -> Result<Self, Problem> {
        let word = |name, usual: &str| -> Result<String, Problem> {
            Ok(text(call, name)?.unwrap_or_else(|| usual.to_owned()))
        };
        Ok(Self {
            used: word("used", "Used")?,
            left: word("left", "Left")?,
            included: word("included", "Included, left")?,
            purchased: word("purchased", "Purchased, left")?,
            resets: word("resets", "Resets")?,
            forecast: word("forecast", "Expected by then")?,
            unlimited: word("unlimited", "unlimited")?,
        })
    }
}

/// A parameter that is shown.
fn text(call: &Call, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = call.parameter(name) else { return Ok(None) };
    if text.chars().count() > LONGEST {
        let detail = format!("the parameter `{name}`: at most {LONGEST} letters");
        return Err(Problem::new(Code::Invalid, detail));
    }
    Ok(Some(visible(text).into_owned()))
}

/// What is known, of one moment.
struct Known {
    standing: Standing,
    locale: Option<String>,
    ahead: Option<Forecast>,
}

async fn known(
    look: &mut Connection,
    tz: &TzData,
    question: Question,
) -> Result<Option<Known>, StoreError> {
    let standing = asked::standings(look, &[question]).await?.pop().flatten();
    let Some(standing) = standing else { return Ok(None) };
    let locale = settings::read(look, standing.org).await?.locale;
    let ahead = history::outlook(look, &standing, tz).await?.pop();
    Ok(Some(Known { standing, locale, ahead }))
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let Some(feature) = call.parameter("feature") else {
        return Err(Problem::new(Code::Invalid, "the parameter `feature` is required"));
    };
    let locale = call.parameter("locale");
    if locale.is_some_and(|locale| !is_known_locale(locale)) {
        let detail = "the parameter `locale`: write a language with or without a region, such as \
                      de or pt-BR";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let (words, title) = (Words::of(&call)?, text(&call, "title")?);
    let tz = (call.shared.around.tz)();
    let question = Question { org: call.part("org").to_owned(), feature: Some(feature.to_owned()) };
    let known = {
        let mut turn = call.turn().await?;
        let mut look = overview::begin(&mut turn).await?;
        let known = known(&mut look, &tz, question).await?;
        look.rollback().await.map_err(StoreError::from)?;
        known
    };
    let known = known.filter(|known| call.permits(known.standing.org));
    let Some(Known { standing, locale: own, ahead }) = known else {
        return Err(call.unknown_org());
    };
    if !standing.is_known_feature {
        return Err(unknown_feature(&call, feature).await?);
    }
    let Some(limit) = standing.limits.first() else { return Err(call.unknown_org()) };
    let locale = Locale::of(locale.or(own.as_deref()).unwrap_or("en"));
    let zone = tz.zone(&standing.time_zone).unwrap_or_else(|_| Zone::utc());
    let title = title.unwrap_or_else(|| cut(&limit.feature));
    let card = Card::of(title, &words, limit, ahead.as_ref(), locale, &zone);
    let mut answer = if call.accepts(SVG) {
        of(SVG, card.svg())
    } else {
        of("text/html; charset=utf-8", card.html())
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(answer)
}

/// A name that others chose.
fn cut(name: &str) -> String {
    let name = visible(name);
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into_owned(),
    }
}

/// A card, written out: texts that are not escaped yet.
struct Card {
    title: String,
    /// In percent, as the locale writes it, and as the bar is wide; `None`: without a limit.
    share: Option<(String, String)>,
    is_full: bool,
    rows: Vec<(String, String)>,
    /// What is used, of what, and how much of it that is.
    said: String,
}

impl Card {
    fn of(
        title: String,
        words: &Words,
        limit: &Limit,
        ahead: Option<&Forecast>,
        locale: Locale,
        zone: &Zone,
    ) -> Self {
        let number = |quantity: Option<Quantity>| {
            quantity.map_or_else(|| words.unlimited.clone(), |known| locale.number(known))
        };
        let used = format!("{} / {}", locale.number(limit.used), number(limit.effective_limit));
        let share = limit.percent.map(|percent| {
            let whole = percent.millionths() / 1_000_000;
            let tenths = (percent.millionths() / 100_000).clamp(0, 1_000);
            (locale.percent(whole), format!("{}.{}%", tenths / 10, tenths % 10))
        });
        let mut rows = vec![
            (words.left.clone(), number(limit.remaining)),
            (words.included.clone(), number(included_left(limit))),
            (words.purchased.clone(), locale.number(limit.purchased_remaining)),
        ];
        if let Some(end) = limit.period_end.filter(|end| !limit.is_level && *end != Instant::NEVER)
        {
            let (day, clock) = (locale.date(zone.date(end)), zone.local_as(end, "%H:%M %Z"));
            rows.push((words.resets.clone(), format!("{day}, {clock}")));
        }
        if let Some(ahead) = ahead {
            rows.push((words.forecast.clone(), locale.number(ahead.ahead.at_end)));
        }
        let percent = share.as_ref().map(|(percent, _)| format!(" ({percent})"));
        let said = format!("{}: {used}{}", words.used, percent.unwrap_or_default());
        let is_full = limit.remaining.is_some_and(|left| !left.is_positive());
        Self { title, share, is_full, rows, said }
    }

    fn html(&self) -> String {
        let mut html = format!(
            "<section class=\"periodd-card\"><style>{STYLE}</style>\
             <p class=\"periodd-title\">{}</p><p class=\"periodd-used\">{}</p>",
            escaped(&self.title),
            escaped(&self.said)
        );
        if let Some((_, wide)) = &self.share {
            let class = self.class();
            // Writing to a string does not fail.
            let _ = write!(
                html,
                "<svg class=\"periodd-bar\" aria-hidden=\"true\" width=\"100%\" height=\"12\">\
                 <rect class=\"periodd-rest\" width=\"100%\" height=\"12\" rx=\"3\"/>\
                 <rect class=\"{class}\" width=\"{wide}\" height=\"12\" rx=\"3\"/></svg>"
            );
        }
        html.push_str("<dl>");
        for (name, value) in &self.rows {
            let (name, value) = (escaped(name), escaped(value));
            let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        html.push_str("</dl></section>\n");
        html
    }

    fn class(&self) -> &'static str {
        if self.is_full { "periodd-full" } else { "periodd-part" }
    }

    fn svg(&self) -> String {
        let rows = self.rows.iter().map(|(name, value)| format!("{name}: {value}"));
        let described: Vec<String> = std::iter::once(self.said.clone()).chain(rows).collect();
        let mut body = String::new();
        let mut line = |class: &str, x: u32, y: usize, room: usize, text: &str| {
            // What is wider than its place is set narrower, not cut: a number is whole.
            let most = room / LETTER;
            let fit = if text.chars().count() > most {
                format!(" textLength=\"{room}\" lengthAdjust=\"spacingAndGlyphs\"")
            } else {
                String::new()
            };
            let text = escaped(text);
            let _ = write!(body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{fit}>{text}</text>");
        };
        line("periodd-title", 16, 28, 288, &self.title);
        line("periodd-used", 16, 50, 288, &self.said);
        let mut y = if self.share.is_some() { 88 } else { 76 };
        for (name, value) in &self.rows {
            let room = (name.chars().count() * LETTER).clamp(LETTER, 120);
            line("periodd-name", 16, y, room, name);
            line("periodd-value", 304, y, 280 - room, value);
            y += 20;
        }
        let high = y;
        let bar = self.share.as_ref().map_or_else(String::new, |(_, wide)| {
            let class = self.class();
            format!(
                "<svg x=\"16\" y=\"58\" width=\"288\" height=\"10\">\
                 <rect class=\"periodd-rest\" width=\"100%\" height=\"10\" rx=\"3\"/>\
                 <rect class=\"{class}\" width=\"{wide}\" height=\"10\" rx=\"3\"/></svg>"
            )
        });
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"periodd-card\" role=\"img\" \
             width=\"320\" height=\"{high}\" viewBox=\"0 0 320 {high}\"><title>{}</title>\
             <desc>{}</desc><style>{SVG_STYLE}</style>\
             <rect class=\"periodd-paper\" x=\".5\" y=\".5\" width=\"319\" height=\"{}\" rx=\"8\"/>\
             {body}{bar}</svg>\n",
            escaped(&self.title),
            escaped(&described.join(". ")),
            high - 1
        )
    }
}

/// The colours of the page around it, else the reader's.
const STYLE: &str = ".periodd-card{box-sizing:border-box;max-width:24rem;padding:1rem 1.25rem;\
font:1rem/1.4 system-ui,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere;\
color:var(--periodd-ink,CanvasText);background:var(--periodd-paper,Canvas);\
border:1px solid var(--periodd-line,GrayText);border-radius:.5rem}\
.periodd-card p{margin:0}.periodd-card .periodd-title{font-weight:600}\
.periodd-card .periodd-bar{display:block;margin:.5rem 0}\
.periodd-card .periodd-rest{fill:var(--periodd-bar,GrayText);fill-opacity:.35}\
.periodd-card .periodd-part{fill:var(--periodd-used,#1f5fd6)}\
.periodd-card .periodd-full{fill:var(--periodd-full,#d92d20)}\
.periodd-card dl{margin:.5rem 0 0}\
.periodd-card dl div{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem}\
.periodd-card dt{color:var(--periodd-soft,inherit)}\
.periodd-card dd{margin:0 0 0 auto;text-align:right}";
const SVG_STYLE: &str = ".periodd-card{color-scheme:light dark;font:14px system-ui,sans-serif;\
font-variant-numeric:tabular-nums}\
.periodd-card text{fill:var(--periodd-ink,CanvasText)}\
.periodd-card .periodd-title{font-weight:600;font-size:16px}\
.periodd-card .periodd-name{fill:var(--periodd-soft,CanvasText)}\
.periodd-card .periodd-value{text-anchor:end}\
.periodd-card .periodd-paper{fill:var(--periodd-paper,Canvas);stroke:var(--periodd-line,GrayText)}\
.periodd-card .periodd-rest{fill:var(--periodd-bar,GrayText);fill-opacity:.35}\
.periodd-card .periodd-part{fill:var(--periodd-used,#1f5fd6)}\
.periodd-card .periodd-full{fill:var(--periodd-full,#d92d20)}";
