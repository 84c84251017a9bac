//! `periodd rollover`: close what has ended, now.

use std::io::IsTerminal;
use std::sync::Arc;

use super::output::{Cell, Output, Page, Tone, counted, or_unlimited};
use super::session::{Schema, Session, with_session};
use super::sync::{columns_left_out, parked_orgs, skipped, targets_besides_defaults};
use super::times::{Local, Times};
use super::{Exit, Failure, Global};
use crate::billing::rollover::Plan;
use crate::billing::timeline::Early;
use crate::billing::when::shown_in_utc;
use crate::billing::{Anchor, Period, Quantity};
use crate::config;
use crate::jobs::catalogue::Job;
use crate::jobs::pace::{self, Pace};
use crate::jobs::rollover::{self, Request, RolloverReport, Scope};
use crate::jobs::settings;
use crate::store::{orgs, rollover::claim};

const NOTES: &str = "Examples:
  periodd rollover
  periodd rollover --dry-run
  periodd rollover --org acme --early
  periodd rollover --org acme --early --re-anchor --tier pro --dry-run
  periodd rollover --at yesterday";

/// What `periodd rollover` is asked.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Only this org (slug or id); may be repeated
    #[arg(long = "org", value_name = "ORG", conflicts_with = "zone")]
    orgs: Vec<String>,
    /// Only the orgs in this time zone
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Also close the open period now; the new one keeps its end
    #[arg(long)]
    early: bool,
    /// With --early: begin a full period here, anchored on this day and time of day
    #[arg(long, requires_all = ["early", "orgs"])]
    re_anchor: bool,
    /// With --re-anchor: the tier from here on
    #[arg(long, value_name = "TIER", requires = "re_anchor")]
    tier: Option<String>,
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Trust the database's clock even though it moved differently from elapsed time
    #[arg(long, conflicts_with = "dry_run")]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Current, async |session| {
        let scope = scope(session, args).await?;
        let at = session.business_time(args.dry_run).await?;
        if let Some(tier) = &args.tier {
            known_tier(session, tier).await?;
        }
        if args.early && !args.dry_run {
            confirm_early(session, &scope).await?;
        }
        session.believe_clock(args.force).await?;
        let org = scope.only();
        let request = request(&session.config.rollover, scope, args, at);
        let derived = targets_besides_defaults(session).await?;
        let request = Request { derived, ..request };
        let request = Request { stop: session.stop_between_batches(), ..request };
        session
            .recorded(Job::Rollover, args.dry_run, org, async |_| {
                let (database, tz) = (&session.database, &session.tz);
                let progress = Progress::of(session, &request).await?;
                let report = rollover::run(database, tz, &request, progress).await?;
                let (exit, counts) = (exit(&report, args.dry_run), (&report).into());
                let exit = session.exit(exit);
                let times = session.times().await?;
                session.screen.show(&Answer { dry_run: args.dry_run, report, times })?;
                Ok((exit, counts))
            })
            .await
    })
}

async fn scope(session: &Session, args: &Args) -> Result<Scope, Failure> {
    if let Some(zone) = &args.zone {
        let zone = session.tz.zone(zone).map_err(Failure::usage)?;
        return Ok(Scope::Zone(zone.name().to_owned()));
    }
    if args.orgs.is_empty() {
        return Ok(Scope::All);
    }
    Ok(Scope::Orgs(session.named_orgs(&args.orgs).await?))
}

/// The job's request, from the configuration and the flags.
pub(crate) fn request(
    config: &config::sections::Rollover,
    scope: Scope,
    args: &Args,
    at: Option<crate::billing::Instant>,
) -> Request {
    let mut request = Request { scope, at, dry_run: args.dry_run, ..Request::standing(config) };
    request.policy.early = match (args.early, args.re_anchor) {
        (false, _) => Early::No,
        (true, false) => Early::KeepEnd,
        (true, true) => Early::Restart { tier: args.tier.clone() },
    };
    request
}

