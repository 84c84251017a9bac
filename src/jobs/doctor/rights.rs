//! May applications and end users do what they should, and nothing besides?

use super::Patient;
use crate::jobs::finding::Finding;
use crate::store::roles::Audience;
use crate::store::{StoreError, doctor};

pub(super) async fn check(patient: &Patient<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = patient.database.connection().await?;
    let rights = doctor::rights(&mut connection).await?;
    let mut findings = Vec::new();
    let with_roles = "periodd db migrate --with-roles";
    for missing in rights.missing_roles().into_iter().filter(|_| rights.are_given) {
        let what = format!("there is no role {missing}, and the other one has its rights");
        findings.push(Finding::problem("rights", what).mend(with_roles));
    }
    for role in [Audience::App, Audience::Member].map(Audience::role) {
        let of = |list: &[doctor::Right]| -> Vec<String> {
            let of_role = list.iter().filter(|right| right.role == role);
            of_role.map(|right| format!("{} on {}", right.privilege, right.object)).collect()
        };
        let (lacking, excessive) = (of(&rights.lacking), of(&rights.excessive));
        if rights.are_given && !lacking.is_empty() {
            let what = format!("{role} lacks {}", lacking.join(", "));
            findings.push(Finding::problem("rights", what).mend(with_roles));
        }
        if !excessive.is_empty() {
            let what = format!("{role} has more than it should: {}", excessive.join(", "));
            let revoke =
                excessive.iter().map(|right| format!("revoke {right} from {role}, public"));
            let mend = revoke.collect::<Vec<_>>().join("; ");
            findings.push(Finding::problem("rights", what).mend(mend));
        }
    }
    for table in rights.unseen_by_the_app.iter().filter(|_| rights.are_given) {
        let what = format!("periodd_app sees no row of {table}: the policy of_the_app is missing");
        findings.push(Finding::problem("rights", what).mend(with_roles));
    }
    Ok(findings)
}
