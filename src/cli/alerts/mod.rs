//! `periodd alerts`: thresholds that were crossed, and the emails about them.
//!
//! Never: an email to a customer by `preview` or `test`.

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::{When, address};
use crate::command::Command as Proposed;
use crate::jobs::alerts::notices::{self, Look, NoticeReport};
use crate::jobs::alerts::{self, AlertReport};
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::deliver::{self, Mailer, Webhooks, Which};
use crate::jobs::events::webhooks;
use crate::mail::SendError;
use crate::store::messages::outbox::{self, State};
use crate::store::{IdPrefix, orgs, still_serves};

pub(super) mod list;
pub(super) mod preview;
pub(super) mod templates;

const NOTES: &str = "Examples:
  periodd alerts run
  periodd alerts list --org acme --state given_up
  periodd alerts preview acme --feature minutes_transcribed
  periodd alerts preview acme --locale de --set used=95% --open
  periodd alerts templates export /etc/periodd/templates
  periodd alerts test you@example.com
  periodd alerts resend 6f0c3a52
  periodd alerts resend --state given_up";

/// What `periodd alerts` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Find crossed thresholds and notices, then send due emails
    ///
    /// Checks counters and limits that changed since the last pass, and everything once a day; then
    /// looks for the notices of [notices]. Safe to repeat and to run beside a daemon: each
    /// threshold alerts once per period, each notice once per occasion.
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts run\n\
        \x20 periodd alerts run --now\n\
        \x20 periodd alerts run --dry-run")]
    Run {
        /// Check everything now
        #[arg(long)]
        full: bool,
        /// Try waiting emails now instead of at their next attempt
        #[arg(long)]
        now: bool,
        /// Show the notices that would be recorded, and record and send nothing
        #[arg(long, conflicts_with_all = ["full", "now", "force"])]
        dry_run: bool,
        /// Trust the database's clock even though it moved differently from elapsed time
        #[arg(long)]
        force: bool,
    },
    /// List emails, webhooks, alerts without a recipient, and dead addresses
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts list\n\
        \x20 periodd alerts list --org acme --state given_up")]
    List(list::Args),
    /// Send emails and webhooks again, each with its original id
    ///
    /// They go to those who get the org's emails now, not to the addresses of then. Whoever has
    /// opted out of warnings gets none; an address that a mail server did not know is tried again.
    /// With `--state`, emails whose period is over are left out.
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts resend 6f0c3a52\n\
        \x20 periodd alerts resend --state given_up --since 2026-05-16\n\
        \x20 periodd alerts resend --state suppressed --org acme --to new@acme.example")]
    Resend(Resend),
    /// Send a sample warning to an address, to check that emails arrive
    #[command(after_help = "Examples:\n  periodd alerts test you@example.com")]
    Test {
        /// Recipient
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
    /// Show the email that an org would get now, without sending it
    #[command(after_help = "Examples:\n\
        \x20 periodd alerts preview acme --feature minutes_transcribed\n\
        \x20 periodd alerts preview acme --locale de --set used=95% --open")]
    Preview(preview::Args),
    /// Manage the templates of emails
    Templates(templates::Args),
}

impl Args {
    pub(super) fn answers_with_a_list(&self) -> bool {
        matches!(self.command, Command::List(_))
    }
}

/// Emails that are to be sent again.
#[derive(clap::Args, Debug)]
struct Resend {
    /// Ids of emails or webhooks, or their first digits as shown by `alerts list`
    #[arg(value_name = "ID", required_unless_present = "state", conflicts_with = "state")]
    ids: Vec<IdPrefix>,
    /// All emails in this state
    #[arg(long, value_name = "STATE", value_parser = ["given_up", "suppressed"])]
    state: Option<String>,
    /// Only those given up or suppressed since this time [default: in the current periods]
    #[arg(long, value_name = "T", requires = "state")]
    since: Option<When>,
    /// Only those of this org (slug or id)
    #[arg(long, value_name = "ORG", requires = "state")]
    org: Option<String>,
    /// Recipient [default: those who get the org's emails now]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if let Command::Templates(args) = &args.command {
        return templates::run(&global.screen(), args);
    }
    with_session(global, Schema::Current, async |session| match &args.command {
        Command::Run { dry_run: true, .. } => look(session).await,
        Command::Run { full, now, force, .. } => {
            session.believe_clock(*force).await?;
            pass(session, *full, *now).await
        }
        Command::List(args) => list::run(session, args).await,
        Command::Resend(args) => resend(session, args).await,
        Command::Test { address } => test(session, address).await,
        Command::Preview(args) => preview::run(session, args).await,
        Command::Templates(args) => templates::run(&session.screen, args),
    })
}

