//! `periodd orgs set`: what is set of an org.

use std::str::FromStr;

use super::super::output::{Cell, Output, Page, Table, Tone, counted};
use super::super::session::Session;
use super::super::times::Local;
use super::super::{Exit, Failure};
use crate::billing::notice::Kind;
use crate::billing::recipients::{ContactRole, UnknownRole};
use crate::billing::when::amount;
use crate::billing::{Cycle, Instant, TimeOfDay, When};
use crate::command::Command;
use crate::jobs::orgs::InvalidThresholds;
use crate::jobs::settings::{self, Change, Changed, Outlook};
use crate::store::orgs::settings::Contact;
use crate::store::orgs::{self, OrgView};
use crate::store::usage::limits::Limit;

const NOTES: &str = "\
A change of zone, cycle or anchor takes effect at the end of the open period, which does not move;
the answer shows when that is. Where that makes a short period, --at-next has the next period end
at the boundary after. A change of --tier takes effect at once: the open period is closed
with the limits of the new tier. With --dry-run the answer shows what that does to the open period.
T means its local date, also in the columns that applications write: the first boundary on that
date or later.

Examples:
  periodd orgs set acme --zone America/New_York
  periodd orgs set acme --tier starter --dry-run
  periodd orgs set acme --next-tier business --next-tier-at 2027-01-01
  periodd orgs set acme --locale de-AT --thresholds 75,100
  periodd orgs set acme --contact billing@acme.example --no-contact old@acme.example
  periodd orgs set acme --contact-role billing@acme.example=billing";

/// What is asked.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Set {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Display name
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Time zone as Area/Location, or UTC
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// How often a period ends
    #[arg(long, value_name = "C")]
    #[arg(value_parser = Cycle::NAMES)]
    cycle: Option<String>,
    /// Day of the month, 1 to 31 (a short month uses its last day); weekly: 1 Monday to 7 Sunday
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    anchor_day: Option<i16>,
    /// Month of a quarterly, semiannual or yearly cycle, 1 to 12
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    anchor_month: Option<i16>,
    /// Local time of day at which periods end: 14:32 or 14:32:10
    #[arg(long, value_name = "TIME")]
    anchor_time: Option<TimeOfDay>,
    /// Leave the change of the calendar to the boundary after
    #[arg(long)]
    at_next: bool,
    /// Tier, effective now
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Next tier, effective at the next boundary
    #[arg(long, value_name = "TIER", conflicts_with = "no_next_tier")]
    next_tier: Option<String>,
    /// The next tier takes effect at the first boundary on or after T
    #[arg(long, value_name = "T", conflicts_with = "no_next_tier")]
    next_tier_at: Option<When>,
    /// Remove the next tier
    #[arg(long)]
    no_next_tier: bool,
    /// Subscription status from the payment provider
    #[arg(long, value_name = "STATUS", conflicts_with = "no_status")]
    status: Option<String>,
    /// The subscription ends at the first boundary on or after T
    #[arg(long, value_name = "T", conflicts_with = "no_ends_at")]
    ends_at: Option<When>,
    /// Remove the end of the subscription
    #[arg(long)]
    no_ends_at: bool,
    /// Language of its emails, with or without a region: de, pt-BR
    #[arg(long, value_name = "LOCALE", conflicts_with = "no_locale")]
    locale: Option<String>,
    /// Alert thresholds of its own in percent, such as 80,100; none for no warnings
    #[arg(long, value_name = "PERCENT,…", conflicts_with = "no_thresholds")]
    thresholds: Option<Levels>,
    /// Add an email recipient; may be repeated
    #[arg(long = "contact", value_name = "EMAIL")]
    contacts: Vec<String>,
    /// Remove an email recipient; may be repeated
    #[arg(long = "no-contact", value_name = "EMAIL")]
    no_contacts: Vec<String>,
    /// Role of a contact: billing, technical or owner; none for every kind of email
    #[arg(long = "contact-role", value_name = "EMAIL=ROLE")]
    roles: Vec<Role>,
    /// Kinds of emails that a contact gets, whatever its role, such as
    /// `pay@acme.example=pack_expires,threshold`; all for those of its role
    #[arg(long = "contact-kinds", value_name = "EMAIL=KIND,…")]
    kinds: Vec<Kinds>,
    #[command(flatten)]
    removed: Removed,
    /// Print what would change and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What an org no longer has.
#[derive(clap::Args, Debug)]
struct Removed {
    /// Remove the subscription status
    #[arg(long)]
    no_status: bool,
    /// Remove the language: its emails are in English
    #[arg(long)]
    no_locale: bool,
    /// Remove its own thresholds: the configuration's apply
    #[arg(long)]
    no_thresholds: bool,
}

/// Percentages, separated by commas; `none` for an empty list.
#[derive(Debug, Clone)]
struct Levels(Vec<u8>);

