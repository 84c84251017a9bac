//! The end of the story: what everything adds up to, and how to go on.

use std::path::Path;

use serde::Serialize;

use super::home::Home;
use super::months::{Outcome, Scene};
use crate::billing::{Instant, Quantity};
use crate::cli::output::{Cell, Output, Page, Table, Tone, or_unlimited};
use crate::command::shell_word;
use crate::store::reports::history::Total;

/// The whole answer.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Document<'a> {
    state_dir: String,
    config: String,
    mail_dir: String,
    from: Option<Instant>,
    #[serde(flatten)]
    outcome: Outcome,
    sound: bool,
    scenes: Vec<Scene>,
    commands: &'a [String],
}

impl<'a> Document<'a> {
    pub(super) fn new(
        home: &Home,
        from: Option<Instant>,
        scenes: Vec<Scene>,
        outcome: Outcome,
        commands: &'a Commands,
    ) -> Self {
        let sound = outcome.is_sound();
        let config = home.configuration().display().to_string();
        let state_dir = home.directory();
        let mail_dir = home.mail();
        Self { state_dir, config, mail_dir, from, outcome, sound, scenes, commands: &commands.0 }
    }
}

impl Output for Document<'_> {
    fn page(&self) -> Page {
        let Outcome { until, periods_closed, parked, totals, rules, emails, email } = &self.outcome;
        let day = until.timestamp().strftime("%-d %B %Y");
        let title = format!("{periods_closed} periods closed; what all closed periods add up to");
        let mut page = Page::new().line("").line(Cell::text(title).tone(Tone::Title)).line("");
        let legend = "carried: left in packs; uncovered: neither included nor covered by a pack";
        page = page.table(table(totals)).line(Cell::text(legend).tone(Tone::Faint)).line("");
        if let Some(email) = email {
            let title = "One of the emails that customers got";
            page = page.line(Cell::text(title).tone(Tone::Title)).line("");
            page = page.line(format!("  To: {}", email.to));
            page = page.line(format!("  Subject: {}", email.subject)).line("");
            let lines = email.text.trim_end().lines();
            page = lines.fold(page, |page, line| page.line(format!("  {line}").trim_end()));
            let rest = format!("All {emails} emails so far: {}", self.mail_dir);
            page = page.line("").line(Cell::text(rest).tone(Tone::Faint)).line("");
        }
        for org in parked {
            let sentence = format!("parked: {}, because {}", org.slug, org.reason);
            page = page.line(Cell::text(sentence).tone(Tone::Bad));
        }
        for rule in rules.iter().filter(|rule| rule.broken_by > 0) {
            let sentence = format!("broken: {} ({} rows)", rule.rule, rule.broken_by);
            page = page.line(Cell::text(sentence).tone(Tone::Bad));
        }
        if self.sound {
            let rules = rules.len();
            let [first, second] = [
                format!(
                    "The books of {day} pass all {rules} checks: periods are contiguous, usage is"
                ),
                "the sum of its metrics, and every unit of every pack is accounted for.".to_owned(),
            ];
            page = page.line(Cell::text(first).tone(Tone::Good));
            page = page.line(Cell::text(second).tone(Tone::Good));
        }
        page
    }
}

fn table(totals: &[Total]) -> Table {
    let mut table =
        Table::new(["org", "feature", "used", "included", "drawn", "carried", "uncovered"]);
    let mut last = "";
    for total in totals {
        let org = if total.org == last { "" } else { total.org.as_str() };
        last = &total.org;
        let amount = |quantity: Quantity, tone| {
            let tone = if quantity.is_zero() { Tone::Faint } else { tone };
            Cell::number(quantity).tone(tone)
        };
        table.row([
            Cell::text(org),
            Cell::text(total.feature.as_deref().unwrap_or("nothing yet")),
            Cell::number(total.used),
            Cell::number(or_unlimited(total.included)),
            amount(total.drawn, Tone::Good),
            amount(total.carried, Tone::Plain),
            amount(total.uncovered, Tone::Warning),
        ]);
    }
    table
}

/// Command lines to go on with, ready to be pasted.
pub(super) struct Commands(Vec<String>);

impl Commands {
    pub(super) fn new(home: &Home, until: Instant) -> Self {
        let program = program();
        let config = home.configuration().display().to_string();
        let config = shell_word(&config);
        let later = until.plus(jiff::SignedDuration::from_hours(31 * 24)).unwrap_or(until);
        let on_it = [
            "explain alster".to_owned(),
            "status".to_owned(),
            "orgs list".to_owned(),
            "packs list --org anfa".to_owned(),
            "alerts list".to_owned(),
            format!("rollover --dry-run --at {later}"),
            "db url".to_owned(),
        ];
        let mut lines: Vec<String> =
            on_it.iter().map(|rest| format!("{program} --config {config} {rest}")).collect();
        let directory = match home.asked() {
            Some(directory) => format!(" --state-dir {}", shell_word(&directory)),
            None => String::new(),
        };
        lines.push(format!("{program} demo{directory}"));
        lines.push(format!("{program} --config {config} dashboard --at {until} --open"));
        Self(lines)
    }

    /// The commands, under a sentence.
    pub(super) fn page(&self) -> Page {
        let page = Page::new().line("").line(Cell::text("Next commands").tone(Tone::Title));
        self.0.iter().fold(page, |page, line| page.line(format!("  {line}")))
    }
}

/// The program as a shell here finds it again.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "periodd".to_owned());
    let here = std::env::current_dir().ok();
    let below =
        here.and_then(|here| Path::new(&called).strip_prefix(here).ok().map(Path::to_owned));
    let short = match below {
        Some(below) if below.components().count() == 1 => format!("./{}", below.display()),
        Some(below) => below.display().to_string(),
        None => called,
    };
    shell_word(&short).into_owned()
}
