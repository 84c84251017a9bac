//! `periodd sync`: count what waits, look for drift.

use std::io::IsTerminal;
use std::sync::Arc;

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::daemon::work::{Job, sync_counts};
use crate::jobs::pace::{self, Pace};
use crate::jobs::sync::{self, Error, Report, Request, Scope};
use crate::store::derived::Target;
use crate::store::orgs;

const NOTES: &str = "\
Without flags it counts: metrics that were plainly inserted go into their counters, and copies of
counters that moved are written. That is no drift. --full then looks at every counter and copy, and
mends what differs; so does --org, for some orgs. It refuses (exit 5, nothing changed) where the
metrics are more likely wrong than the counters.

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
    /// Look for drift after counting, and mend it
    #[arg(long)]
    full: bool,
    /// Only look for drift: change nothing, exit 3 where there is some
    #[arg(long, conflicts_with = "force")]
    check: bool,
    /// Mend even what looks suspicious
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if args.force && !args.full && args.orgs.is_empty() {
        return Err(Failure::usage("--force goes with --full or --org: counting is never refused"));
    }
    with_session(global, Schema::Current, async |session| {
        let scope = scope(session, args).await?;
        let audits = args.full || args.check || !args.orgs.is_empty();
        if args.force {
            confirm(session, &scope).await?;
        }
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
            .recorded(job, args.check, async |run| {
                sync(session, Request { run, ..request }, audits).await
            })
            .await
    })
}

async fn sync(
    session: &Session,
    request: Request,
    audits: bool,
) -> Result<(Exit, serde_json::Value), Failure> {
    let progress = observer(session);
    let report = if audits {
        sync::audit(&session.database, &request, progress).await
    } else {
        sync::count(&session.database, &request, progress).await
    };
    let report = report.map_err(|error| failure(session, error))?;
    let exit = match (request.check && report.drift_found > 0, report.parked.is_empty()) {
        (true, _) => Exit::Found,
        (false, false) => Exit::Partly,
        (false, true) => Exit::Done,
    };
    let (exit, counts) = (session.exit(exit), sync_counts(&report));
    session.screen.show(&Answer { check: request.check, report })?;
    Ok((exit, counts))
}

/// What the configuration says about every sync.
pub(super) async fn standing_request(session: &Session) -> Result<Request, Failure> {
    let targets = targets(session).await?;
    Ok(Request::standing(&session.config.sync, targets))
}

/// The derived columns of the configuration.
///
/// # Errors
/// Exit 78 for one that the database does not have, with its place in the configuration.
pub(super) async fn targets(session: &Session) -> Result<Arc<[Target]>, Failure> {
    let targets = sync::targets(&session.database, &session.config.sync).await;
    targets.map(Arc::from).map_err(|error| failure(session, error))
}

/// Those of them that a rollover does not write by itself.
///
/// # Errors
/// As [`targets`].
pub(super) async fn targets_besides_defaults(session: &Session) -> Result<Arc<[Target]>, Failure> {
    let targets = sync::targets_besides_defaults(&session.database, &session.config.sync).await;
    targets.map_err(|error| failure(session, error))
}

fn failure(session: &Session, error: Error) -> Failure {
    match error {
        Error::Store(error) => error.into(),
        Error::Refused(_) => Failure::refused(format!(
            "{error}; look at usage_metrics, and where it is right after all, mend with --force"
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
    session.confirm(orgs, "believe the metrics and change the counters").await
}

/// How far a run is: a bar on a terminal, a line every ten seconds elsewhere.
fn observer(session: &Session) -> sync::Observer {
    let screen = session.screen.clone();
    if std::io::stderr().is_terminal() {
        let spinner = screen.spinner();
        return Arc::new(move |report: &Report| spinner.set_message(progress(report)));
    }
    let pace = Pace::new(pace::EVERY);
    Arc::new(move |report: &Report| {
        if pace.is_due() {
            screen.note(&progress(report));
        }
    })
}

fn progress(report: &Report) -> String {
    let counted = format!("sync: {} metrics counted", report.metrics_counted);
    match report.audited {
        None => counted,
        Some(audited) => format!("{counted}, {} orgs audited", audited.orgs),
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    check: bool,
    #[serde(flatten)]
    report: Report,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Report { parked, left, .. } = &self.report;
        let mut page = self.drift(self.late(self.without_pack(Page::new())));
        if !parked.is_empty() {
            let mut table = Table::new(["parked", "because"]);
            for org in parked {
                table.row([Cell::text(&org.slug).tone(Tone::Bad), Cell::text(&org.reason)]);
            }
            page = page.table(table);
            page = page.line("mend the row, then: periodd orgs unpark ORG").line("");
        }
        if !left.is_empty() {
            page = page.line(format!("{} left to the next run", counted(left.len(), "busy org")));
        }
        self.sums(page)
    }
}

impl Answer {
    fn without_pack(&self, page: Page) -> Page {
        let sold = &self.report.purchases_without_pack;
        if sold.is_empty() {
            return page;
        }
        let mut table = Table::new(["purchase without a pack", "column", "quantity", "mended by"]);
        for line in sold {
            table.row([
                Cell::text(&line.org).tone(Tone::Warning),
                Cell::text(&line.column),
                Cell::number(line.quantity),
                Cell::text(&line.mended_by),
            ]);
        }
        page.table(table).line("it is kept on top of what the packs hold").line("")
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
                Cell::text(late.period_start),
                Cell::number(late.used),
                Cell::number(late.drawn),
                Cell::number(late.uncovered),
                Cell::text(late.kind.name()),
            ]);
        }
        page.table(table).line("")
    }

    fn drift(&self, page: Page) -> Page {
        let Report { drift, drift_found, .. } = &self.report;
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
        let Report { metrics_counted, before_first_period, columns_written, .. } = &self.report;
        let number = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX);
        let mut page = page;
        if !self.check {
            let metrics = counted(number(metrics_counted), "metric");
            let columns = counted(number(columns_written), "copy").replace("copys", "copies");
            page = page.line(format!("counted {metrics}, wrote {columns}"));
        }
        if *before_first_period > 0 {
            let metrics = counted(number(before_first_period), "metric");
            page =
                page.line(format!("{metrics} from before their org's first period count nowhere"));
        }
        if let Some(audited) = self.report.audited {
            let orgs = counted(number(&audited.orgs), "org");
            let metrics = counted(number(&audited.metrics), "metric");
            let found = match (self.report.drift_found, self.check) {
                (0, _) => "no drift".to_owned(),
                (found, true) => format!("{found} wrong"),
                (found, false) => format!("{found} mended"),
            };
            page = page.line(format!("audited {orgs} with {metrics}: {found}"));
        }
        page
    }
}