impl FromStr for Levels {
    type Err = InvalidThresholds;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let levels = text.split(',').map(|level| level.trim().parse());
        levels.collect::<Result<_, _>>().map(Self).map_err(|_| InvalidThresholds)
    }
}

/// `EMAIL=ROLE`.
#[derive(Debug, Clone)]
struct Role(String, Option<ContactRole>);

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (email, role) = of_email(text)?;
        let role = match role {
            "none" => None,
            role => Some(role.parse().map_err(|why: UnknownRole| format!("{why}, none"))?),
        };
        Ok(Self(email, role))
    }
}

/// `EMAIL=KIND,…`.
#[derive(Debug, Clone)]
struct Kinds(String, Option<Vec<Kind>>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (email, kinds) = of_email(text)?;
        if kinds == "all" {
            return Ok(Self(email, None));
        }
        let kinds = kinds.split(',').map(|kind| kind.trim().parse::<Kind>());
        let kinds: Vec<Kind> = kinds.collect::<Result<_, _>>().map_err(|why| why.to_string())?;
        for kind in &kinds {
            if kind.is_for_operators() {
                return Err(format!("{kind} goes to [mail] operators, not to contacts"));
            }
            if kind.is_for_its_user() {
                return Err(format!("{kind} goes to the user whose limit it is, not to contacts"));
            }
        }
        Ok(Self(email, Some(kinds)))
    }
}

/// What is said of an address: `EMAIL=…`.
fn of_email(text: &str) -> Result<(String, &str), String> {
    let missing = || format!("`{text}` has no `=`; write it as EMAIL=VALUE");
    let (email, value) = text.rsplit_once('=').ok_or_else(missing)?;
    Ok((email.to_owned(), value))
}

impl Set {
    async fn change(&self, session: &Session, zone: &str) -> Result<Change, Failure> {
        // The zone that is set with it is the one in which its dates are.
        let zone = self.zone.as_deref().unwrap_or(zone);
        let instant = async |when: Option<When>| match when {
            Some(when) => session.instant_in(when, zone).await.map(Some),
            None => Ok(None),
        };
        let next_tier_at = instant(self.next_tier_at).await?;
        let ends_at = instant(self.ends_at).await?;
        let status = self.status.clone().filter(|status| !status.is_empty());
        let removes_status = self.removed.no_status || self.status.as_deref() == Some("");
        let thresholds = self.thresholds.clone().map(|Levels(levels)| levels);
        Ok(Change {
            name: self.name.clone(),
            zone: self.zone.clone(),
            cycle: self.cycle.clone(),
            anchor_day: self.anchor_day,
            anchor_month: self.anchor_month,
            anchor_time: self.anchor_time,
            at_next: self.at_next,
            tier: self.tier.clone(),
            next_tier: if self.no_next_tier {
                Some(None)
            } else {
                self.next_tier.clone().map(Some)
            },
            next_tier_at,
            status: if removes_status { Some(None) } else { status.map(Some) },
            ends_at: if self.no_ends_at { Some(None) } else { ends_at.map(Some) },
            locale: if self.removed.no_locale { Some(None) } else { self.locale.clone().map(Some) },
            thresholds: if self.removed.no_thresholds { Some(None) } else { thresholds.map(Some) },
            contacts: self.contacts.clone(),
            no_contacts: self.no_contacts.clone(),
            roles: self.roles.iter().map(|Role(email, role)| (email.clone(), *role)).collect(),
            kinds: self.kinds.iter().map(|Kinds(email, of)| (email.clone(), of.clone())).collect(),
        })
    }
}

/// Runs the command.
pub(super) async fn run(session: &Session, args: &Set) -> Result<Exit, Failure> {
    let id = orgs::find(&session.database, &args.org).await?;
    let gone = || Failure::usage(format!("org {id} was deleted meanwhile"));
    let before = orgs::view(&session.database, id).await?.ok_or_else(gone)?;
    let change = args.change(session, &before.time_zone).await?;
    let now = session.now().await?;
    let (database, tz) = (&session.database, &session.tz);
    let changed = settings::change(database, tz, id, &change, args.dry_run, now).await?;
    let org = orgs::view(database, id).await?.ok_or_else(gone)?;
    let zone = change.zone.as_deref().unwrap_or(&org.time_zone);
    let times = session.times().await?.local(zone);
    let back = back(&org.slug, &changed, args);
    let is_found = args.dry_run && !changed.changes.is_empty();
    let answer = Answer {
        org,
        changed,
        dry_run: args.dry_run,
        times,
        ended_tier: session.config.rollover.ended_tier.clone(),
        warns_of_short: session.config.rollover.short_period_warning,
        back: back.map(|words| Command::periodd(words.iter().map(String::as_str)).to_string()),
        is_all: args.contacts.is_empty()
            && args.no_contacts.is_empty()
            && args.roles.is_empty()
            && args.kinds.is_empty(),
    };
    session.screen.show(&answer)?;
    Ok(if is_found { Exit::Found } else { Exit::Done })
}

