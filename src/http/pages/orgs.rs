//! `/orgs`: where is this customer?

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::frame::html;
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Choice, Table, Tone, Unread, said};
use super::times;
use crate::billing::{Instant, Zone};
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::file::csv;
use crate::http::problem::{Code, Problem};
use crate::store::Readable;
use crate::store::orgs::{self, Filter, OrgView, settings};
use crate::store::reports::explain;
use crate::text::url_part;

const PARAMETERS: [Parameter; 7] = [
    Parameter::optional(
        "q",
        "A slug or its beginning, part of a name, an id, a user's email.",
        "acme",
        Kind::Text,
    ),
    Parameter::optional("tier", "Only orgs on this tier.", "pro", Kind::Text),
    Parameter::optional("zone", "Only orgs in this time zone.", "Asia/Tokyo", Kind::Text),
    Parameter::optional("parked", "Only parked orgs.", "true", Kind::Flag),
    Parameter::optional(
        "due",
        "Only orgs whose period has ended and is not closed yet.",
        "true",
        Kind::Flag,
    ),
    Parameter::optional("after", "Begin behind this slug.", "acme", Kind::Text),
    Parameter::optional("format", "`csv`: the same as a file.", "csv", Kind::Text),
];

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [page(
    "/orgs",
    Sees::All,
    "Finds customers, and lists them page by page.",
    &PARAMETERS,
    |call| Box::pin(list(call)),
)];

/// Orgs of a page, and of a file.
const SHOWN: usize = 50;
const WRITTEN: usize = 10_000;

/// What is asked for, beside the place in the list.
#[derive(Clone, Debug, Default)]
struct Asked {
    typed: Option<String>,
    tier: Option<String>,
    zone: Option<String>,
    parked: bool,
    due: bool,
}

