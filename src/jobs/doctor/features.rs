//! Are features the configured ones, and is any usage older than its org?

use super::{Patient, named, orgs};
use crate::jobs::finding::Finding;
use crate::store::{StoreError, doctor};

/// The features of the first migration: known, whether they are configured or not.
const SEEDED: [&str; 5] =
    ["minutes_transcribed", "sms_sent", "emails_sent", "scrapes", "ai_messages"];

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = patient.database.connection().await?;
    let mut findings = Vec::new();
    let configured = |name: &String| {
        let features = &patient.config.features;
        SEEDED.contains(&name.as_str())
            || features.iter().any(|feature| feature.name.eq_ignore_ascii_case(name))
    };
    let mut unknown = doctor::features(&mut connection).await?;
    unknown.retain(|name| !configured(name));
    if !unknown.is_empty() {
        let what = format!(
            "usage named features that the configuration does not: {}; a misspelling counts for \
             nobody's limit",
            unknown.join(", ")
        );
        let mend = "add [[features]] blocks, then periodd tiers apply; or correct the application";
        findings.push(Finding::warning("features", what).mend(mend));
    }
    let early = doctor::before_the_first_period(&mut connection).await?;
    if early.orgs > 0 {
        let who = named(&early.named, early.orgs);
        let what = format!(
            "{} used something before their first period, which counts in none: {who}",
            orgs(early.orgs)
        );
        findings.push(Finding::note("before_first_period", what));
    }
    Ok(findings)
}
