//! May applications and end users do what they should, and nothing besides?

use std::collections::BTreeMap;

use super::Context;
use crate::command::Command;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::store::db::role_names::Audience;
use crate::store::{StoreError, reports::doctor};

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut connection = context.database.connection().await?;
    let rights = doctor::rights(&mut connection).await?;
    let mut findings = Vec::new();
    let with_roles = || Mend::periodd(["db", "migrate", "--with-roles"]);
    for missing in rights.missing_roles().into_iter().filter(|_| rights.are_given) {
        let what = format!("the role {missing} does not exist, but the other one does");
        findings.push(Finding::problem(Check::Rights, what).mend(with_roles()));
    }
    for role in Audience::ALL.map(|audience| rights.names().name(audience)) {
        let of = |list: &[doctor::Right]| -> Vec<String> {
            let of_role = list.iter().filter(|right| right.role == role);
            of_role.map(|right| format!("{} on {}", right.privilege, right.object)).collect()
        };
        let (lacking, excessive) = (of(&rights.lacking), of(&rights.excessive));
        if rights.are_given && !lacking.is_empty() {
            let what = format!("{role} lacks {}", lacking.join(", "));
            findings.push(Finding::problem(Check::Rights, what).mend(with_roles()));
        }
        if !excessive.is_empty() {
            let what = format!("{role} has extra rights: {}", excessive.join(", "));
            let revoke =
                excessive.iter().map(|right| format!("revoke {right} from {role}, public"));
            let mend = revoke.collect::<Vec<_>>().join("; ");
            findings.push(Finding::problem(Check::Rights, what).mend(Mend::sql(mend)));
        }
    }
    let mut unheld: BTreeMap<&str, Vec<&doctor::Right>> = BTreeMap::new();
    for right in &rights.unheld {
        unheld.entry(&right.role).or_default().push(right);
    }
    for (role, rights) in unheld {
        let all = rights.iter().map(|right| format!("{} on {}", right.privilege, right.object));
        let what = format!(
            "{role} has rights that bypass row-level security: {}",
            all.collect::<Vec<_>>().join(", ")
        );
        let mut tables: Vec<&str> = rights.iter().map(|right| right.object.as_str()).collect();
        tables.dedup();
        let mend =
            format!("revoke truncate, references, trigger on {} from {role}", tables.join(", "));
        findings.push(Finding::problem(Check::Rights, what).mend(Mend::sql(mend)));
    }
    for table in rights.unseen_by_the_app.iter().filter(|_| rights.are_given) {
        let app = rights.names().name(Audience::App);
        let what = format!("{app} sees no row of {table}: the policy of_the_app is missing");
        findings.push(Finding::problem(Check::Rights, what).mend(with_roles()));
    }
    findings.extend(rights.members.iter().filter_map(|member| of_member(member, &rights)));
    for role in &rights.bypassing {
        let what = format!(
            "{role} bypasses row-level security and may read every customer's rows, and is not a \
             trusted server"
        );
        findings.push(Finding::note(Check::Rights, what).mend(granted("app", role)));
    }
    Ok(findings)
}

/// What a member of one of the two roles cannot do, although it was made one.
fn of_member(member: &doctor::MemberRights, rights: &doctor::Rights) -> Option<Finding> {
    let (role, audience) = (&member.grant.role, member.grant.audience);
    let of = rights.names().name(audience);
    if !member.exists {
        let what = format!("the role {role}, which {of} was granted to, does not exist");
        let then = Command::periodd(["db", "migrate", "--with-roles"]);
        let mend = Mend::advice_then(format!("create the role {role} again"), then);
        return Some(Finding::problem(Check::Rights, what).mend(mend));
    }
    let mend = match audience {
        Audience::App => granted("app", role),
        Audience::Member => granted("member", role),
    };
    // What the role itself lacks is said of the role.
    let is_of_role = |right: &&doctor::Right| {
        let same = |other: &doctor::Right| {
            other.privilege == right.privilege && other.object == right.object && other.role == of
        };
        !rights.lacking.iter().any(same)
    };
    let lacking = member.lacking.iter().filter(is_of_role);
    let lacking: Vec<String> =
        lacking.map(|right| format!("{} on {}", right.privilege, right.object)).collect();
    if !lacking.is_empty() {
        let what = format!("{role} is a member of {of} and lacks {}", lacking.join(", "));
        return Some(Finding::problem(Check::Rights, what).mend(mend));
    }
    if !member.sees_rows && rights.unseen_by_the_app.is_empty() {
        let what = format!("{role} is a member of {of} and sees no rows: it does not inherit");
        return Some(Finding::problem(Check::Rights, what).mend(mend));
    }
    None
}

/// What makes a role a member of one of the two.
fn granted(of: &str, role: &str) -> Mend {
    Mend::periodd(["db", "migrate", "--grant", &format!("{of}={role}")])
}
