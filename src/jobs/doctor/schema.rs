//! Is the schema what this program needs, and as the contract has it?

use super::Context;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::status::left_out;
use crate::jobs::sync;
use crate::store::{
    StoreError,
    db::{migrate, roles},
    reports::doctor,
};

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let migrations = migrate::status(context.database).await?;
    let missing = migrations.iter().filter(|migration| migration.applied_at.is_none());
    let missing: Vec<String> = missing.map(|migration| migration.version.to_string()).collect();
    if !missing.is_empty() {
        let what = format!("these migrations are not applied: {}", missing.join(", "));
        let migrate = Mend::periodd(["db", "migrate"]);
        return Ok(vec![Finding::problem(Check::Migrations, what).mend(migrate)]);
    }
    let mut connection = context.database.connection().await?;
    let faults = doctor::schema(&mut connection).await?.into_iter();
    let finding = |fault: doctor::SchemaFault| {
        let mend = fault.repair().map_or_else(|| Mend::advice(fault.advice()), Mend::Sql);
        Finding::problem(Check::Schema, fault.to_string()).mend(mend)
    };
    let mut findings: Vec<Finding> = faults.map(finding).collect();
    for creator in roles::creators(&mut connection).await? {
        let what = format!(
            "{} may create objects in the schema {}, which would run with periodd's rights",
            creator.role, creator.schema
        );
        findings.push(Finding::problem(Check::Schema, what).mend(Mend::sql(creator.revoke())));
    }
    drop(connection);
    let found = sync::targets(context.database, &context.config.sync).await;
    match found {
        Ok(columns) => findings.extend(columns.left_out.iter().map(left_out)),
        Err(sync::Error::Refused(_)) => {}
        Err(sync::Error::Derived { key, sentence }) => {
            let what = format!("{key}: {sentence}");
            let advice = "correct the table, or this key of the configuration";
            findings.push(Finding::problem(Check::Schema, what).mend(Mend::advice(advice)));
        }
        Err(sync::Error::Store(error)) => return Err(error),
    }
    Ok(findings)
}
