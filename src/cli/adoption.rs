//! `periodd db import` and `db verify`: adopting a database that was there before.

use std::io::{BufRead, IsTerminal, Write};

use super::output::{Cell, Output, Page, Table, Tone, counted};
use super::rollover::{Progress, standing_request};
use super::session::Session;
use super::{Exit, Failure, Global};
use crate::jobs::adoption;
pub(super) use crate::jobs::adoption::{Report, Verdict};
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
pub(super) async fn run(session: &Session, args: &Args, global: &Global) -> Result<Exit, Failure> {
    let zone = session.tz.zone(&args.naive_zone).map_err(Failure::usage)?;
    if args.undo {
        confirm("put the replaced tables back and drop periodd's", global.yes)?;
        let lost = adopted::undo(&session.database).await?;
        let lost = usize::try_from(lost).unwrap_or_default();
        session.screen.show(&Done(format!(
            "the replaced tables are back; {} recorded since the import went with periodd's",
            counted(lost, "metric")
        )))?;
        return Ok(Exit::Done);
    }
    if args.drop_legacy {
        confirm("drop the replaced tables for good", global.yes)?;
        let dropped = adopted::drop_legacy(&session.database).await?;
        session.screen.show(&Done(format!("dropped {}", dropped.join(", "))))?;
        return Ok(Exit::Done);
    }
    let Some(report) = adoption::report(&session.database, zone.name()).await? else {
        session.screen.show(&Done("there is nothing to import".to_owned()))?;
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
    confirm(&format!("replace {}", report.adoption.replaces.join(", ")), global.yes)?;
    let screen = session.screen.clone();
    let request = standing_request(&session.config.rollover, false);
    let progress = |step: &str| screen.note(step);
    let observer = Progress::observer(session);
    let opened =
        adoption::apply(&session.database, &session.tz, &report, &request, progress, observer);
    let opened = opened.await?;
    session.screen.show(&report)?;
    session.screen.note("imported; `periodd db verify` compares it with what there was");
    Ok(if opened.parked.is_empty() { Exit::Done } else { Exit::Partly })
}

/// Runs `db verify`.
pub(super) async fn verify(session: &Session) -> Result<Exit, Failure> {
    migrate::require_current(&session.database).await?;
    let verdict = adoption::verify(&session.database).await?;
    session.screen.show(&verdict)?;
    Ok(if verdict.is_good() { Exit::Done } else { Exit::Found })
}

/// No schedule does this, so a person has to mean it.
fn confirm(what: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!("this would {what}; add --yes to mean it")));
    }
    let mut stderr = std::io::stderr().lock();
    let mut answer = String::new();
    let asked = write!(stderr, "This will {what}. Go on? [y/N] ").and_then(|()| stderr.flush());
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        Ok(())
    } else {
        Err(Failure::refused("not confirmed; nothing was changed"))
    }
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
            found.row([Cell::number(finding.count), Cell::text(finding.what).tone(tone)]);
        }
        let mut steps = Table::new(["step", "what is done"]);
        let replaces = self.adoption.replaces.iter().map(|name| format!("{name} → {name}_legacy"));
        let views = self.adoption.drops.iter().map(|name| format!("the view {name} goes"));
        let room: Vec<String> = replaces.chain(views).collect();
        steps.row([Cell::number(1), Cell::text(format!("make room: {}", room.join(", ")))]);
        for (place, step) in self.adoption.steps.iter().enumerate() {
            steps.row([Cell::number(place + 2), Cell::text(step.what)]);
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
