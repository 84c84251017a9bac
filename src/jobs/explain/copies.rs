//! Stored copies of a number, and whether they agree.

use crate::billing::{Instant, Quantity};
use crate::jobs::sync;
use crate::store::audit::derived::{Target, Which};
use crate::store::reports::explain::OrgRow;
use crate::store::{Connection, StoreError};

/// Copies of one column that are shown because they do not agree: a column of users may have many.
const WRONG_SHOWN: usize = 10;

/// A stored copy of a number.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Copy {
    /// Where it is: `table.column`, and whose it is where that is not the org.
    pub column: String,
    /// What it holds; null: nothing yet.
    pub holds: Option<Quantity>,
    /// What it should hold.
    pub should: Quantity,
    /// Whether they are equal.
    pub agrees: bool,
}

impl Copy {
    pub(super) fn new(column: &str, holds: Quantity, should: Quantity) -> Self {
        let agrees = holds == should;
        Self { column: column.to_owned(), holds: Some(holds), should, agrees }
    }
}

/// Reads what the configured columns hold of an org's numbers, each with its feature. A column of
/// users is one copy, all of them added up, unless some do not agree: then it is those.
pub(super) async fn of_columns(
    connection: &mut Connection,
    targets: &[Target],
    org: &OrgRow,
    now: Instant,
) -> Result<Vec<(String, Copy)>, StoreError> {
    let mut copies = Vec::new();
    for target in targets {
        let cells = target.read(connection, &[org.id], Which::Any, now).await?;
        let (mut sum, mut wrong) = (Quantity::ZERO, Vec::new());
        for cell in &cells {
            let should = sync::due(target, cell)?.value;
            sum = sum.plus(should).unwrap_or(sum);
            if cell.held != Some(should) {
                let column = if cell.key == org.id {
                    target.name.clone()
                } else {
                    format!("{} of {}", target.name, cell.key)
                };
                wrong.push(Copy { column, holds: cell.held, should, agrees: false });
            }
        }
        if wrong.is_empty() && !cells.is_empty() {
            wrong.push(Copy::new(&target.name, sum, sum));
        }
        let shown = wrong.into_iter().take(WRONG_SHOWN);
        copies.extend(shown.map(|copy| (target.feature.clone(), copy)));
    }
    Ok(copies)
}