/// The command that sets everything back; nothing if nothing was changed.
fn back(slug: &str, changed: &Changed, args: &Set) -> Option<Vec<String>> {
    let words = ["orgs", "set", slug].map(str::to_owned).into_iter();
    let settings = changed.changes.iter().flat_map(|change| change.back.clone());
    let contacts = |flag: &str, of: &[String]| -> Vec<String> {
        of.iter().flat_map(|email| [flag.to_owned(), email.clone()]).collect()
    };
    let contacts =
        [contacts("--no-contact", &args.contacts), contacts("--contact", &args.no_contacts)];
    let words: Vec<String> = words.chain(settings).chain(contacts.concat()).collect();
    (words.len() > 3 && !args.dry_run).then_some(words)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    #[serde(flatten)]
    org: OrgView,
    #[serde(flatten)]
    changed: Changed,
    dry_run: bool,
    /// The command that sets everything back.
    #[serde(rename = "undo")]
    back: Option<String>,
    #[serde(skip)]
    times: Local,
    #[serde(skip)]
    ended_tier: String,
    /// Is a short period worth a warning?
    #[serde(skip)]
    warns_of_short: bool,
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
            page = page.line("nothing to change: these settings are already in place");
        } else if !changes.is_empty() {
            let mut table = Table::new(["setting", "before", "after"]);
            for change in changes {
                let text = |value: &Option<String>| Cell::text(value.as_deref().unwrap_or("none"));
                let (before, after) = (text(&change.before), text(&change.after));
                table.row([Cell::text(change.setting), before, after]);
            }
            page = page.table(table);
        }
        if let Some(period) = self.changed.calendar_holds_for {
            let (start, end) = (self.times.beside(period.start), self.times.at(period.end));
            page = page
                .line(format!("the new calendar applies from the end of the open period, {start}"))
                .line(if period.end == Instant::NEVER {
                    "the period that starts then never ends".to_owned()
                } else {
                    format!("the period that starts then ends at {end}")
                });
            if self.changed.is_short && self.warns_of_short {
                let length = amount(period.end.since(period.start).unsigned_abs().as_secs());
                let line = format!(
                    "that period is short ({length}) and includes the full quantity; --at-next \
                     leaves the change to the boundary after"
                );
                page = page.line(Cell::text(line).tone(Tone::Warning));
            }
        }
        page = over(page, &self.changed.over, self.dry_run);
        for address in &self.changed.revived {
            page = page
                .line(format!("a mail server did not know {address}; emails are sent there again"));
        }
        page = outlook(page, &self.org, &self.changed.outlook, &self.times, &self.ended_tier);
        let users = self.changed.outlook.users;
        if users > 0 && self.changed.users_hear == Some(false) {
            let users = counted(usize::try_from(users).unwrap_or(usize::MAX), "user");
            page = page.line(format!(
                "the org has {users} who got the emails until now; with a contact named, users get \
                 none"
            ));
        }
        if self.dry_run {
            return page.line("dry run; nothing was changed");
        }
        match &self.back {
            Some(command) => page.line(format!("undo with: {command}")),
            None => page,
        }
    }
}

/// What a lower limit does to the open period.
fn over(mut page: Page, limits: &[Limit], dry_run: bool) -> Page {
    let verb = if dry_run { "would be" } else { "is" };
    for limit in limits {
        let allowed = limit.effective_limit.unwrap_or_default();
        let line = format!(
            "{} {verb} over the limit in the open period: {} used, {allowed} allowed",
            limit.feature, limit.used
        );
        page = page.line(Cell::text(line).tone(Tone::Warning));
    }
    page
}

/// When tiers change and the subscription ends, and who gets the emails.
pub(super) fn outlook(
    mut page: Page,
    org: &OrgView,
    outlook: &Outlook,
    times: &Local,
    ended_tier: &str,
) -> Page {
    if let (Some(tier), Some(at)) = (&org.next_subscription_tier, outlook.next_tier_from) {
        page = page.line(format!("tier {tier} from {}", times.beside(at)));
    }
    if let Some(at) = outlook.subscription_ends {
        let ends = times.beside(at);
        page = page.line(format!("subscription ends {ends}; then tier {ended_tier}"));
    }
    for change in &outlook.tiers_ahead {
        page = page.line(change.sentence(&times.beside(change.takes_effect)));
    }
    let contact = |one: &Contact| match &one.role {
        Some(role) => format!("{} ({role})", one.email),
        None => one.email.clone(),
    };
    let contacts: Vec<String> = outlook.contacts.iter().map(contact).collect();
    match (&contacts[..], outlook.users) {
        ([], 0) => {
            let line = "nobody gets its emails; add a recipient with `orgs set --contact`";
            page.line(Cell::text(line).tone(Tone::Warning))
        }
        ([], 1) => page.line("emails go to the org's user"),
        ([], users) => page.line(format!("emails go to the org's {users} users")),
        (some, _) => page.line(format!("emails go to {}", some.join(", "))),
    }
}
