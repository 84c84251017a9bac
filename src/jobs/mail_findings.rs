//! What is wrong with emails and the addresses that they go to: for an org, and for everybody.

use super::finding::{Check, Finding, Mend};
use crate::billing::recipients::{Person, Reach, addressed};
use crate::billing::when::shown_in_utc;
use crate::command::Command;
use crate::store::messages::outbox::Fault;
use crate::store::reports::status::MailFault;

/// Addresses of one org that are named.
const NAMED: usize = 5;

/// An org, and everybody who could get its emails.
#[derive(Debug, Clone)]
pub struct Audience {
    /// Its slug.
    pub org: String,
    pub people: Vec<Person>,
}

/// The command that has waiting emails tried at once.
pub(super) fn try_now() -> Command {
    Command::periodd(["alerts", "run", "--now"])
}

/// Nobody hears of these orgs' alerts, for want of anybody: with their names, and how many alerts
/// wait, in words.
pub(super) fn no_recipient(alerts: &str, audiences: &[Audience]) -> Option<Finding> {
    let is_empty = |audience: &&Audience| addressed(&audience.people).is_empty();
    let orgs: Vec<&str> =
        audiences.iter().filter(is_empty).map(|audience| audience.org.as_str()).collect();
    if orgs.is_empty() {
        return None;
    }
    let what =
        format!("{alerts} without a recipient: no contact and no user of {}", orgs.join(", "));
    let advice = format!("name a contact with `orgs set --contact` for {}", orgs.join(", "));
    Some(Finding::warning(Check::NoRecipient, what).mend(Mend::advice(advice)))
}

/// Addresses of an org that get no emails although somebody meant them to.
pub(super) fn unheard(audience: &Audience) -> Vec<Finding> {
    let Audience { org, people } = audience;
    let found = addressed(people).into_iter().filter_map(|(email, reach)| match reach {
        Reach::Reached | Reach::OptedOut => None,
        Reach::Dead => Some(dead(org, &email)),
        Reach::Unusable(why) => Some(unusable(org, &email, why)),
    });
    found.take(NAMED).collect()
}

fn dead(org: &str, email: &str) -> Finding {
    let what = format!(
        "a mail server does not know {email} of {org}; nothing is sent there until the address is \
         replaced or named again"
    );
    let named = Command::periodd(["orgs", "set", org, "--contact", email]);
    let advice = "replace it with a working address, or, if the mailbox works again, name it again";
    Finding::warning(Check::DeadAddress, what).mend(Mend::advice_then(advice, named))
}

/// An address that nobody can write to, with the reason.
pub(super) fn unusable(org: &str, email: &str, why: &str) -> Finding {
    let what = format!("the address `{}` of {org} {why}; no email is sent there", shown(email));
    let advice =
        "correct the email of this user, or name another contact with `orgs set --contact`";
    Finding::warning(Check::UnusableAddress, what).mend(Mend::advice(advice))
}

/// What cannot be seen in an address is written out.
fn shown(email: &str) -> String {
    email.escape_debug().to_string()
}

/// A mail server that takes no emails, with its words.
pub(super) fn fault(found: &MailFault) -> Finding {
    let MailFault { fault, emails, oldest, words } = found;
    let since = oldest.map_or_else(String::new, |at| format!(" since {}", shown_in_utc(at)));
    let plural = if *emails == 1 { "email waits" } else { "emails wait" };
    let what = format!("{emails} {plural}{since}: {words}");
    let (check, advice) = of_fault(*fault);
    Finding::problem(check, what).mend(Mend::advice_then(advice, try_now()))
}

/// The check of a fault of the mail server, and what a person does about it.
pub(super) const fn of_fault(fault: Fault) -> (Check, &'static str) {
    match fault {
        Fault::Login => (
            Check::MailLogin,
            "correct username and password_file in [mail.smtp], as the mail server's provider \
             states them",
        ),
        Fault::Server => (
            Check::MailServer,
            "correct host, port and tls in [mail.smtp], or have the mail server started",
        ),
        Fault::Refused => (
            Check::MailRefused,
            "have the mail server's provider accept emails from this machine and from the sender \
             of [mail] from",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::recipients::{Hears, Role};

    fn audience(people: &[(&str, bool)]) -> Audience {
        let person = |(email, is_suppressed): &(&str, bool)| Person {
            email: (*email).to_owned(),
            role: Role::User,
            hears: Hears::default(),
            is_suppressed: *is_suppressed,
        };
        Audience { org: "acme".to_owned(), people: people.iter().map(person).collect() }
    }

    #[test]
    fn each_address_that_hears_nothing_is_named_with_the_reason() {
        let found = unheard(&audience(&[("a@x", false), ("dead@x", true), ("b c@x", false)]));
        let checks: Vec<Check> = found.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, [Check::UnusableAddress, Check::DeadAddress]);
        assert!(found[0].what.contains("`b c@x` of acme contains a space"), "{:?}", found[0]);
        assert!(no_recipient("1 alert", &[audience(&[("a@x", true)])]).is_none());
        assert!(no_recipient("1 alert", &[audience(&[])]).is_some());
    }
}
