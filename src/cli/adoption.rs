//! `periodd db import` and `db verify`: adopting a database that was there before.

use std::time::Duration;

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::rollover::Progress;
use super::session::Session;
use super::{Exit, Failure};
use crate::billing::Cycle;
use crate::command::Command;
use crate::import as adopted;
use crate::import::answers::{Answers, ColumnName, Members};
pub(super) use crate::import::report::{AdoptionReport, Verdict};
use crate::store::db::lock_wait::LockWait;
use crate::store::db::migrate;
use crate::store::orgs;
use crate::{import::report, jobs};

/// What `periodd db import` is asked.
#[expect(clippy::struct_excessive_bools, reason = "flags, at most one of which may be given")]
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Show what would be done and change nothing (the default)
    #[arg(long, conflicts_with_all = ["apply", "undo", "drop_legacy"])]
    dry_run: bool,
    /// Perform the import, in one transaction
    #[arg(long, conflicts_with_all = ["undo", "drop_legacy"])]
    apply: bool,
    /// Put the replaced tables back; anything recorded since is lost
    #[arg(long, conflicts_with = "drop_legacy")]
    undo: bool,
    /// Drop the replaced tables (`NAME_legacy`); this cannot be undone
    #[arg(long)]
    drop_legacy: bool,
    /// Time zone of timestamps without one
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    naive_zone: String,
    /// Column of a table of metrics that holds the instant of use (repeatable)
    #[arg(long, value_name = "TABLE.COLUMN")]
    used_at_column: Vec<ColumnName>,
    /// Cycle of orgs whose period is as long as that of no cycle
    #[arg(long, value_name = "C")]
    #[arg(value_parser = Cycle::NAMES)]
    cycle: Option<String>,
    /// Table with the orgs that users are members of; `none`: each user is an org
    #[arg(long, value_name = "TABLE|none")]
    member_table: Option<Members>,
    /// Count the usage of users in several orgs in the org that they joined first
    #[arg(long)]
    oldest_membership: bool,
    #[command(flatten)]
    wait: Wait,
}

/// How long a change of the schema waits for others.
#[derive(clap::Args, Debug)]
pub(super) struct Wait {
    /// Seconds to wait in total for locks that other sessions hold
    #[arg(long, value_name = "SECONDS", default_value_t = 45)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    lock_wait: u32,
}

impl Wait {
    pub(super) fn value(&self) -> LockWait {
        LockWait::of(Duration::from_secs(self.lock_wait.into()))
    }
}

/// Runs `db import`.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let zone = session.tz.zone(&args.naive_zone).map_err(Failure::usage)?;
    let wait = args.wait.value();
    // A database that is newer than this program is not for it to judge.
    migrate::status(&session.database).await?;
    if args.undo {
        let loss = adopted::loss(&session.database).await?;
        let recorded = counted(size(loss.metrics), "metric");
        let mut deed = format!(
            "drop periodd's tables and {recorded} recorded since the import, and put back what \
             they replaced,"
        );
        if !loss.dependents.is_empty() {
            let list = loss.dependents.join(", ");
            deed = format!("drop what was built on periodd's tables ({list}), {deed}");
        }
        // What others have built is not dropped without a word, however few orgs there are.
        let orgs = size(loss.orgs).max(if loss.dependents.is_empty() { 0 } else { 2 });
        session.confirm(orgs, &deed).await?;
        adopted::undo(&session.database, wait).await?;
        session.screen.show(&Done(format!(
            "the replaced tables are back; {recorded} recorded since the import were dropped with \
             periodd's tables"
        )))?;
        return Ok(Exit::Done);
    }
    if args.drop_legacy {
        let orgs = size(adopted::loss(&session.database).await?.orgs);
        session.confirm(orgs, "drop the replaced tables for good, with what they held").await?;
        let dropped = adopted::drop_legacy(&session.database, wait).await?;
        session.screen.show(&Done(format!("dropped {}", dropped.join(", "))))?;
        return Ok(Exit::Done);
    }
    let answers = Answers {
        naive_zone: zone.name().to_owned(),
        used_at: args.used_at_column.clone(),
        cycle: args.cycle.clone(),
        members: args.member_table.clone().unwrap_or(Members::Usual),
        oldest_membership: args.oldest_membership,
    };
    let report = report::report(&session.database, &session.tz, &answers, wait).await?;
    let Some(report) = report else {
        let mut said = "there is nothing to import".to_owned();
        if let Some((schema, tables)) = adopted::elsewhere(&session.database).await? {
            session.screen.note(&format!(
                "{tables}: in the schema {schema}, which is not read; to import them, move them to \
                 the one of [database] schema (alter table … set schema …)"
            ));
        }
        // Whoever imports need not migrate, on a clean database neither.
        if args.apply {
            let now = session.database.now().await?;
            let made =
                jobs::zones::migrate_waiting(&session.database, &session.tz, now, wait).await?;
            if !made.is_empty() {
                said.push_str("; the schema was made, as `db migrate` makes it");
            }
        }
        session.screen.show(&Done(said))?;
        return Ok(Exit::Done);
    };
    if !args.apply {
        session.screen.show(&report)?;
        return Ok(Exit::Found);
    }
    if let Some(block) = report.blocks().next() {
        return Err(Failure::refused(format!("{}; nothing was changed", block.counted())));
    }
    let deed = if report.adoption.is_mend() {
        "repair the open period".to_owned()
    } else if report.adoption.replaces.is_empty() {
        "import the periods".to_owned()
    } else {
        format!("replace {}, the data", report.adoption.replaces.join(", "))
    };
    session.confirm(size(report.orgs), &deed).await?;
    let screen = session.screen.clone();
    let request = jobs::rollover::Request::standing(&session.config.rollover);
    let progress = |step: &str| screen.note(step);
    let observer = Progress::observer(session);
    let (database, tz) = (&session.database, &session.tz);
    let opened = report::apply(database, tz, &report, &request, wait, progress, observer);
    let opened = opened.await?;
    session.screen.show(&report)?;
    if !report.adoption.is_mend() {
        let verify = Command::periodd(["db", "verify"]);
        session
            .screen
            .note(&format!("imported; `{verify}` compares the result with the original data"));
    }
    Ok(if opened.parked.is_empty() { Exit::Done } else { Exit::Partly })
}

