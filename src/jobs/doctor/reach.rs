//! How is the database reached: whose clock, what lies in between?

use jiff::SignedDuration;

use super::Patient;
use crate::clock;
use crate::jobs::finding::Finding;
use crate::store::{StoreError, doctor};

/// Clocks that differ by more than this are wrong.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let reach = doctor::reach(patient.database).await?;
    if reach.is_pooled {
        let what = "a pooler hands the database's connections on, and keeps prepared statements";
        findings.push(Finding::note("pooler", what));
    }
    if !reach.is_encrypted && !reach.is_local && !reach.is_pooled {
        let what = "the connection goes over a network in the clear";
        findings.push(Finding::problem("tls", what).mend("sslmode=verify-full in [database] url"));
    }
    let before = clock::now();
    let database = patient.database.now().await?;
    let after = clock::now();
    // Somewhere between the two looks at this machine's clock.
    let skew = before.since(database).max(database.since(after));
    if skew > SKEW {
        let what = format!("this machine's clock says {after}, the database's {database}");
        findings.push(
            Finding::problem("clock_skew", what).mend("timedatectl set-ntp true, on both machines"),
        );
    }
    Ok(findings)
}
