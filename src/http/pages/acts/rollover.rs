//! Rolling over: one org, a zone, or all that are due.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Act, Plan};
use crate::billing::rollover::{Close, ClosedUsage};
use crate::billing::timeline::Early;
use crate::billing::{self, Instant, Quantity, Zone};
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::button::Button;
use crate::http::pages::clock::Clock;
use crate::http::pages::parts::{Cell, Table, Tone, grouped, sentence};
use crate::http::pages::times;
use crate::http::problem::{Code, Problem};
use crate::http::settings::of_sync;
use crate::http::shared::Shared;
use crate::jobs;
use crate::jobs::Entered;
use crate::jobs::catalogue::Job;
use crate::jobs::counts::RunCounts;
use crate::jobs::rollover::{self, Request, RolloverReport, Scope};
use crate::jobs::sync::targets_besides_defaults;
use crate::store::runs::schedules::Ended;
use crate::store::{orgs, reports::facts, rollover::claim};

/// Orgs whose plan a page works out: more is for the command, which shows how far it is.
const MOST: u64 = 2_000;
/// Closes that are shown.
const SHOWN: usize = 40;

/// Whose periods are closed: one org's, a zone's, or all that are due.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollOver {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// Also the open period, now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    early: bool,
}

/// What is closed of an org, as the fingerprint has it: of an early close neither its end, which is
/// now, nor what is used until then.
#[derive(Serialize)]
struct Closing<'a> {
    org: Uuid,
    closes: Vec<(Instant, Option<Instant>, &'a str, &'a [ClosedUsage])>,
    entries: Vec<(Uuid, &'static str, Quantity)>,
}

impl<'a> Closing<'a> {
    fn of(plan: &'a billing::rollover::Plan) -> Self {
        let is_early = plan.closes.iter().any(|close| close.is_early);
        let close = |close: &'a Close| {
            let end = (!close.is_early).then_some(close.period.end);
            let used = if close.is_early { &[] } else { close.features.as_slice() };
            (close.period.start, end, close.tier.as_str(), used)
        };
        let entries = plan.entries.iter().filter(|_| !is_early);
        Self {
            org: plan.org,
            closes: plan.closes.iter().map(close).collect(),
            entries: entries.map(|one| (one.pack, one.kind.name(), one.quantity)).collect(),
        }
    }
}

impl RollOver {
    async fn scope(&self, call: &Call) -> Result<Scope, Problem> {
        match (&self.org, &self.zone) {
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::Invalid, "name an org or a zone, and not both"))
            }
            (Some(org), None) => {
                Ok(Scope::Orgs(vec![call.org_named(&mut *call.turn().await?, org).await?]))
            }
            (None, Some(zone)) => {
                let zone = (call.shared.around.tz)().zone(zone);
                let zone = zone.map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
                Ok(Scope::Zone(zone.name().to_owned()))
            }
            (None, None) => Ok(Scope::All),
        }
    }

    fn command(&self) -> Command {
        let org = self.org.iter().flat_map(|org| ["--org", org.as_str()]);
        let zone = self.zone.iter().flat_map(|zone| ["--zone", zone.as_str()]);
        let early = self.early.then_some("--early");
        Command::periodd(["rollover"].into_iter().chain(org).chain(zone).chain(early))
    }

    async fn request(&self, shared: &Shared, scope: Scope) -> Result<Request, Problem> {
        let config = (shared.around.config)();
        let derived = targets_besides_defaults(&shared.around.database, &config.sync).await;
        let mut request = Request::standing(&config.rollover);
        request.policy.early = if self.early { Early::KeepEnd } else { Early::No };
        Ok(Request { scope, connections: 1, derived: derived.map_err(of_sync)?, ..request })
    }

    /// Refuses what is too much for a page.
    async fn fits(&self, call: &Call, scope: &Scope, now: Instant) -> Result<(), Problem> {
        let database = &call.shared.around.database;
        let orgs = match (scope, self.early) {
            (Scope::Orgs(orgs), _) => u64::try_from(orgs.len()).unwrap_or(u64::MAX),
            (Scope::Zone(zone), true) => count(orgs::count(database, Some(zone)).await?),
            (Scope::All, true) => count(orgs::count(database, None).await?),
            (Scope::Zone(zone), false) => {
                let due = facts::backlog(&mut *call.turn().await?, now).await?;
                let of_zone = due.iter().filter(|due| due.time_zone == *zone);
                of_zone.map(|due| count(due.orgs)).sum()
            }
            (Scope::All, false) => claim::count_due(&mut *call.turn().await?, now).await?,
        };
        if orgs <= MOST {
            return Ok(());
        }
        let (orgs, most) = (grouped(&orgs.to_string()), grouped(&MOST.to_string()));
        let detail = format!(
            "this concerns {orgs} orgs, and a page is for {most} at most; run `{}`",
            self.command()
        );
        Err(Problem::new(Code::Refused, detail))
    }

    /// Why nothing is to be done.
    async fn nothing(
        &self,
        call: &Call,
        scope: &Scope,
        report: &RolloverReport,
    ) -> Result<Option<String>, Problem> {
        if report.orgs > 0 || !report.parked.is_empty() {
            return Ok(None);
        }
        if let Some(young) = report.refused.first() {
            let sentence = format!(
                "The open period of {} began less than a minute ago, and is not closed early.",
                young.slug
            );
            return Ok(Some(sentence));
        }
        if let Scope::Orgs(orgs) = scope {
            for org in orgs {
                let database = &call.shared.around.database;
                if let Some(reason) = orgs::parked_reason(database, *org).await? {
                    return Ok(Some(sentence(&format!("the org is parked: {reason}"))));
                }
            }
        }
        Ok(Some("Nothing is due.".to_owned()))
    }
}

