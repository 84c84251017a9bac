//! Is the schema what this program needs, and as the contract has it?

use super::Patient;
use crate::jobs::finding::Finding;
use crate::store::{StoreError, doctor, migrate};

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let migrations = migrate::status(patient.database).await?;
    let missing = migrations.iter().filter(|migration| migration.applied_at.is_none());
    let missing: Vec<String> = missing.map(|migration| migration.version.to_string()).collect();
    if !missing.is_empty() {
        let what = format!("these migrations are not applied: {}", missing.join(", "));
        return Ok(vec![Finding::problem("migrations", what).mend("periodd db migrate")]);
    }
    let mut connection = patient.database.connection().await?;
    let faults = doctor::schema(&mut connection).await?.into_iter();
    let finding = |what: String| {
        let mend = mend(&what).to_owned();
        Finding::problem("schema", what).mend(mend)
    };
    Ok(faults.map(finding).collect())
}

/// What a person does about a fault of the schema; periodd changes nobody's schema by itself.
fn mend(what: &str) -> &'static str {
    match what.split_whitespace().next_back() {
        _ if what.contains(" trigger ") => "drop trigger, and do the same in the application",
        _ if what.contains("not validated") => "alter table … validate constraint …",
        _ if what.contains("not valid:") => "reindex index concurrently …",
        _ if what.contains("rounds") => "alter table … alter column … type numeric",
        _ if what.contains("forces") => "alter table … no force row level security",
        _ if what.contains("no row-level") => "alter table … enable row level security",
        _ => "connect as the tables' owner: [database] url",
    }
}
