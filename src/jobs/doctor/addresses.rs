//! Can every address be written to that an org's emails go to?

use super::Context;
use crate::billing::address::{check as check_address, trimmed};
use crate::jobs::finding::Finding;
use crate::jobs::mail_findings::unusable;
use crate::store::{StoreError, reports::doctor};

/// Addresses that are named.
const NAMED: usize = 20;

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let mut findings = Vec::new();
    doctor::addresses(&mut connection, |row| {
        if findings.len() < NAMED
            && let Err(invalid) = check_address(trimmed(&row.email))
        {
            findings.push(unusable(&row.org, &row.email, invalid.why));
        }
    })
    .await?;
    Ok(findings)
}
