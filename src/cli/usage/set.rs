//! `periodd usage set`: the level of a feature that does not reset.

use uuid::Uuid;

use super::super::Failure;
use super::super::output::{Output, Page, or_unlimited};
use super::super::session::Session;
use crate::billing::Quantity;
use crate::billing::usage::Key;
use crate::store::orgs;
use crate::store::usage::level::{self, NewLevel};

const NOTES: &str = "\
Only features with `kind = \"level\"` are set, such as storage or seats. The allowance is not
checked; to add to a level within it, call increment_feature_usage.

Examples:
  periodd usage set --org acme --feature seats --level 12
  periodd usage set --org acme --feature storage_gb --level 81.5 --key backup-2026-12-01";

/// What `periodd usage set` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Set {
    /// Slug or id
    #[arg(long, value_name = "ORG")]
    org: String,
    /// Feature of kind level
    #[arg(long, value_name = "F")]
    feature: String,
    /// The level from now on, with at most 6 decimals
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    level: Quantity,
    /// Idempotency key; a repeated key sets nothing
    #[arg(long, value_name = "K")]
    key: Option<Key>,
}

/// Runs the command.
pub(super) async fn set(session: &Session, args: &Set) -> Result<(), Failure> {
    if args.level.is_negative() {
        return Err(Failure::usage(format!("--level {} must not be negative", args.level)));
    }
    let org = orgs::find(&session.database, &args.org).await?;
    let (feature, level) = (args.feature.to_lowercase(), args.level);
    let key = args.key.as_ref().map(Key::to_string);
    let set_at = session.believed_now().await?;
    let wanted = NewLevel { org, feature: feature.clone(), level, set_at, key };
    let set = level::set(&session.database, &wanted).await?;
    session.screen.show(&Answer {
        org,
        feature,
        level: set.level,
        changed_by: set.changed_by,
        effective_limit: set.effective_limit,
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Answer {
    org: Uuid,
    feature: String,
    /// As it stands now.
    level: Quantity,
    /// By how much this call changed it.
    changed_by: Quantity,
    /// The allowance; null: unlimited.
    effective_limit: Option<Quantity>,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let Self { feature, level, changed_by, effective_limit, .. } = self;
        let limit = or_unlimited(*effective_limit);
        if changed_by.is_zero() {
            return Page::new().line(format!("nothing changed: {level} of {limit} {feature}"));
        }
        let sign = if changed_by.is_positive() { "+" } else { "" };
        Page::new().line(format!("{level} of {limit} {feature} ({sign}{changed_by})"))
    }
}