fn mailer(session: &Session) -> Result<Mailer, Failure> {
    Mailer::of(&session.config).map_err(Failure::configuration)
}

/// Shows the notices that a look would record.
async fn look(session: &Session) -> Result<Exit, Failure> {
    let at = session.business_time(true).await?;
    let request = alerts::Request { at, ..alerts::Request::of(&session.config) };
    let (database, tz) = (&session.database, &session.tz);
    let notices = notices::run(database, tz, &request, Look::Dry).await?;
    let exit = if notices.would.is_empty() { Exit::Done } else { Exit::Found };
    let emails = deliver::DeliveryReport::default();
    let answer = Answer { notices: Some(notices), is_dry: true, ..Answer::new(None, emails) };
    session.screen.show(&answer)?;
    Ok(exit)
}

async fn pass(session: &Session, full: bool, now: bool) -> Result<Exit, Failure> {
    let at = session.business_time(false).await?;
    // What is wrong with its configuration is said before anything is recorded.
    let mailer = mailer(session)?;
    let stop = session.stop_between_batches();
    // Two runs, as the daemon's: a mail server that takes nothing fails the second one alone.
    let mut found = None;
    let looked = session
        .recorded(Job::Alerts, false, None, async |_| {
            let standing = alerts::Request::of(&session.config);
            let request = alerts::Request { full, at, stop: stop.clone(), ..standing };
            let (database, tz) = (&session.database, &session.tz);
            let (alerts, notices) =
                alerts::run_with_notices(database, tz, &request, Look::Now).await?;
            let counts = RunCounts::Alerts((&alerts).into());
            found = Some((alerts, notices));
            Ok((session.exit(Exit::Done), counts))
        })
        .await;
    // What it could not do for some orgs keeps nobody's email from being sent.
    if looked.is_err() && !still_serves(&session.database).await {
        return looked;
    }
    let sent = session
        .recorded(Job::Deliver, false, None, async |_| {
            if now {
                deliver::hasten(&session.database).await?;
            }
            let request = deliver::Request {
                at,
                stop: stop.clone(),
                ..deliver::Request::of(&session.config)
            };
            let emails = deliver::run(&session.database, &session.tz, &mailer, &request).await?;
            let exit = session.exit(exit(&emails));
            let counts = RunCounts::Deliver((&emails).into());
            session.screen.show(&Answer::new(found.take(), emails))?;
            Ok((exit, counts))
        })
        .await;
    looked?;
    sent
}

fn exit(emails: &deliver::DeliveryReport) -> Exit {
    match emails {
        emails if emails.gave_up() => Exit::Partly,
        deliver::DeliveryReport { locked_out: Some(_), .. }
        | deliver::DeliveryReport { refused: Some(_), .. } => Exit::Configuration,
        deliver::DeliveryReport { unreachable: Some(_), .. } => Exit::Unavailable,
        _ => Exit::Done,
    }
}

async fn resend(session: &Session, args: &Resend) -> Result<Exit, Failure> {
    let at = session.business_time(false).await?;
    let to = args.to.as_deref().map(address::trimmed);
    if let Some(to) = to {
        address::check(to).map_err(Failure::usage)?;
    }
    let org = match &args.org {
        Some(org) => Some(orgs::find(&session.database, org).await?),
        None => None,
    };
    let mut messages = Vec::new();
    let which = match args.state.as_deref() {
        None => {
            let mut ids = Vec::new();
            for prefix in &args.ids {
                match webhooks::find(&session.database, prefix).await? {
                    Some(message) => messages.push(message),
                    None => ids.push(outbox::find(&session.database, prefix).await?),
                }
            }
            Which::Emails(ids)
        }
        Some(state) => {
            let state = if state == "given_up" { State::GivenUp } else { State::Suppressed };
            let since = match (args.since, org) {
                (None, _) => None,
                (Some(when), Some(org)) => Some(session.instant(when, org).await?),
                (Some(when), None) => Some(session.instant_in(when, "UTC").await?),
            };
            // To an address of somebody's choice, no webhook goes.
            if state == State::GivenUp && to.is_none() {
                messages = webhooks::given_up(&session.database, org, since).await?;
            }
            Which::Settled { state, org, since }
        }
    };
    let mailer = mailer(session)?;
    let only_webhooks = match &which {
        Which::Emails(ids) => ids.is_empty(),
        Which::Settled { .. } => !messages.is_empty() && !mailer.carries(),
    };
    if !mailer.carries() && !only_webhooks {
        return Err(no_transport());
    }
    let request = deliver::Request { at, ..deliver::Request::of(&session.config) };
    let (database, tz) = (&session.database, &session.tz);
    let mut emails = if only_webhooks {
        deliver::DeliveryReport::default()
    } else {
        deliver::again(database, tz, &mailer, &request, &which, to).await?
    };
    if webhooks::queue_again(database, &messages).await? > 0 {
        let endpoints = Webhooks::of(&session.config);
        emails.webhooks = deliver::send_webhooks(database, &endpoints, &request).await?;
    }
    let postponed = emails.postponed + emails.webhooks.postponed;
    let exit =
        if postponed > 0 && exit(&emails) == Exit::Done { Exit::Failed } else { exit(&emails) };
    session.screen.show(&Answer { is_again: true, ..Answer::new(None, emails) })?;
    Ok(exit)
}

