//! Are the books right: packs conserved, usage the sum of its metrics, periods touching?

use super::Patient;
use crate::jobs::finding::Finding;
use crate::store::{StoreError, verify};

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let rules = verify::rules(patient.database).await?;
    let broken = rules.into_iter().filter(|rule| rule.broken_by > 0);
    Ok(broken.map(|broken| finding(broken.rule, broken.broken_by)).collect())
}

fn finding(rule: &str, rows: usize) -> Finding {
    let (check, mend) = match rule {
        "counters are their metrics" => ("drift", "periodd sync --full"),
        "closed usage is its metrics" => ("late_usage", "periodd sync"),
        "ends reach far enough" => ("following_ends", "periodd rollover"),
        "packs are conserved" => ("packs", "periodd packs list, beside the ledger overage_entries"),
        _ => ("books", "periodd db verify names the rows; restore them from a backup"),
    };
    let plural = if rows == 1 { "row breaks" } else { "rows break" };
    let what = format!("it should be that {rule}, and {rows} {plural} that");
    Finding::problem(check, what).mend(mend)
}
