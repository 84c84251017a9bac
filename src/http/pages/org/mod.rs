//! `/orgs/SLUG`: why was this customer refused, and when is it over? What `explain` says, for a
//! browser; and the statements of its closed periods.
//!
//! What the page says of the org is read in one look, of one moment; its ledger and its closes are
//! blocks of their own. Pictures take a bounded part of the page.
//!
//! Never: a rule of its own; a form.

mod alerts;
mod closes;
mod course;
mod features;
mod head;
mod packs;
mod people;
mod reading;
mod repairs;
mod statement;

use serde::Serialize;

use super::button::Button;
use super::clock::Clock;
use super::frame::html;
use super::overview::block;
use super::page;
use super::parts::{Block, Table, said};
use super::picture::Picture;
use super::times;
use crate::billing::Zone;
use crate::billing::series::Periods;
use crate::charts::closes::MOST;
use crate::command::Command;
use crate::http::answer::Answer;
use crate::http::call::{Call, Kind, Parameter, Route, Sees};
use crate::http::problem::Problem;
use crate::http::settings::shown_columns;
use crate::jobs::alerts::Watched;
use crate::store::reports::history;
use crate::store::reports::overview;
use crate::store::runs::{self, Filter};
use crate::text::url_part;
use features::{Drawn, Features};
use head::Head;
use reading::Known;

const FEATURE: [Parameter; 1] =
    [Parameter::optional("feature", "Show this feature first.", "minutes_transcribed", Kind::Text)];

/// Runs that are shown.
const RUNS: i64 = 10;

/// The routes of this folder.
pub(super) const ROUTES: [Route; 2] = [
    page(
        "/orgs/{org}",
        Sees::One,
        "Everything about an organization, problems first.",
        &FEATURE,
        |call| Box::pin(show(call)),
    ),
    page(
        "/orgs/{org}/periods/{start}",
        Sees::One,
        "The statement of a closed period, by its start; also as CSV.",
        &statement::FORMAT,
        |call| Box::pin(statement::show(call)),
    ),
];

#[derive(Serialize)]
struct Whole {
    title: String,
    org: Block<Org>,
    ledger: Block<Table>,
    closed: Block<Table>,
    closes: Block<Vec<Picture>>,
    emails: Block<Table>,
    runs: Block<Table>,
}

#[derive(Serialize)]
struct Org {
    head: Head,
    features: Features,
    packs: Table,
    drawdowns: Vec<Picture>,
    late: Table,
    alerts: Table,
    notices: Table,
    repairs: Table,
    contacts: Table,
    users: Table,
    id: String,
    /// The same in a terminal.
    command: String,
    /// What can be done with it.
    acts: Vec<Button>,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let org = call.org_named(&mut *call.turn().await?, call.part("org")).await?;
    let shared = &call.shared;
    let (around, turns) = (&shared.around, &shared.turns);
    let tz = (around.tz)();
    let pass = turns.pass().await?;
    let derived = shown_columns(shared).await?;
    drop(pass);
    let now = shared.now().await?;
    let known = block(turns, async |look| reading::known(look, &tz, &derived, org, now).await);
    let known = known.await;
    let ledger = block(turns, async |look| overview::entries(look, org).await).await;
    let periods = Periods { from: None, until: now, most: MOST };
    let closed = block(turns, async |look| history::of_org(look, org, None, &periods, now).await);
    let closed = closed.await;
    let of_org = Filter { org: Some(org), ..Filter::default() };
    let by_hand = block(turns, async |look| runs::list(look, &of_org, RUNS).await).await;
    let zone = known.as_ref().ok().and_then(|known| tz.zone(&known.found.org.time_zone).ok());
    let clock = times::clock(&call, zone.unwrap_or_else(Zone::utc), now);
    let title = known.as_ref().map_or(call.part("org"), |known| &known.found.org.name);
    let title = said(title);
    let watched = Watched::of(&(around.config)());
    let asked = call.parameter("feature");
    let order: Vec<Drawn<'_>> =
        known.as_ref().map(|known| features::in_order(known, asked, &watched)).unwrap_or_default();
    let slug = known.as_ref().map_or(call.part("org"), |known| &known.found.org.slug);
    let href = format!("/orgs/{}", url_part(slug));
    let whole = Whole {
        title: title.clone(),
        org: Block::of(&known, |known| {
            let features = features::features(known, &order, &clock, &tz, &href);
            view(known, features, packs::drawdowns(known, &order, &clock), &clock)
        }),
        ledger: Block::of(&ledger, |entries| packs::ledger(entries, &clock)),
        closed: Block::of(&closed, |rows| closes::table(rows, &clock, &href)),
        closes: Block::of(&closed, |rows| closes::pictures(rows, &order, &clock)),
        emails: Block::of(&known, |known| alerts::emails(&known.emails, &clock)),
        runs: Block::of(&by_hand, |runs| super::runs::by_hand(runs, &clock)),
    };
    let frame = times::framed(&call, title, "orgs", &clock);
    html("org.html", &frame, &whole)
}

fn view(known: &Known, features: Features, drawdowns: Vec<Picture>, clock: &Clock) -> Org {
    let found = &known.found;
    Org {
        head: head::head(found, clock),
        features,
        packs: packs::packs(found, clock),
        drawdowns,
        late: closes::late(found, clock),
        alerts: alerts::alerts(found, clock),
        notices: alerts::notices(found, clock),
        repairs: repairs::repairs(found, clock),
        contacts: people::contacts(found, clock),
        users: people::users(found),
        id: found.org.id.to_string(),
        command: Command::periodd(["explain", &found.org.slug]).to_string(),
        acts: Button::of_org(&found.org.slug, found.org.is_parked),
    }
}