/// What `db verify` is asked.
#[derive(clap::Args, Debug)]
pub(super) struct Verify {
    /// Continue where the last one was interrupted
    #[arg(long)]
    resume: bool,
}

/// Runs `db verify`.
pub(super) async fn verify(session: &Session, args: &Verify) -> Result<Exit, Failure> {
    migrate::require_current(&session.database).await?;
    let total = orgs::count(&session.database, None).await?;
    let bar = session.screen.progress(total.unsigned_abs(), "orgs verified");
    let observer = |orgs: u64| bar.set_position(orgs);
    let stop = session.stop_between_batches();
    let verdict =
        report::verify(&session.database, &session.tz, args.resume, &stop, &observer).await?;
    bar.finish_and_clear();
    session.screen.show(&verdict)?;
    Ok(session.exit(if verdict.is_good() { Exit::Done } else { Exit::Found }))
}

/// A count that the database made.
fn size(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Done(String);

impl Output for Done {
    fn page(&self) -> Page {
        Page::new().line(self.0.as_str())
    }
}

impl Output for AdoptionReport {
    fn page(&self) -> Page {
        let mut found = Table::new(["found", ""]);
        for finding in &self.found {
            let tone = if finding.blocks { Tone::Bad } else { Tone::Plain };
            let count = finding.count.map_or_else(|| Cell::text(""), Cell::number);
            found.row([count, Cell::text(&finding.what).tone(tone)]);
        }
        let mut steps = Table::new(["step", "what is done"]);
        let replaces = self.adoption.replaces.iter().map(|name| format!("{name} → {name}_legacy"));
        let views = self.adoption.drops.iter().map(|name| format!("the view {name} goes"));
        let room: Vec<String> = replaces.chain(views).collect();
        let room = (!room.is_empty()).then(|| format!("rename: {}", room.join(", ")));
        let rest = self.adoption.steps.iter().map(|step| step.what.to_owned());
        for (place, what) in room.into_iter().chain(rest).enumerate() {
            steps.row([Cell::number(place + 1), Cell::text(what)]);
        }
        Page::new().table(found).line("").table(steps)
    }
}

impl Output for Verdict {
    fn page(&self) -> Page {
        let mut rules = Table::new(["rule", "violations"]);
        for rule in &self.rules {
            let tone = if rule.broken_by == 0 { Tone::Good } else { Tone::Bad };
            rules.row([Cell::text(rule.rule), Cell::number(rule.broken_by).tone(tone)]);
        }
        let page = Page::new().table(rules);
        let page = if self.complete {
            page
        } else {
            let resume = Command::periodd(["db", "verify", "--resume"]);
            let rest = format!("interrupted after {} orgs; continue: {resume}", self.orgs);
            page.line("").line(Cell::text(rest).tone(Tone::Warning))
        };
        if self.differences.is_empty() {
            return page.line("").line("imported data adds up to the original data");
        }
        let mut sums = Table::new(["org", "feature", "period or month", "before", "after"]);
        for difference in &self.differences {
            let since = difference.since;
            sums.row([
                Cell::text(difference.org),
                Cell::text(&difference.feature),
                Cell::text(if difference.is_period {
                    format!("period from {since}")
                } else {
                    format!("month of {since}")
                }),
                Cell::number(difference.before),
                Cell::number(difference.after),
            ]);
        }
        page.line("").table(sums)
    }
}
