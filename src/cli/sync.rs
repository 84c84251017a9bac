//! `periodd sync`: count what waits, look for drift.

use std::io::IsTerminal;
use std::sync::Arc;

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::session::{Schema, Session, with_session};
use super::times::Local;
use super::{Exit, Failure, Global};
use crate::command::Command;
use crate::jobs::Left;
use crate::jobs::catalogue::Job;
use crate::jobs::columns::{ColumnLeftOut, Columns};
use crate::jobs::counts::RunCounts;
use crate::jobs::pace::{self, Pace};
use crate::jobs::rollover::Parked;
use crate::jobs::sync::{self, Error, Request, Scope, SyncReport};
use crate::store::orgs;

const NOTES: &str = "\
Without flags it counts: adds inserted metrics to their counters and writes the copies of changed
counters. That is not drift. --full then checks every counter and copy and repairs differences;
--org does so for some orgs. The audit refuses (exit 5, nothing changed) when the metrics are more
likely wrong than the counters.

Examples:
  periodd sync
  periodd sync --full
  periodd sync --check
  periodd sync --org acme";

/// What `periodd sync` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Only this org (slug or id), audited too; may be repeated
    #[arg(long = "org", value_name = "ORG")]
    orgs: Vec<String>,
    /// After counting, find and repair drift
    #[arg(long)]
    full: bool,
    /// Only find drift: change nothing, and exit with 3 if there is any
    #[arg(long, conflicts_with = "force")]
    check: bool,
    /// Repair even when the data looks suspicious, and trust the database's clock
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if args.force && !args.full && args.orgs.is_empty() {
        return Err(Failure::usage("--force goes with --full or --org: counting is never refused"));
    }
    with_session(global, Schema::Current, async |session| {
        let scope = scope(session, args).await?;
        let audits = args.full || args.check || !args.orgs.is_empty();
        if args.force {
            confirm(session, &scope).await?;
        }
        session.believe_clock(args.force).await?;
        let org = scope.only();
        let request = Request {
            scope,
            at: session.business_time(args.check).await?,
            check: args.check,
            force: args.force,
            stop: session.stop_between_batches(),
            ..standing_request(session).await?
        };
        let job = if audits { Job::Audit } else { Job::Sync };
        session
            .recorded(job, args.check, org, async |run| {
                sync(session, Request { run, ..request }, audits).await
            })
            .await
    })
}

async fn sync(
    session: &Session,
    request: Request,
    audits: bool,
) -> Result<(Exit, RunCounts), Failure> {
    let progress = observer(session);
    let report = if audits {
        sync::audit(&session.database, &request, progress).await
    } else {
        sync::count(&session.database, &request, progress).await
    };
    let report = report.map_err(|error| failure(session, error))?;
    let is_whole = report.parked.is_empty()
        && report.skipped.is_empty()
        && report.left_out.is_empty()
        && report.columns_left_out.is_empty();
    let exit = match (request.check && report.drift_found > 0, is_whole) {
        (true, _) => Exit::Found,
        (false, false) => Exit::Partly,
        (false, true) => Exit::Done,
    };
    let (exit, counts) = (session.exit(exit), RunCounts::from(&report));
    let times = session.times().await?.utc();
    session.screen.show(&Answer { check: request.check, report, times })?;
    Ok((exit, counts))
}

/// What the configuration says about every sync.
pub(crate) async fn standing_request(session: &Session) -> Result<Request, Failure> {
    let columns = targets(session).await?;
    Ok(Request::standing(&session.config, columns))
}

/// The derived columns of the configuration.
///
/// # Errors
/// Exit 78 for one that the database does not have, with its place in the configuration.
pub(crate) async fn targets(session: &Session) -> Result<Columns, Failure> {
    let columns = sync::targets(&session.database, &session.config.sync).await;
    columns.map_err(|error| failure(session, error))
}

/// Those of them that a rollover does not write by itself.
pub(crate) async fn targets_besides_defaults(session: &Session) -> Result<Columns, Failure> {
    let columns = sync::targets_besides_defaults(&session.database, &session.config.sync).await;
    columns.map_err(|error| failure(session, error))
}

