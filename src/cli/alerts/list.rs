//! `periodd alerts list`.

use crate::cli::output::{Cell, Output, Page, Table, Tone, counted};
use uuid::Uuid;

use crate::cli::ids;
use crate::cli::session::Session;
use crate::cli::times::Local;
use crate::cli::{Exit, Failure};
use crate::store::events::webhook_outbox::{self, MessageRow};
use crate::store::messages::outbox::{self, EmailRow, Progress, SuppressionRow, WaitingRow};
use crate::store::orgs;

/// What is to be listed.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only this org (slug or id)
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only emails and webhooks in this state
    #[arg(long, value_name = "STATE", value_parser = ["due", "sent", "given_up", "suppressed"])]
    state: Option<String>,
    /// Show at most this many emails and webhooks, newest first
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Lists emails, and what else there is to know about them.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let database = &session.database;
    let org = match &args.org {
        Some(org) => Some(orgs::find(database, org).await?),
        None => None,
    };
    let limit = i64::from(args.limit);
    let emails = outbox::list(database, org, args.state.as_deref(), limit).await?;
    let webhooks = {
        let mut connection = database.connection().await?;
        webhook_outbox::list(&mut connection, org, args.state.as_deref(), limit).await?
    };
    let waiting = outbox::waiting(database, org).await?;
    let suppressed = outbox::suppressions(database, org).await?;
    let times = session.times().await?.utc();
    session.screen.show(&List { emails, webhooks, waiting, suppressed, times })?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct List {
    emails: Vec<EmailRow>,
    webhooks: Vec<MessageRow>,
    waiting: Vec<WaitingRow>,
    suppressed: Vec<SuppressionRow>,
    #[serde(skip)]
    times: Local,
}

impl Output for List {
    fn page(&self) -> Page {
        let mut page = Page::new();
        if self.emails.is_empty() {
            page = page.line("no emails");
        } else {
            page = page.table(emails(&self.emails, &self.times));
        }
        if !self.webhooks.is_empty() {
            page = page.line("").table(webhooks(&self.webhooks, &self.times));
        }
        if !self.waiting.is_empty() {
            let title = format!("{} without a recipient", counted(self.waiting.len(), "alert"));
            let mut table = Table::new(["org", "feature", "about", "until"]);
            for alert in &self.waiting {
                table.row([
                    Cell::text(&alert.org),
                    Cell::text(&alert.feature),
                    Cell::text(alert.about()),
                    Cell::whole(self.times.at(alert.period_end)),
                ]);
            }
            page = page.line("").line(Cell::text(title).tone(Tone::Warning)).table(table);
        }
        if !self.suppressed.is_empty() {
            let mut table = Table::new(["org", "dead address", "since", "the server said"]);
            for address in &self.suppressed {
                table.row([
                    Cell::text(&address.org),
                    Cell::text(&address.email).tone(Tone::Bad),
                    Cell::whole(self.times.at(address.suppressed_at)),
                    Cell::text(&address.reason),
                ]);
            }
            page = page.line("").table(table);
        }
        page
    }
}

fn webhooks(rows: &[MessageRow], times: &Local) -> Table {
    let headings = ["id", "queued", "org", "event", "webhook", "state", "tried", "answer"];
    let mut table = Table::new(headings);
    let ids: Vec<Uuid> = rows.iter().map(|message| message.id).collect();
    let digits = ids::digits(&ids);
    for message in rows {
        let progress = Progress::of(&message.state, message.attempts > 0);
        let tried = message.attempts + i32::from(message.state == "sent");
        table.row([
            Cell::whole(ids::short(message.id, digits)),
            Cell::text(times.relative(message.recorded_at)),
            Cell::text(&message.org),
            Cell::text(&message.kind),
            Cell::text(&message.endpoint),
            Cell::text(progress.words()).tone(tone(progress)),
            Cell::number(tried),
            Cell::text(message.answer.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

const fn tone(progress: Progress) -> Tone {
    match progress {
        Progress::Sent => Tone::Good,
        Progress::GivenUp | Progress::Suppressed => Tone::Bad,
        Progress::ToBeRetried => Tone::Warning,
        Progress::Due => Tone::Plain,
    }
}

fn emails(rows: &[EmailRow], times: &Local) -> Table {
    let headings = ["id", "queued", "org", "feature", "about", "to", "state", "tried", "answer"];
    let mut table = Table::new(headings);
    let ids: Vec<Uuid> = rows.iter().map(|email| email.id).collect();
    let digits = ids::digits(&ids);
    for email in rows {
        let progress = email.progress();
        let tried = email.attempts + i32::from(email.state == "sent");
        table.row([
            Cell::whole(ids::short(email.id, digits)),
            Cell::text(times.relative(email.recorded_at)),
            Cell::text(&email.org),
            Cell::text(&email.feature),
            Cell::text(email.about()),
            Cell::text(&email.recipient),
            Cell::text(progress.words()).tone(tone(progress)),
            Cell::number(tried),
            Cell::text(email.answer.as_deref().unwrap_or_default()),
        ]);
    }
    table
}
