//! Did somebody go by half? An org or a user that an application deleted or moved by hand leaves
//! something behind.

use super::Context;
use crate::command::Command;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::store::StoreError;
use crate::store::reports::departures as store;

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let mut findings = Vec::new();
    for stray in store::strays(&mut connection).await? {
        let (org, user) = (&stray.org, stray.user.to_string());
        let finding = match &stray.now_in {
            None => {
                let what = format!("user {user} of {org} was deleted, but counters still name it");
                let erase = ["users", "erase", &user, "--org", org, "--yes"];
                Finding::warning(Check::Departures, what).mend(Mend::periodd(erase))
            }
            Some(now_in) => {
                let what = format!(
                    "user {user} was moved from {org} to {now_in}, but its usage in the open \
                     period is still {org}'s"
                );
                let merge = Command::periodd(["orgs", "merge", org, now_in, "--dry-run"]);
                let advice = format!(
                    "set users.organization_id back until {org}'s period is closed; `{merge}` \
                     shows how a whole org moves"
                );
                Finding::warning(Check::Departures, what).mend(Mend::advice(advice))
            }
        };
        findings.push(finding);
    }
    for revenant in store::revenants(&mut connection).await? {
        let org = &revenant.org;
        let finding = if revenant.metrics > 0 {
            let what = format!("usage was recorded for {org}, which is removed; nobody counts it");
            let advice = "have the application record this usage for another org, and delete the \
                          metrics";
            Finding::warning(Check::Departures, what).mend(Mend::advice(advice))
        } else {
            let what = format!("{org} is removed, but has users or contacts again");
            let remove = Mend::periodd(["orgs", "remove", org, "--yes"]);
            Finding::warning(Check::Departures, what).mend(remove)
        };
        findings.push(finding);
    }
    for token in store::tokens(&mut connection).await? {
        let what = format!("token {token} is for an org that is gone");
        let revoke = Mend::periodd(["tokens", "revoke", &token]);
        findings.push(Finding::warning(Check::Departures, what).mend(revoke));
    }
    Ok(findings)
}
