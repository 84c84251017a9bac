//! Is every org's open period in order?

use jiff::SignedDuration;

use super::{Patient, named, orgs};
use crate::jobs::finding::Finding;
use crate::store::doctor::Faulty;
use crate::store::{StoreError, doctor};

/// A period that ended longer ago than this is not merely waiting for the next pass.
const OUTDATED_AFTER: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = patient.database.connection().await?;
    let outdated_before = patient.now.plus(-OUTDATED_AFTER).unwrap_or(patient.now);
    let found = doctor::periods(&mut connection, outdated_before).await?;
    let roll_over = "periodd rollover";
    let import = "periodd db import --apply";
    let all = [
        ("no_period", &found.unopened, "have no open period, or half of one", roll_over),
        ("inverted_period", &found.inverted, "have a period that ends before it starts", import),
        ("inclusive_end", &found.inclusive, "have an inclusive end, such as 23:59:59.999", import),
        ("overdue", &found.outdated, "have a period that ended and is not closed", roll_over),
        (
            "not_touching",
            &found.not_touching,
            "have an open period that does not begin where the last one ended",
            "set current_period_start to the end of the last period in billing_periods",
        ),
    ];
    let finding = |(check, faulty, what, mend): (&'static str, &Faulty, &str, &str)| {
        let what = format!("{} {what}: {}", orgs(faulty.orgs), named(&faulty.named, faulty.orgs));
        (faulty.orgs > 0).then(|| Finding::problem(check, what).mend(mend))
    };
    Ok(all.into_iter().filter_map(finding).collect())
}
