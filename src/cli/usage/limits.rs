//! `periodd usage limits` and `usage check`: what an org may use.

use super::super::output::{Cell, Output, Page, Table, Tone, or_unlimited};
use super::super::session::Session;
use super::super::{Exit, Failure};
use crate::billing::Quantity;
use crate::command::Command;
use crate::store::orgs;
use crate::store::usage::limits::{self, Limit};

const LIMITS_NOTES: &str = "Examples:
  periodd usage limits --org acme
  periodd usage limits --org acme --feature minutes_transcribed";
const CHECK_NOTES: &str = "\
The exit code is 0 when the quantity is allowed and 3 when it is not. Nothing is reserved. To check
and count in one step, call increment_feature_usage.

Examples:
  periodd usage check --org acme --feature AI_MESSAGES
  periodd usage check --org acme --feature minutes_transcribed --quantity 45";

/// What `periodd usage limits` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = LIMITS_NOTES)]
pub(super) struct Limits {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Only this feature
    #[arg(long, value_name = "F")]
    feature: Option<String>,
}

/// What `periodd usage check` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = CHECK_NOTES)]
pub(super) struct Check {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Feature that would be used
    #[arg(long, value_name = "F")]
    feature: String,
    /// Quantity that would be used
    #[arg(long, value_name = "Q", default_value = "1", allow_negative_numbers = true)]
    quantity: Quantity,
}

/// Runs `usage limits`.
pub(super) async fn limits(session: &Session, args: &Limits) -> Result<(), Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    if let Some(feature) = &args.feature {
        limits::require_feature(&session.database, feature).await?;
    }
    let at = session.now().await?;
    let mut connection = session.database.connection().await?;
    session.screen.show(&All(limits::of(&mut connection, org, args.feature.as_deref(), at).await?))
}

/// Runs `usage check`.
pub(super) async fn check(session: &Session, args: &Check) -> Result<Exit, Failure> {
    if !args.quantity.is_positive() {
        return Err(Failure::usage(format!(
            "--quantity {} must be greater than zero",
            args.quantity
        )));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    limits::require_feature(&session.database, &args.feature).await?;
    let at = session.now().await?;
    let mut connection = session.database.connection().await?;
    let found = limits::of(&mut connection, org, Some(&args.feature), at).await?;
    let Some(limit) = found.into_iter().next() else {
        return Err(Failure::failed(format!("unknown feature for {}", args.org)));
    };
    let is_open = limit.period_start.is_some();
    let fits = limit.remaining.is_none_or(|remaining| args.quantity <= remaining);
    let allowed = is_open && fits;
    session.screen.show(&Checked { allowed, quantity: args.quantity, limit })?;
    Ok(if allowed { Exit::Done } else { Exit::Found })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct All(Vec<Limit>);

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Checked {
    allowed: bool,
    quantity: Quantity,
    #[serde(flatten)]
    limit: Limit,
}

impl Output for All {
    fn page(&self) -> Page {
        if self.0.is_empty() {
            return Page::new().line("no limits, packs or usage");
        }
        let headings = ["feature", "used", "included", "purchased left", "limit", "left", "%"];
        let mut table = Table::new(headings);
        for limit in &self.0 {
            let percent = limit.percent.map(|percent| percent.to_string()).unwrap_or_default();
            table.row([
                Cell::text(&limit.feature),
                Cell::number(limit.used),
                Cell::number(or_unlimited(limit.included)),
                Cell::number(limit.purchased_remaining),
                Cell::number(or_unlimited(limit.effective_limit)),
                Cell::number(or_unlimited(limit.remaining)),
                Cell::number(percent),
            ]);
        }
        table.into()
    }
}

impl Output for Checked {
    fn page(&self) -> Page {
        let Self { allowed, quantity, limit } = self;
        let (word, tone) =
            if *allowed { ("allowed", Tone::Good) } else { ("not allowed", Tone::Bad) };
        let used = format!(
            ": {quantity} {}; {} of {} are used, {} left, {} of them purchased",
            limit.feature,
            limit.used,
            or_unlimited(limit.effective_limit),
            or_unlimited(limit.remaining),
            limit.purchased_remaining
        );
        let page = Page::new().parts([Cell::text(word).tone(tone), Cell::text(used)]);
        if limit.period_start.is_none() {
            let rollover = Command::periodd(["rollover"]);
            return page.line(format!("no open period contains this time: run `{rollover}`"));
        }
        page
    }
}
