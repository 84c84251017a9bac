//! Values that cannot be read, as findings: table, column, row and value, and what repairs each.

use super::finding::{Check, Finding, Mend};
use crate::store::usage::ranges::{self, Broken, Scope};
use crate::store::{Connection, StoreError};

/// Finds them; nothing is read where the schema leaves no room for any.
pub async fn unreadable(
    connection: &mut Connection,
    scope: Scope,
) -> Result<Vec<Finding>, StoreError> {
    let broken = ranges::broken(connection, scope).await?;
    Ok(broken.iter().flat_map(of_column).collect())
}

fn of_column(broken: &Broken) -> Vec<Finding> {
    let finding = |what: String| Finding::problem(Check::Unreadable, what);
    let mut findings: Vec<Finding> = broken
        .cells
        .iter()
        .map(|cell| {
            let repair = cell
                .repair
                .clone()
                .map_or_else(|| Mend::advice("restore this row from a backup"), Mend::Sql);
            let what = format!("a value cannot be read: {}", cell.sentence(broken));
            finding(what).mend(repair)
        })
        .collect();
    let named = i64::try_from(broken.cells.len()).unwrap_or(i64::MAX);
    if broken.rows > named {
        let Broken { table, column, rows, .. } = broken;
        let again = "repair these first; the others are named after that";
        let what = format!("{} more rows of {table}.{column} have it", rows - named);
        findings.push(finding(what).mend(Mend::advice(again)));
    }
    findings
}
