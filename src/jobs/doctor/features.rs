//! Are features the configured ones, and is any usage older than its org?

use super::{Context, named, orgs};
use crate::jobs::finding::{Check, Finding, Mend};
use crate::store::{StoreError, reports::doctor};

/// The features of the first migration: known, whether they are configured or not.
const SEEDED: [&str; 5] =
    ["minutes_transcribed", "sms_sent", "emails_sent", "scrapes", "ai_messages"];

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let mut findings = Vec::new();
    let configured = |name: &String| {
        let features = &context.config.features;
        SEEDED.contains(&name.as_str())
            || features.iter().any(|feature| feature.name.eq_ignore_ascii_case(name))
    };
    let mut unknown = doctor::features(&mut connection).await?;
    unknown.retain(|name| !configured(name));
    if !unknown.is_empty() {
        let what = format!(
            "usage of features that are not configured: {}; misspelt names count towards no limit",
            unknown.join(", ")
        );
        let advice = "add [[features]] blocks to the configuration, or correct the application";
        findings.push(Finding::warning(Check::Features, what).mend(Mend::advice(advice)));
    }
    let early = doctor::before_the_first_period(&mut connection).await?;
    if early.orgs > 0 {
        let who = named(&early.named, early.orgs);
        let what = format!(
            "{} recorded usage before their first period, which is not counted: {who}",
            orgs(early.orgs)
        );
        findings.push(Finding::note(Check::BeforeFirstPeriod, what));
    }
    Ok(findings)
}
