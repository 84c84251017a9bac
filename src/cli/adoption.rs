//! `periodd db import` and `db verify`: adopting a database that was there before.

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::rollover::{Progress, standing_request};
use super::session::Session;
use super::{Exit, Failure};
pub(super) use crate::jobs::adoption::{Report, Verdict};
use crate::jobs::{self, adoption};
use crate::store::adoption as adopted;
use crate::store::migrate;

/// What `periodd db import` is asked.
#[expect(clippy::struct_excessive_bools, reason = "flags, of which one may be given")]
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Say what would be done, and do nothing: so it is without any of the flags, too
    #[arg(long, conflicts_with_all = ["apply", "undo", "drop_legacy"])]
    dry_run: bool,
    /// Do it, in one transaction
    #[arg(long, conflicts_with_all = ["undo", "drop_legacy"])]
    apply: bool,
    /// Put the replaced tables back; what was recorded since is gone
    #[arg(long, conflicts_with = "drop_legacy")]
    undo: bool,
    /// Drop the replaced tables (`NAME_legacy`): from then on there is no way back
    #[arg(long)]
    drop_legacy: bool,
    /// The zone of timestamps that name none
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    naive_zone: String,
}

/// Runs `db import`.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let zone = session.tz.zone(&args.naive_zone).map_err(Failure::usage)?;
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
        adopted::undo(&session.database).await?;
        session.screen.show(&Done(format!(
            "the replaced tables are back; {recorded} recorded since the import went with periodd's"
        )))?;
        return Ok(Exit::Done);
    }
    if args.drop_legacy {
        let orgs = size(adopted::loss(&session.database).await?.orgs);
        session.confirm(orgs, "drop the replaced tables for good, with what they held").await?;
        let dropped = adopted::drop_legacy(&session.database).await?;
        session.screen.show(&Done(format!("dropped {}", dropped.join(", "))))?;
        return Ok(Exit::Done);
    }
    let report = adoption::report(&session.database, &session.tz, zone.name()).await?;
    let Some(report) = report else {
        let mut said = "there is nothing to import".to_owned();
        // Whoever imports need not migrate, on a clean database neither.
        if args.apply {
            let now = session.database.now().await?;
            let made = jobs::zones::migrate(&session.database, &session.tz, now).await?;
            if !made.is_empty() {
                said.push_str("; the schema was made, as `periodd db migrate` makes it");
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
        return Err(Failure::refused(format!(
            "{} {}; nothing was changed",
            block.count, block.what
        )));
    }
    let deed = if report.adoption.is_mend() {
        "mend the open period".to_owned()
    } else if report.adoption.replaces.is_empty() {
        "take over the periods".to_owned()
    } else {
        format!("replace {}, the data", report.adoption.replaces.join(", "))
    };
    session.confirm(size(report.orgs), &deed).await?;
    let screen = session.screen.clone();
    let request = standing_request(&session.config.rollover, false);
    let progress = |step: &str| screen.note(step);
    let observer = Progress::observer(session);
    let opened =
        adoption::apply(&session.database, &session.tz, &report, &request, progress, observer);
    let opened = opened.await?;
    session.screen.show(&report)?;
    if !report.adoption.is_mend() {
        session.screen.note("imported; `periodd db verify` compares it with what there was");
    }
    Ok(if opened.parked.is_empty() { Exit::Done } else { Exit::Partly })
}

/// Runs `db verify`.
pub(super) async fn verify(session: &Session) -> Result<Exit, Failure> {
    migrate::require_current(&session.database).await?;
    let verdict = adoption::verify(&session.database, &session.tz).await?;
    session.screen.show(&verdict)?;
    Ok(if verdict.is_good() { Exit::Done } else { Exit::Found })
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

impl Output for Report {
    fn page(&self) -> Page {
        let mut found = Table::new(["found", ""]);
        for finding in &self.found {
            let tone = if finding.blocks { Tone::Bad } else { Tone::Plain };
            found.row([Cell::number(finding.count), Cell::text(&finding.what).tone(tone)]);
        }
        let mut steps = Table::new(["step", "what is done"]);
        let replaces = self.adoption.replaces.iter().map(|name| format!("{name} → {name}_legacy"));
        let views = self.adoption.drops.iter().map(|name| format!("the view {name} goes"));
        let room: Vec<String> = replaces.chain(views).collect();
        let room = (!room.is_empty()).then(|| format!("make room: {}", room.join(", ")));
        let rest = self.adoption.steps.iter().map(|step| step.what.to_owned());
        for (place, what) in room.into_iter().chain(rest).enumerate() {
            steps.row([Cell::number(place + 1), Cell::text(what)]);
        }
        Page::new().table(found).line("").table(steps)
    }
}

impl Output for Verdict {
    fn page(&self) -> Page {
        let mut rules = Table::new(["rule", "broken by"]);
        for rule in &self.rules {
            let tone = if rule.broken_by == 0 { Tone::Good } else { Tone::Bad };
            rules.row([Cell::text(rule.rule), Cell::number(rule.broken_by).tone(tone)]);
        }
        let page = Page::new().table(rules);
        if self.differences.is_empty() {
            return page.line("").line("what was imported adds up to what there was");
        }
        let mut sums = Table::new(["org", "feature", "period", "before", "after"]);
        for difference in &self.differences {
            let start = difference.period_start.map(|start| start.to_string());
            sums.row([
                Cell::text(difference.org),
                Cell::text(&difference.feature),
                Cell::text(start.unwrap_or_default()),
                Cell::number(difference.before),
                Cell::number(difference.after),
            ]);
        }
        page.line("").table(sums)
    }
}