async fn known_tier(session: &Session, tier: &String) -> Result<(), Failure> {
    let known = settings::tiers(&session.database).await?;
    if known.contains(tier) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(Failure::usage(format!("unknown tier `{tier}`; known tiers: {known}")))
}

/// No schedule closes a period early, so a person has to mean it; also that each grants a whole
/// included quantity once more.
async fn confirm_early(session: &Session, scope: &Scope) -> Result<(), Failure> {
    let count = async |zone| {
        let orgs = orgs::count(&session.database, zone).await?;
        Ok::<_, Failure>(usize::try_from(orgs).unwrap_or(usize::MAX))
    };
    let orgs = match scope {
        Scope::Orgs(ids) => ids.len(),
        Scope::Zone(zone) => count(Some(zone.as_str())).await?,
        Scope::All => count(None).await?,
    };
    session.screen.note(EARLY_GRANTS);
    let deed = "grant a whole included quantity once more, and close the open period";
    session.confirm(orgs, deed).await
}

/// What an early close gives away.
const EARLY_GRANTS: &str =
    "note: an early close opens a period with a full included quantity until its end";

fn exit(report: &RolloverReport, dry_run: bool) -> Exit {
    if !report.refused.is_empty() {
        return if report.orgs == 0 { Exit::Refused } else { Exit::Partly };
    }
    let is_whole =
        report.parked.is_empty() && report.skipped.is_empty() && report.columns_left_out.is_empty();
    match (dry_run, is_whole, report.orgs) {
        (true, true, 0) | (false, true, _) => Exit::Done,
        (true, _, _) => Exit::Found,
        (false, false, _) => Exit::Partly,
    }
}

/// How far a run is: a bar on a terminal, a line every ten seconds elsewhere.
pub(crate) struct Progress;

impl Progress {
    /// An observer of a run of which nobody knows how much there is to do.
    pub(crate) fn observer(session: &Session) -> rollover::Observer {
        Self::towards(session, None)
    }

    /// An observer of a rollover that was asked for. Only who looks at a bar is told how many orgs
    /// are due: to count them takes longer than to find that there are none.
    async fn of(session: &Session, request: &Request) -> Result<rollover::Observer, Failure> {
        if !std::io::stderr().is_terminal() {
            return Ok(Self::towards(session, None));
        }
        let total = match (&request.scope, request.policy.early.closes()) {
            (Scope::Orgs(ids), _) => Some(ids.len() as u64),
            (Scope::All, false) => {
                let now = match request.at {
                    Some(at) => at,
                    None => session.database.now().await?,
                };
                let mut connection = session.database.connection().await?;
                Some(claim::count_due(&mut connection, now).await?)
            }
            (Scope::All | Scope::Zone(_), _) => None,
        };
        Ok(Self::towards(session, total.filter(|total| *total > 0)))
    }

    fn towards(session: &Session, total: Option<u64>) -> rollover::Observer {
        let screen = session.screen.clone();
        if !std::io::stderr().is_terminal() {
            let pace = Pace::new(pace::EVERY);
            return Arc::new(move |report: &RolloverReport| {
                if pace.is_due() {
                    screen.note(&line(report));
                }
            });
        }
        let Some(total) = total else {
            let spinner = screen.spinner();
            return Arc::new(move |report: &RolloverReport| spinner.set_message(line(report)));
        };
        let bar = screen.progress(total, "rollover");
        Arc::new(move |report: &RolloverReport| {
            let done = (report.orgs + report.parked.len()) as u64;
            // More may have fallen due since they were counted.
            if done > total {
                bar.set_length(done);
            }
            bar.set_position(done);
        })
    }
}