fn no_transport() -> Failure {
    Failure::refused(
        "[mail] transport is \"none\", so no email can be sent; set it to \"smtp\" or \
         \"directory\"",
    )
}

async fn test(session: &Session, to: &str) -> Result<Exit, Failure> {
    address::check(to).map_err(Failure::usage)?;
    let mailer = mailer(session)?;
    if !mailer.carries() {
        return Err(no_transport());
    }
    let now = session.now().await?;
    match mailer.send_test(to, now).await {
        Ok(answer) => {
            session.screen.show(&Tested { address: to.to_owned(), answer })?;
            Ok(Exit::Done)
        }
        Err(error) => Err(match error {
            SendError::Unreachable(_) | SendError::Temporary(_) | SendError::Ambiguous(_) => {
                Failure::unavailable(error)
            }
            SendError::Credentials(_) | SendError::Account(_) | SendError::Barred(_) => {
                Failure::configuration(error)
            }
            SendError::Refused(_) | SendError::Rejected(_) | SendError::Declined(_) => {
                Failure::failed(error)
            }
        }),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Tested {
    address: String,
    answer: String,
}

impl Output for Tested {
    fn page(&self) -> Page {
        Page::new().line(format!("sent to {}: {}", self.address, self.answer))
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<AlertReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notices: Option<NoticeReport>,
    emails: deliver::DeliveryReport,
    /// Was nothing recorded?
    #[serde(skip)]
    is_dry: bool,
    /// Was something to be sent again?
    #[serde(skip)]
    is_again: bool,
    /// The commands that list what was given up, and what was suppressed.
    #[serde(skip)]
    lists: [Proposed; 2],
}

impl Answer {
    fn new(found: Option<(AlertReport, NoticeReport)>, emails: deliver::DeliveryReport) -> Self {
        let list = |state| Proposed::periodd(["alerts", "list", "--state", state]);
        let (alerts, notices) = found.unzip();
        let lists = [list("given_up"), list("suppressed")];
        Self { alerts, notices, emails, is_dry: false, is_again: false, lists }
    }
}

impl Output for Answer {
    fn page(&self) -> Page {
        if let Some(notices) = self.notices.as_ref().filter(|_| self.is_dry) {
            return dry_page(notices);
        }
        let mut page = Page::new();
        if let Some(alerts) = &self.alerts {
            page = left_lines(alert_lines(page, alerts), alerts);
        }
        if let Some(notices) = &self.notices {
            page = notice_lines(page, notices);
        }
        let deliver::DeliveryReport { sent, postponed, given_up, expired, suppressed, .. } =
            self.emails;
        let lines = [
            (sent, "sent", Tone::Good),
            (postponed, "to be retried", Tone::Warning),
            (given_up, "given up", Tone::Bad),
            (expired, "given up because the period has ended", Tone::Bad),
            (suppressed, "to an unknown address", Tone::Bad),
        ];
        for (count, words, tone) in lines.into_iter().filter(|(count, ..)| *count > 0) {
            let line = format!("{} {words}", counted(count, "email"));
            page = page.line(Cell::text(line).tone(tone));
        }
        let webhooks = &self.emails.webhooks;
        let lines = [
            (webhooks.sent, "sent", Tone::Good),
            (webhooks.postponed, "to be retried", Tone::Warning),
            (webhooks.given_up, "given up", Tone::Bad),
        ];
        for (count, words, tone) in lines.into_iter().filter(|(count, ..)| *count > 0) {
            let line = format!("{} {words}", counted(count, "webhook"));
            page = page.line(Cell::text(line).tone(tone));
        }
        for fault in &webhooks.faults {
            let line = format!("the webhook {}: {}", fault.endpoint, fault.reason);
            page = page.line(Cell::text(line).tone(Tone::Bad));
        }
        let reasons = [&self.emails.unreachable, &self.emails.locked_out, &self.emails.refused];
        for why in reasons.into_iter().flatten() {
            page = page.line(Cell::text(format!("the mail server: {why}")).tone(Tone::Bad));
        }
        if self.emails.without_recipient > 0 {
            let emails = counted(self.emails.without_recipient, "email");
            page = page.line(format!("{emails} not sent: no contact and no user to get them"));
        }
        if alerts_sent_nothing(self) {
            page = page.line("no email to send again");
        }
        let [list_given_up, list_suppressed] = &self.lists;
        if given_up + expired > 0 {
            page = page.line(format!("list emails that were given up: {list_given_up}"));
        }
        if suppressed > 0 {
            page = page.line(format!("list emails to unknown addresses: {list_suppressed}"));
        }
        page
    }
}

/// Was anything to be sent again, and there was nothing?
fn alerts_sent_nothing(answer: &Answer) -> bool {
    let deliver::DeliveryReport { sent, postponed, without_recipient, .. } = answer.emails;
    let nothing = sent + postponed + without_recipient == 0 && !answer.emails.gave_up();
    answer.is_again && nothing && answer.emails.webhooks.is_empty()
}

fn alert_lines(page: Page, alerts: &AlertReport) -> Page {
    let AlertReport { notified, waiting, recorded, .. } = alerts;
    if notified + waiting + recorded == 0 {
        return page.line("no threshold was newly crossed");
    }
    let told = counted(notified + waiting + recorded, "alert");
    let emails = counted(alerts.emails, "email");
    let page = page.line(format!("{told}, {emails} queued"));
    match *waiting {
        0 => page,
        waiting => {
            let line = format!("{} without a recipient", counted(waiting, "alert"));
            page.line(Cell::text(line).tone(Tone::Warning))
        }
    }
}

fn notice_lines(mut page: Page, notices: &NoticeReport) -> Page {
    let told: usize = notices.recorded.values().sum();
    if told > 0 {
        let kinds =
            notices.recorded.iter().map(|(kind, count)| format!("{count} {}", kind.words()));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        let emails = counted(notices.emails, "email");
        page = page.line(format!("{} ({kinds}), {emails} queued", counted(told, "notice")));
    }
    if notices.waiting > 0 {
        let line = format!("{} without a recipient", counted(notices.waiting, "notice"));
        page = page.line(Cell::text(line).tone(Tone::Warning));
    }
    if notices.withdrawn > 0 {
        let notices = counted(notices.withdrawn, "notice");
        page = page.line(format!("{notices} withdrawn: a purchase covers it"));
    }
    match notices.left {
        0 => page,
        left => page.line(format!("{} left to the next look for notices", counted(left, "org"))),
    }
}

/// What a look would record.
fn dry_page(notices: &NoticeReport) -> Page {
    let page = Page::new();
    if notices.would.is_empty() {
        return page.line("no notice would be recorded");
    }
    let mut table = Table::new(["org", "notice", "feature", "to"]);
    for told in &notices.would {
        let to = told.recipients.join(", ");
        let to = if to.is_empty() { "nobody: it would wait".to_owned() } else { to };
        table.row([
            Cell::text(&told.slug),
            Cell::text(told.notice.kind().words()),
            Cell::text(told.notice.feature()),
            Cell::text(to),
        ]);
    }
    page.table(table)
}

/// The orgs that were not looked at.
fn left_lines(page: Page, alerts: &AlertReport) -> Page {
    if alerts.left == 0 {
        return page;
    }
    let mut table = Table::new(["left to the next pass", "because"]);
    for org in &alerts.left_orgs {
        table.row([Cell::text(&org.slug).tone(Tone::Warning), Cell::text(&org.reason)]);
    }
    let more = alerts.left - alerts.left_orgs.len();
    let page = page.table(table);
    if more > 0 { page.line(format!("and {more} more")) } else { page }
}