fn count(orgs: i64) -> u64 {
    u64::try_from(orgs).unwrap_or_default()
}

impl Act for RollOver {
    const PATH: &'static str = "/act/rollover";
    const SUMMARY: &'static str = "Closes ended periods of an org, of a zone or of all.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::optional("org", "Slug or id of the only org.", "acme", Kind::Text),
        Parameter::optional("zone", "The only time zone.", "Asia/Tokyo", Kind::Text),
        Parameter::optional("early", "Whether the open period is closed now.", "true", Kind::Flag),
    ];

    fn entered(&self) -> Entered {
        Job::Rollover.into()
    }

    fn heading(&self) -> String {
        let early = if self.early { ", the open period too" } else { "" };
        match (&self.org, &self.zone) {
            (Some(org), _) => format!("Roll over {org}{early}"),
            (None, Some(zone)) => format!("Roll over {zone}{early}"),
            (None, None) => format!("Roll over all that are due{early}"),
        }
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let scope = self.scope(call).await?;
        let around = &call.shared.around;
        let now = around.database.now().await?;
        self.fits(call, &scope, now).await?;
        let request = self.request(&call.shared, scope.clone()).await?;
        let pass = call.shared.turns.pass().await?;
        let request = Request { dry_run: true, ..request };
        let tz = (around.tz)();
        let mut report = rollover::run(&around.database, &tz, &request, Arc::new(|_| {})).await?;
        drop(pass);
        report.plans.sort_by_key(|plan| plan.org);
        report.parked.sort_by_key(|parked| parked.org);
        let closings: Vec<Closing<'_>> = report.plans.iter().map(Closing::of).collect();
        let mut plan = Plan::of(self, &(closings, &report.parked), &self.command());
        plan.nothing = self.nothing(call, &scope, &report).await?;
        plan.org = scope.only();
        let orgs = report.orgs + report.parked.len();
        plan.typed = (self.early || orgs > 1).then_some(orgs);
        if plan.nothing.is_none() {
            plan.says = says(&report, self.early);
            let table = closes(&report, |zone| {
                times::clock(call, tz.zone(zone).unwrap_or_else(|_| Zone::utc()), now)
            });
            plan.more = report.plans.len().saturating_sub(SHOWN);
            plan.tables.push(table);
        }
        if !self.early
            && let Some(org) = &self.org
        {
            let values = [("org", org.as_str()), ("early", "true")];
            plan.others.push(Button::to(Self::PATH, &values, "Close the open period early"));
        }
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        match self.roll_over(shared).await {
            Ok(report) => jobs::ended(Some(&RunCounts::from(&report)), None),
            Err(problem) => jobs::ended(None, Some(&problem.detail)),
        }
    }
}

/// What would be closed, in sentences.
fn says(report: &RolloverReport, is_early: bool) -> Vec<String> {
    let number = |count: usize, one: &str, more: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{} {more}", grouped(&count.to_string())),
    };
    let periods = number(report.periods_closed, "period", "periods");
    let mut says = vec![format!("Closes {periods} of {}.", number(report.orgs, "org", "orgs"))];
    if report.opened > 0 {
        let opened = number(report.opened, "first period", "first periods");
        says.push(format!("Opens {opened}."));
    }
    if is_early {
        says.push(
            "An early close opens a period with a full included quantity until its end.".to_owned(),
        );
    }
    for parked in report.parked.iter().take(SHOWN) {
        says.push(sentence(&format!("parks {}: {}", parked.slug, parked.reason)));
    }
    says
}

fn closes(report: &RolloverReport, clock: impl Fn(&str) -> Clock) -> Table {
    let head = ["Org", "From", "To", "Tier", "Feature", "Used#", "Included#", "From packs#"];
    let mut table = Table::new("Periods that close", &[&head[..], &["Uncovered#"]].concat());
    let mut plans: Vec<_> = report.plans.iter().collect();
    plans.sort_by(|one, other| one.slug.cmp(&other.slug));
    for plan in plans.into_iter().take(SHOWN) {
        let clock = clock(&plan.time_zone);
        for close in &plan.closes {
            let period = || {
                [
                    Cell::text(&plan.slug).link(format!("/orgs/{}", plan.org)),
                    Cell::at(clock.moment(close.period.start)),
                    Cell::at(clock.moment(close.period.end)),
                    Cell::text(&close.tier),
                ]
            };
            for usage in &close.features {
                let uncovered = Cell::number(usage.uncovered);
                let is_covered = usage.uncovered.is_zero();
                let of_feature = [
                    Cell::text(&usage.feature),
                    Cell::number(usage.used),
                    Cell::limit(usage.included.column()),
                    Cell::number(usage.drawn),
                    if is_covered { uncovered } else { uncovered.tone(Tone::Bad) },
                ];
                table.row(period().into_iter().chain(of_feature).collect::<Vec<_>>());
            }
            if close.features.is_empty() {
                let empty = [Cell::text("no usage"), Cell::empty(), Cell::empty()];
                let rest = empty.into_iter().chain([Cell::empty(), Cell::empty()]);
                table.row(period().into_iter().chain(rest).collect::<Vec<_>>());
            }
        }
    }
    table
}

impl RollOver {
    async fn roll_over(&self, shared: &Shared) -> Result<RolloverReport, Problem> {
        let around = &shared.around;
        let scope = match (&self.org, &self.zone) {
            (Some(org), _) => Scope::Orgs(vec![orgs::find(&around.database, org).await?]),
            (None, Some(zone)) => Scope::Zone(zone.clone()),
            (None, None) => Scope::All,
        };
        let request = self.request(shared, scope).await?;
        let tz = (around.tz)();
        Ok(rollover::run(&around.database, &tz, &request, Arc::new(|_| {})).await?)
    }
}