fn line(report: &RolloverReport) -> String {
    let (orgs, periods) = (counted(report.orgs, "org"), counted(report.periods_closed, "period"));
    format!("rollover: {orgs}, {periods} closed")
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Answer {
    dry_run: bool,
    #[serde(flatten)]
    report: RolloverReport,
    #[serde(skip)]
    times: Times,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let RolloverReport { orgs, periods_closed, opened, parked, refused, plans, .. } =
            &self.report;
        let mut page = Page::new();
        let mut plans: Vec<&Plan> = plans.iter().collect();
        plans.sort_by(|one, other| one.slug.cmp(&other.slug));
        for plan in plans {
            page = plan_page(page, plan, &self.times.local(&plan.time_zone));
        }
        page = parked_orgs(page, parked);
        page = skipped(page, &self.report.skipped);
        page = columns_left_out(page, &self.report.columns_left_out);
        for org in refused {
            let sentence = format!(
                "{}: its open period began at {}, less than a minute ago, and is not closed \
                 early, because that would grant a full included quantity again; to do so anyway, \
                 try again in a minute",
                org.slug,
                shown_in_utc(org.since)
            );
            page = page.line(Cell::text(sentence).tone(Tone::Bad));
        }
        if *orgs == 0 && !refused.is_empty() && parked.is_empty() {
            return page;
        }
        if *orgs == 0 {
            let is_all = parked.is_empty() && self.report.skipped.is_empty();
            let nothing = if is_all { "nothing is due" } else { "nothing else is due" };
            return page.line(nothing);
        }
        let verb = if self.dry_run { "would close" } else { "closed" };
        let opened = if *opened == 0 { String::new() } else { format!(", {opened} of them new") };
        let periods = counted(*periods_closed, "period");
        page.line(format!("{verb} {periods} of {}{opened}", counted(*orgs, "org")))
    }
}

/// What a dry run says about one org.
fn plan_page(page: Page, plan: &Plan, times: &Local) -> Page {
    let period = |period: Period| format!("{} to {}", times.at(period.start), times.at(period.end));
    let mut page = page.line(Cell::text(&plan.slug).tone(Tone::Title));
    for close in &plan.closes {
        page = page.line(format!("close {} on tier {}", period(close.period), close.tier));
        if close.merged > 1 {
            let uncovered: Vec<String> = close
                .features
                .iter()
                .filter(|usage| usage.uncovered > Quantity::ZERO)
                .map(|usage| format!("{} {}", usage.uncovered, usage.feature))
                .collect();
            let uncovered = if uncovered.is_empty() {
                "nothing is left uncovered".to_owned()
            } else {
                format!("{} are left uncovered", uncovered.join(", "))
            };
            page = page.line(format!(
                "  {} missed periods closed as one, with one included quantity although usage was \
                 allowed by {}: {uncovered}",
                close.merged, close.merged
            ));
        }
        if close.is_early {
            page = page.line("  early: the new period grants a full included quantity");
        }
        if close.is_paused {
            page = page.line("  paused: nothing is included, and no pack pays");
        }
        for usage in &close.features {
            if usage.is_level {
                page = page.line(format!(
                    "  {}: level {} of {}, carried over, {} uncovered",
                    usage.feature,
                    usage.used,
                    or_unlimited(usage.included.column()),
                    usage.uncovered
                ));
                continue;
            }
            page = page.line(format!(
                "  {}: {} used of {}, {} drawn from packs, {} uncovered",
                usage.feature,
                usage.used,
                or_unlimited(usage.included.column()),
                usage.drawn,
                usage.uncovered
            ));
        }
    }
    for entry in &plan.entries {
        let (kind, quantity) = (entry.kind.name(), entry.quantity);
        let (pack, left) = (entry.pack, entry.remaining);
        page = page.line(format!("pack {pack}: {quantity} {kind}, {left} left"));
    }
    if let Some(change) = &plan.subscription {
        page = page.line(format!("tier {} → {}", change.before.tier, change.after.tier));
    }
    page = page.line(format!("open  {}", period(plan.open)));
    if let Some(Anchor { day, month, time }) = plan.anchored {
        page = page.line(format!("anchored on day {day}, month {month}, at {time}"));
    }
    page.line("")
}
