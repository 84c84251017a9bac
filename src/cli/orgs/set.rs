//! `periodd orgs set`: what is set of an org.

use super::super::output::{Cell, Output, Page, Table, Tone};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::Instant;
use crate::jobs::settings::{self, Change, Changed};
use crate::store::orgs::{self, OrgView};

const NOTES: &str = "\
A change of zone, cycle or anchor takes effect at the end of the open period, which stays where it
is; the answer says when that is. A change of --tier takes effect at once, and what the tier
includes is read at the close.

Examples:
  periodd orgs set acme --zone America/New_York
  periodd orgs set acme --next-tier business --next-tier-at 2027-01-01T00:00:00Z
  periodd orgs set acme --contact billing@acme.example --no-contact old@acme.example";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Set {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Name for people
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Time zone as Area/Location, or UTC
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// How often a period ends
    #[arg(long, value_name = "C")]
    #[arg(value_parser = ["monthly", "yearly", "weekly", "daily"])]
    cycle: Option<String>,
    /// Day of the month, 1 to 31 (a short month uses its last day); weekly: 1 Monday to 7 Sunday
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    anchor_day: Option<i16>,
    /// Month of a yearly cycle, 1 to 12
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    anchor_month: Option<i16>,
    /// The tier, from now on
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// The tier to come, at the next boundary
    #[arg(long, value_name = "TIER", conflicts_with = "no_next_tier")]
    next_tier: Option<String>,
    /// The tier to come applies at the first boundary on or after T
    #[arg(long, value_name = "T", conflicts_with = "no_next_tier")]
    next_tier_at: Option<Instant>,
    /// No other tier is to come
    #[arg(long)]
    no_next_tier: bool,
    /// What the payment provider says; empty: nothing
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// The subscription ends at the first boundary on or after T
    #[arg(long, value_name = "T", conflicts_with = "no_ends_at")]
    ends_at: Option<Instant>,
    /// The subscription does not end
    #[arg(long)]
    no_ends_at: bool,
    /// Send the org's emails to this address, too; may be repeated
    #[arg(long = "contact", value_name = "EMAIL")]
    contacts: Vec<String>,
    /// Do not send them to this address any more; may be repeated
    #[arg(long = "no-contact", value_name = "EMAIL")]
    no_contacts: Vec<String>,
}

impl Set {
    fn change(&self) -> Change {
        let next_tier =
            if self.no_next_tier { Some(None) } else { self.next_tier.clone().map(Some) };
        let ends_at = if self.no_ends_at { Some(None) } else { self.ends_at.map(Some) };
        let status = self.status.clone();
        Change {
            name: self.name.clone(),
            zone: self.zone.clone(),
            cycle: self.cycle.clone(),
            anchor_day: self.anchor_day,
            anchor_month: self.anchor_month,
            tier: self.tier.clone(),
            next_tier,
            next_tier_at: self.next_tier_at,
            status: status.map(|status| Some(status).filter(|status| !status.is_empty())),
            ends_at,
            contacts: self.contacts.clone(),
            no_contacts: self.no_contacts.clone(),
        }
    }
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Set) -> Result<Exit, Failure> {
    let id = orgs::find(&session.database, &args.org).await?;
    let changed = settings::change(&session.database, &session.tz, id, &args.change()).await?;
    let Some(org) = orgs::list(&session.database, Some(id)).await?.pop() else {
        return Err(Failure::usage(format!("the org {id} has just gone")));
    };
    let zone = session.tz.zone(&org.time_zone).ok();
    let local = |at: Instant| zone.as_ref().map_or_else(|| at.to_string(), |zone| zone.local(at));
    let held = changed.calendar_holds_for;
    let holds = held.map(|period| (local(period.start), local(period.end)));
    let is_all = args.contacts.is_empty() && args.no_contacts.is_empty();
    session.screen.show(&Answer { org, changed, holds, is_all })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    #[serde(flatten)]
    org: OrgView,
    #[serde(flatten)]
    changed: Changed,
    /// The first period of the new calendar, in the org's zone.
    #[serde(skip)]
    holds: Option<(String, String)>,
    /// Was nothing asked for but settings? Contacts are shown anyway.
    #[serde(skip)]
    is_all: bool,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let title = format!("{} ({})", self.org.name, self.org.slug);
        let mut page = Page::new().line(Cell::text(title).tone(Tone::Title));
        let changes = &self.changed.changes;
        if changes.is_empty() && self.is_all {
            page = page.line("nothing to change: all of it is set like that already");
        } else if !changes.is_empty() {
            let mut table = Table::new(["setting", "before", "after"]);
            for change in changes {
                let text = |value: &Option<String>| Cell::text(value.as_deref().unwrap_or("none"));
                let (before, after) = (text(&change.before), text(&change.after));
                table.row([Cell::text(change.setting), before, after]);
            }
            page = page.table(table);
        }
        if let Some((start, end)) = &self.holds {
            page =
                page.line(format!("the calendar holds from the end of the open period, {start}"));
            page = page.line(format!("the period that begins there ends at {end}"));
        }
        let contacts: Vec<&str> =
            self.changed.contacts.iter().map(|contact| contact.email.as_str()).collect();
        match &contacts[..] {
            [] => page.line("emails go to the org's users"),
            some => page.line(format!("emails go to {}", some.join(", "))),
        }
    }
}
