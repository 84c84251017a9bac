//! Does every column hold what it may, and does the schema see to it?

use super::Context;
use crate::jobs::cells;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::store::StoreError;
use crate::store::usage::ranges::{self, Scope};

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let mut findings = cells::unreadable(&mut connection, Scope::All).await?;
    let open = ranges::unguarded(&mut connection).await?.into_iter();
    findings.extend(open.map(|(table, column, is_missing)| {
        let state = if is_missing { "was dropped" } else { "is not validated" };
        let what = format!(
            "the constraint {table}_{column}_range {state}: {table}.{column} may contain values \
             that periodd cannot read"
        );
        Finding::warning(Check::Ranges, what).mend(Mend::periodd(["db", "migrate"]))
    }));
    Ok(findings)
}