fn failure(session: &Session, error: Error) -> Failure {
    match error {
        Error::Store(error) => error.into(),
        Error::Refused(_) => Failure::refused(format!(
            "{error}; check usage_metrics, and if it is right, run again with --force"
        )),
        Error::Derived { key, sentence } => {
            let place = session.config.source(&key);
            Failure::configuration(format!("{place}: {key}: {sentence}"))
        }
    }
}

async fn scope(session: &Session, args: &Args) -> Result<Scope, Failure> {
    if args.orgs.is_empty() {
        return Ok(Scope::All);
    }
    Ok(Scope::Orgs(session.named_orgs(&args.orgs).await?))
}

/// No schedule mends what a guard refuses, so a person has to mean it.
async fn confirm(session: &Session, scope: &Scope) -> Result<(), Failure> {
    let orgs = match scope {
        Scope::Orgs(ids) => ids.len(),
        Scope::All => {
            let orgs = orgs::count(&session.database, None).await?;
            usize::try_from(orgs).unwrap_or(usize::MAX)
        }
    };
    session.confirm(orgs, "trust the metrics and change the counters").await
}

/// How far a run is: a bar on a terminal, a line every ten seconds elsewhere.
fn observer(session: &Session) -> sync::Observer {
    let screen = session.screen.clone();
    if std::io::stderr().is_terminal() {
        let spinner = screen.spinner();
        return Arc::new(move |report: &SyncReport| spinner.set_message(progress(report)));
    }
    let pace = Pace::new(pace::EVERY);
    Arc::new(move |report: &SyncReport| {
        if pace.is_due() {
            screen.note(&progress(report));
        }
    })
}

