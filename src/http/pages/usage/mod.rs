//! `/usage`: how does the month go, and who will run out?
//!
//! Never: a number without the time that it is of; an estimate that is not called one.

mod outlook;
mod read;

use serde::Serialize;

use super::clock::Moment;
use super::frame::html;
use super::page;
use super::parts::{Block, Cell, Choice, Table, grouped, said};
use super::picture::Picture;
use super::times;
use crate::billing::{Quantity, Zone};
use crate::charts::days::{Day, Days as DaysChart};
use crate::charts::tenths::{Before, Tenths};
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::problem::Problem;
use crate::store::overview::kept::{Figures, Kept};
use crate::store::reports::sample::Packs;
use crate::text::url_part;
pub(in crate::http) use read::Sampled;
use read::{BACK, Orgs};

const FEATURE: Parameter = Parameter::optional(
    "feature",
    "The feature; that which most orgs use, if not given.",
    "minutes_transcribed",
    Kind::Text,
);

/// The routes of this folder.
pub(super) const ROUTES: [Route; 1] = [page(
    "/usage",
    Sees::All,
    "How the month goes, feature by feature, and who will run out.",
    &[FEATURE],
    |call| Box::pin(show(call)),
)];

/// Orgs that are named.
const NAMED: usize = 10;

#[derive(Serialize)]
struct Usage {
    choices: Vec<Choice>,
    feature: String,
    /// When the counters were read; `None`: never yet.
    read_at: Block<Option<Moment>>,
    /// Is that longer ago than it should be?
    is_late: bool,
    days: Block<Option<Picture>>,
    tenths: Block<Option<Picture>>,
    ahead: Block<Table>,
    /// What else is to be said of those.
    ahead_note: String,
    most: Block<Table>,
    tiers: Block<Table>,
    packs: Block<Table>,
    /// Of how many orgs the estimate is made; empty: it is none.
    estimated: String,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let shared = &call.shared;
    let now = shared.now().await?;
    let clock = times::clock(&call, Zone::utc(), now);
    let kept = read::kept(&shared.turns, now).await;
    let sampled = shared.sampled.get(async || read::sampled(&shared.turns, now).await).await?;
    let asked = call.parameter("feature").map(str::to_lowercase);
    let names: Vec<&str> = match &kept {
        Ok(orgs) => orgs.kept.iter().map(|kept| kept.figures.feature.as_str()).collect(),
        Err(_) => Vec::new(),
    };
    let mut names: Vec<&str> = names
        .into_iter()
        .chain(sampled.days.iter().flatten().map(|one| one.feature.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let busiest = kept.as_ref().ok().and_then(|orgs| busiest(&orgs.kept));
    let feature = asked.as_deref().or(busiest).or(names.first().copied()).unwrap_or_default();
    let of_feature = |orgs: &Orgs| {
        orgs.kept
            .iter()
            .find(|kept| kept.figures.feature == feature)
            .map(|kept| kept.figures.clone())
    };
    let taken_at = kept.as_ref().ok().and_then(|orgs| orgs.kept.first()).map(|kept| kept.taken_at);
    let ahead_note = kept.as_ref().map_or_else(|_| String::new(), outlook::note);
    let view = Usage {
        choices: names.iter().map(|name| choice(name, feature)).collect(),
        feature: said(feature),
        read_at: Block::of(&kept, |_| taken_at.map(|at| clock.moment(at))),
        is_late: taken_at.is_some_and(|at| now.since(at) > read::LATE),
        days: Block::of(&sampled.days, |_| by_day(&sampled, feature)),
        tenths: Block::of(&kept, |orgs| {
            of_feature(orgs).and_then(|figures| tenths(&figures, orgs))
        }),
        ahead: Block::of(&kept, |orgs| outlook::table(orgs, &clock)),
        ahead_note,
        most: Block::of(&kept, |orgs| most(of_feature(orgs).as_ref(), orgs)),
        tiers: Block::of(&kept, |orgs| tiers(of_feature(orgs).as_ref())),
        packs: Block::of(&sampled.packs, |packs| of_packs(packs, &sampled)),
        estimated: sampled.estimated(),
    };
    let frame = times::framed(&call, "Usage".to_owned(), "usage", &clock);
    html("usage.html", &frame, &view)
}

fn choice(name: &str, feature: &str) -> Choice {
    let href = format!("/usage?feature={}", url_part(name));
    Choice { text: said(name), href, is_set: name == feature }
}

/// The feature that most orgs use.
fn busiest(kept: &[Kept]) -> Option<&str> {
    let orgs = |kept: &&Kept| kept.figures.tiers.iter().map(|tier| tier.orgs).sum::<u64>();
    kept.iter().max_by_key(orgs).map(|kept| kept.figures.feature.as_str())
}

/// Thirty days beside the thirty before.
fn by_day(sampled: &Sampled, feature: &str) -> Option<Picture> {
    let mut used = vec![Quantity::ZERO; sampled.dates.len()];
    let mut is_used = false;
    for one in sampled.days.iter().flatten().filter(|one| one.feature == feature) {
        if let Some(day) = used.get_mut(one.day) {
            *day = sampled.of_all(one.used);
            is_used = true;
        }
    }
    let (before, last) = used.split_at_checked(used.len().saturating_sub(BACK))?;
    let dates = sampled.dates.get(before.len()..)?;
    let days = dates.iter().zip(last).enumerate().map(|(place, (date, used))| Day {
        date: *date,
        used: *used,
        before: before.get(place).copied(),
    });
    let chart =
        DaysChart { feature: said(feature), days: days.collect(), sample: sampled.sample() };
    is_used.then(|| Picture::of(|width| chart.chart(width)))
}

fn tenths(figures: &Figures, orgs: &Orgs) -> Option<Picture> {
    let then = orgs.then.iter().find(|(feature, _)| *feature == figures.feature);
    let before = then.map(|(_, orgs)| Before { when: "a month ago".to_owned(), orgs: *orgs });
    let chart = Tenths { feature: said(&figures.feature), orgs: figures.tenths, before };
    let is_empty = figures.tenths.iter().all(|orgs| *orgs == 0);
    (!is_empty).then(|| Picture::of(|width| chart.chart(width)))
}

/// A share in percent, cut off.
fn share(used: Quantity, of: Quantity) -> String {
    let percent = used.millionths().checked_mul(100).zip(Some(of.millionths()));
    let percent = percent.and_then(|(used, of)| used.checked_div(of));
    percent.map_or_else(String::new, |percent| format!("{} %", grouped(&percent.to_string())))
}

fn most(figures: Option<&Figures>, orgs: &Orgs) -> Table {
    let mut table = Table::new("Orgs with most usage", &["Org", "Used#", "Allowance#", "Share#"]);
    for one in figures.iter().flat_map(|figures| &figures.most).take(NAMED) {
        let percent = one.allowance.map_or_else(String::new, |all| share(one.used, all));
        table.row([
            orgs.name(one.org),
            Cell::number(one.used),
            Cell::limit(one.allowance),
            Cell::number(percent),
        ]);
    }
    table
}

fn tiers(figures: Option<&Figures>) -> Table {
    let head = ["Tier", "Orgs#", "Without a limit#", "Used#", "Included#", "Share#"];
    let mut table = Table::new("Usage by tier", &head);
    for tier in figures.iter().flat_map(|figures| &figures.tiers) {
        // What unlimited orgs use is in one sum with the others, and no share of anything.
        let percent =
            if tier.unlimited > 0 { String::new() } else { share(tier.used, tier.included) };
        table.row([
            Cell::text(&tier.tier),
            Cell::number(tier.orgs),
            Cell::number(tier.unlimited),
            Cell::number(tier.used),
            Cell::number(tier.included),
            Cell::number(percent),
        ]);
    }
    table
}

fn of_packs(packs: &[Packs], sampled: &Sampled) -> Table {
    let head = ["Feature", "Sold#", "Drawn#", "Expired unused#", "Refunded#", "Still held#"];
    let mut table = Table::new("Packs", &head);
    for one in packs {
        let number = |quantity| Cell::number(sampled.of_all(quantity));
        table.row([
            Cell::text(&one.feature),
            number(one.sold),
            number(one.drawn),
            number(one.expired),
            number(one.refunded),
            number(one.held),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_cut_off_and_of_nothing_there_is_none() {
        let units = Quantity::units;
        assert_eq!(share(units(999), units(1_000)), "99 %");
        assert_eq!(share(units(1), Quantity::ZERO), "");
    }
}