impl Asked {
    fn of(call: &Call) -> Result<Self, Problem> {
        let text = |name| {
            let text = call.parameter(name).map(str::trim).filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let flag = |name| call.parsed::<bool>(name).map(Option::unwrap_or_default);
        Ok(Self {
            typed: text("q"),
            tier: text("tier"),
            zone: text("zone"),
            parked: flag("parked")?,
            due: flag("due")?,
        })
    }

    /// The page that shows that.
    fn href(&self, further: &[(&str, &str)]) -> String {
        let mut query: Vec<String> = Vec::new();
        let mut add = |name: &str, value: &str| query.push(format!("{name}={}", url_part(value)));
        let texts = [("q", &self.typed), ("tier", &self.tier), ("zone", &self.zone)];
        for (name, value) in texts {
            if let Some(value) = value {
                add(name, value);
            }
        }
        for (name, is_set) in [("parked", self.parked), ("due", self.due)] {
            if is_set {
                add(name, "true");
            }
        }
        for (name, value) in further {
            add(name, value);
        }
        if query.is_empty() { "/orgs".to_owned() } else { format!("/orgs?{}", query.join("&")) }
    }

    fn filter(&self, now: Instant, limit: usize) -> Filter {
        Filter {
            tier: self.tier.clone(),
            zone: self.zone.clone(),
            parked: self.parked,
            due: self.due.then_some(now),
            // One more tells whether there are more.
            limit: Some(i64::try_from(limit).unwrap_or(i64::MAX) + 1),
            ..Filter::default()
        }
    }
}

#[derive(Serialize)]
struct Orgs {
    typed: String,
    /// What of the filters stays when something else is typed.
    kept: Vec<(&'static str, String)>,
    choices: Vec<Choice>,
    tiers: Block<Vec<Choice>>,
    found: Block<Table>,
    /// Orgs that were found by their name.
    named: Option<Block<Table>>,
    is_more: bool,
    next: Option<String>,
    csv: String,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let asked = Asked::of(&call)?;
    match call.parameter("format") {
        None => shown(&call, &asked).await,
        Some("csv") => written(&call, &asked).await,
        Some(_) => Err(Problem::new(Code::Invalid, "the parameter `format`: write csv")),
    }
}

async fn shown(call: &Call, asked: &Asked) -> Result<Answer, Problem> {
    let turns = &call.shared.turns;
    let now = call.shared.now().await?;
    let after = call.parameter("after").map(str::to_owned);
    let tiers = block(turns, settings::tiers).await;
    let (found, named) = match &asked.typed {
        None => {
            let filter = Filter { after, ..asked.filter(now, SHOWN) };
            (block(turns, async |look| orgs::list(look, &filter).await).await, None)
        }
        Some(typed) => {
            let exact = found(call, asked, typed, now).await;
            (exact, by_name(call, asked, typed, now).await)
        }
    };
    let count = found.as_ref().map_or(0, Vec::len);
    let is_more = count > SHOWN;
    let last = found.as_ref().ok().and_then(|orgs| orgs.get(SHOWN - 1)).filter(|_| is_more);
    let next =
        last.filter(|_| asked.typed.is_none()).map(|org| asked.href(&[("after", &org.slug)]));
    let kept = [("tier", asked.tier.clone()), ("zone", asked.zone.clone())];
    let flags = [("parked", asked.parked), ("due", asked.due)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    let kept = kept.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let table = |orgs: &Vec<OrgView>, but: &[Uuid]| {
        let orgs = orgs.iter().take(SHOWN).filter(|org| !but.contains(&org.id));
        table(call, orgs, asked, now)
    };
    let known: Vec<Uuid> = found.iter().flatten().map(|org| org.id).collect();
    let view = Orgs {
        typed: asked.typed.clone().unwrap_or_default(),
        kept: kept.chain(flags.map(|(name, _)| (name, "true".to_owned()))).collect(),
        choices: choices(asked),
        tiers: Block::of(&tiers, |tiers| of_tiers(asked, tiers)),
        found: Block::of(&found, |orgs| table(orgs, &[])),
        named: named.map(|named| Block::of(&named, |orgs| table(orgs, &known))),
        is_more,
        next,
        csv: asked.href(&[("format", "csv")]),
    };
    let frame =
        times::framed(call, "Orgs".to_owned(), "orgs", &times::clock(call, Zone::utc(), now));
    html("orgs.html", &frame, &view)
}

/// The orgs whose name has what was typed, unless it is an email or an id. All names are read for
/// it, so it has a block of its own.
async fn by_name(
    call: &Call,
    asked: &Asked,
    typed: &str,
    now: Instant,
) -> Option<Result<Vec<OrgView>, Unread>> {
    if typed.contains('@') || Uuid::try_parse(typed).is_ok() {
        return None;
    }
    let filter = Filter { name_has: Some(typed.to_owned()), ..asked.filter(now, SHOWN) };
    Some(block(&call.shared.turns, async |look| orgs::list(look, &filter).await).await)
}

/// The orgs that a typed slug, id or email stands for; those whose slug begins so.
async fn found(
    call: &Call,
    asked: &Asked,
    typed: &str,
    now: Instant,
) -> Result<Vec<OrgView>, Unread> {
    let filter = asked.filter(now, SHOWN);
    block(&call.shared.turns, async |look| {
        if typed.contains('@') {
            let mut found = Vec::new();
            for person in explain::people(look, typed).await? {
                let filter = Filter { only: Some(person.org), ..filter.clone() };
                found.extend(orgs::list(look, &filter).await?);
            }
            return Ok(found);
        }
        if let Ok(id) = Uuid::try_parse(typed) {
            return orgs::list(look, &Filter { only: Some(id), ..filter }).await;
        }
        let mut found =
            orgs::list(look, &Filter { from: Some(typed.to_owned()), ..filter }).await?;
        found.retain(|org| org.slug.starts_with(typed));
        Ok(found)
    })
    .await
}

fn choices(asked: &Asked) -> Vec<Choice> {
    let choice = |text: &str, other: Asked, is_set| Choice {
        text: text.to_owned(),
        href: other.href(&[]),
        is_set,
    };
    let is_all = !asked.parked && !asked.due && asked.tier.is_none() && asked.zone.is_none();
    let mut choices = vec![
        choice("all", Asked { typed: asked.typed.clone(), ..Asked::default() }, is_all),
        choice(
            "parked",
            Asked { parked: !asked.parked, due: false, ..asked.clone() },
            asked.parked,
        ),
        choice("overdue", Asked { due: !asked.due, parked: false, ..asked.clone() }, asked.due),
    ];
    if let Some(zone) = &asked.zone {
        let other = Asked { zone: None, ..asked.clone() };
        choices.push(choice(&format!("in {}", said(zone)), other, true));
    }
    choices
}

fn of_tiers(asked: &Asked, tiers: &[String]) -> Vec<Choice> {
    let choice = |tier: &String| {
        let is_set = asked.tier.as_ref() == Some(tier);
        let tier_asked = (!is_set).then(|| tier.clone());
        let href = Asked { tier: tier_asked, ..asked.clone() }.href(&[]);
        Choice { text: said(tier), href, is_set }
    };
    tiers.iter().map(choice).collect()
}

fn table<'a>(
    call: &Call,
    orgs: impl Iterator<Item = &'a OrgView>,
    asked: &Asked,
    now: Instant,
) -> Table {
    let tz = (call.shared.around.tz)();
    let head = ["Org", "Name", "Tier", "Time zone", "Period ends", "From now", "Closed periods#"];
    let mut table = Table::new("Orgs", &head);
    for org in orgs {
        let zone = tz.zone(&org.time_zone).unwrap_or_else(|_| Zone::utc());
        let clock = times::clock(call, zone, now);
        let end = org.current_period_end.map(Readable::value);
        let ends = match (org.parked_at, end) {
            (Some(_), _) => Cell::text("parked").tone(Tone::Bad),
            (None, Some(Some(end))) => Cell::at(clock.moment(end)),
            (None, Some(None)) => Cell::text("cannot be read").tone(Tone::Bad),
            (None, None) => Cell::text("not open yet").tone(Tone::Warning),
        };
        let relative = end.flatten().filter(|_| org.parked_at.is_none());
        let relative = match relative {
            Some(end) if end <= now => Cell::text(clock.relative(end)).tone(Tone::Bad),
            Some(end) => Cell::text(clock.relative(end)).tone(Tone::Soft),
            None => Cell::empty(),
        };
        let in_zone = Asked { zone: Some(org.time_zone.clone()), ..asked.clone() };
        table.row([
            Cell::text(&org.slug).link(format!("/orgs/{}", url_part(&org.slug))),
            Cell::text(&org.name),
            Cell::text(&org.subscription_tier),
            Cell::text(&org.time_zone).link(in_zone.href(&[])),
            ends,
            relative,
            Cell::number(org.periods_closed),
        ]);
    }
    table
}

/// An org of the file.
#[derive(Serialize, JsonSchema)]
struct Line<'a> {
    id: Uuid,
    slug: &'a str,
    name: &'a str,
    time_zone: &'a str,
    cycle: &'a str,
    tier: &'a str,
    period_start: Option<Instant>,
    period_end: Option<Instant>,
    parked_at: Option<Instant>,
}

impl<'a> From<&'a OrgView> for Line<'a> {
    fn from(org: &'a OrgView) -> Self {
        let at = |at: Option<Readable<Instant>>| at.and_then(Readable::value);
        Self {
            id: org.id,
            slug: &org.slug,
            name: &org.name,
            time_zone: &org.time_zone,
            cycle: &org.cycle,
            tier: &org.subscription_tier,
            period_start: at(org.current_period_start),
            period_end: at(org.current_period_end),
            parked_at: at(org.parked_at),
        }
    }
}

/// The list as a file.
async fn written(call: &Call, asked: &Asked) -> Result<Answer, Problem> {
    if asked.typed.is_some() {
        let detail = "the parameter `q` is for the page; filter by tier, zone, parked or due";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let now = call.shared.now().await?;
    let mut turn = call.turn().await?;
    let limit = Some(i64::try_from(WRITTEN).unwrap_or(i64::MAX));
    let after = call.parameter("after").map(str::to_owned);
    let filter = Filter { after, limit, ..asked.filter(now, WRITTEN) };
    let orgs = orgs::list(&mut turn, &filter).await?;
    drop(turn);
    let lines: Vec<Line<'_>> = orgs.iter().map(Line::from).collect();
    csv(&lines, "attachment; filename=\"orgs.csv\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_links() {
        let asked = Asked { zone: Some("Asia/Tokyo".into()), due: true, ..Asked::default() };
        assert_eq!(asked.href(&[("after", "a&b")]), "/orgs?zone=Asia%2FTokyo&due=true&after=a%26b");
        assert_eq!(Asked::default().href(&[]), "/orgs");
    }
}