fn progress(report: &SyncReport) -> String {
    let counted = format!("sync: {} metrics counted", report.metrics_counted);
    match report.audited {
        None => counted,
        Some(audited) => format!("{counted}, {} orgs audited", audited.orgs),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Answer {
    check: bool,
    #[serde(flatten)]
    report: SyncReport,
    #[serde(skip)]
    times: Local,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let SyncReport { parked, left, .. } = &self.report;
        let mut page = self.drift(self.late(self.without_pack(Page::new())));
        page = parked_orgs(page, parked);
        if !left.is_empty() {
            let mut table = Table::new(["left to the next run", "because"]);
            for org in left {
                table.row([Cell::text(&org.slug).tone(Tone::Warning), Cell::text(&org.reason)]);
            }
            page = page.table(table).line("");
        }
        page = skipped(page, &self.report.skipped);
        if !self.report.left_out.is_empty() {
            let mut table = Table::new(["metrics are missing for", "period from", "now", "then"]);
            for period in &self.report.left_out {
                table.row([
                    Cell::text(&period.org).tone(Tone::Bad),
                    Cell::whole(self.times.at(period.period_start)),
                    Cell::number(period.now),
                    Cell::number(period.then),
                ]);
            }
            page = page.table(table);
            let org = self.report.left_out.first().map_or("", |period| &period.org);
            page = page
                .line("these orgs were not changed; if the metrics were deleted on purpose:")
                .line(Command::periodd(["sync", "--full", "--force", "--org", org]).to_string())
                .line("");
        }
        self.sums(columns_left_out(page, &self.report.columns_left_out))
    }
}

/// Shows which orgs a run parked, with what to do about them.
pub(crate) fn parked_orgs(page: Page, parked: &[Parked]) -> Page {
    let (shown, unpark) = match parked {
        [] => return page,
        [org] => (
            format!("`{}` shows what repairs it", Command::periodd(["explain", &org.slug])),
            Command::periodd(["orgs", "unpark", &org.slug]),
        ),
        _ => (
            format!("`{}` shows what repairs them", Command::periodd(["status"])),
            Command::periodd(["orgs", "unpark", "--all"]),
        ),
    };
    let mut table = Table::new(["parked", "because"]);
    for org in parked {
        table.row([Cell::text(&org.slug).tone(Tone::Bad), Cell::text(&org.reason)]);
    }
    page.table(table).line(format!("{shown}; then: {unpark}")).line("")
}

/// Shows which orgs a run could neither process nor park.
pub(crate) fn skipped(page: Page, orgs: &[Left]) -> Page {
    if orgs.is_empty() {
        return page;
    }
    let mut table = Table::new(["skipped and not parked", "because"]);
    for org in orgs {
        table.row([Cell::text(&org.slug).tone(Tone::Bad), Cell::text(&org.reason)]);
    }
    let page = page.table(table);
    page.line("repair the rule or the row that the database names; the next run tries again")
        .line("")
}

/// Shows which derived columns a run has written nothing to.
pub(crate) fn columns_left_out(page: Page, columns: &[ColumnLeftOut]) -> Page {
    if columns.is_empty() {
        return page;
    }
    let mut table = Table::new(["column left out", "because"]);
    for ColumnLeftOut { column, reason, .. } in columns {
        table.row([Cell::text(column).tone(Tone::Bad), Cell::text(reason)]);
    }
    let audit = Command::periodd(["sync", "--full"]);
    page.table(table).line(format!("the next `{audit}` writes what it missed")).line("")
}

impl Answer {
    fn without_pack(&self, page: Page) -> Page {
        let sold = &self.report.purchases_without_pack;
        if sold.is_empty() {
            return page;
        }
        let mut table = Table::new(["purchase without a pack", "column", "quantity", "repair"]);
        for line in sold {
            table.row([
                Cell::text(&line.org).tone(Tone::Warning),
                Cell::text(&line.column),
                Cell::number(line.quantity),
                Cell::text(&line.mended_by),
            ]);
        }
        let mut page = page.table(table).line("the quantity is kept in addition to the packs");
        if let Some(why) = sold.iter().find_map(|line| line.unrecorded.as_deref()) {
            let again = "no notice of it could be recorded; the next audit tries again";
            page = page.line(format!("{again}: {why}"));
        }
        page.line("")
    }

    fn late(&self, page: Page) -> Page {
        if self.report.late.is_empty() {
            return page;
        }
        let heads = ["late usage", "feature", "period from", "used", "drawn", "uncovered", "kind"];
        let mut table = Table::new(heads);
        for late in &self.report.late {
            table.row([
                Cell::text(&late.org),
                Cell::text(&late.feature),
                Cell::whole(self.times.at(late.period_start)),
                Cell::number(late.used),
                Cell::number(late.drawn),
                Cell::number(late.uncovered),
                Cell::text(late.kind.name()),
            ]);
        }
        page.table(table).line("")
    }

    fn drift(&self, page: Page) -> Page {
        let SyncReport { drift, drift_found, .. } = &self.report;
        if drift.is_empty() {
            return page;
        }
        let mut table = Table::new(["drift", "feature", "where", "before", "after", "because"]);
        for line in drift {
            let before = line.before.map_or_else(|| "none".to_owned(), |held| held.to_string());
            table.row([
                Cell::text(&line.slug),
                Cell::text(&line.feature),
                Cell::text(&line.place),
                Cell::number(before),
                Cell::number(line.after),
                Cell::text(line.reason),
            ]);
        }
        let page = page.table(table);
        let more = drift_found.saturating_sub(drift.len() as u64);
        if more == 0 { page.line("") } else { page.line(format!("… and {more} more")).line("") }
    }

    fn sums(&self, page: Page) -> Page {
        let SyncReport { metrics_counted, before_first_period, columns_written, .. } = &self.report;
        let number = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX);
        let mut page = page;
        if !self.check {
            let metrics = counted(number(metrics_counted), "metric");
            let columns = match columns_written {
                1 => "1 copy".to_owned(),
                many => format!("{many} copies"),
            };
            page = page.line(format!("counted {metrics}, wrote {columns}"));
        }
        if *before_first_period > 0 {
            let metrics = counted(number(before_first_period), "metric");
            page = page
                .line(format!("{metrics} from before their org's first period are not counted"));
        }
        if let Some(audited) = self.report.audited {
            let orgs = counted(number(&audited.orgs), "org");
            let metrics = counted(number(&audited.metrics), "metric");
            let found = match (self.report.drift_found, self.check) {
                (0, _) => "no drift".to_owned(),
                (found, true) => format!("{found} wrong"),
                (found, false) => format!("{found} repaired"),
            };
            page = page.line(format!("audited {orgs} with {metrics}: {found}"));
        }
        if let Some(refusal) = &self.report.refusal {
            let line = format!("without --check this run would be refused: {refusal}");
            page = page.line(Cell::text(line).tone(Tone::Bad));
        }
        page
    }
}
