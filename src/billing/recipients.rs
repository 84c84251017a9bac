//! Who gets an org's emails.

use std::collections::BTreeSet;

use super::address::is_address;

/// From this percentage on an email is no warning any more, and nobody can opt out of it.
pub const LIMIT_REACHED: u8 = 100;

/// Somebody an org could be reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The address, as stored.
    pub email: String,
    /// As whom.
    pub role: Role,
    /// Does a mail server say that there is no such address?
    pub is_suppressed: bool,
}

/// As whom somebody is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Named by the org to get its emails.
    Contact {
        /// Wants no warnings.
        opted_out: bool,
    },
    /// Somebody who uses what the org pays for.
    User,
}

/// The addresses that an email about a level goes to, each once, in order; none when there is
/// nobody to tell.
///
/// The org's contacts get its emails; without any, its users do. A user who opts out becomes a row
/// among the contacts, which does not make the other users strangers. Whoever opted out gets no
/// warnings, but hears that the limit is reached.
#[must_use]
pub fn recipients(people: &[Person], level: u8) -> Vec<String> {
    let lower = |person: &Person| person.email.to_lowercase();
    let of = |wanted: fn(&Role) -> bool| -> BTreeSet<String> {
        people.iter().filter(|person| wanted(&person.role)).map(lower).collect()
    };
    let users = of(|role| *role == Role::User);
    let contacts = of(|role| matches!(role, Role::Contact { .. }));
    let opted_out = of(|role| *role == Role::Contact { opted_out: true });
    let is_named = |email: &String| !(opted_out.contains(email) && users.contains(email));
    let named: BTreeSet<String> = contacts.into_iter().filter(is_named).collect();
    let wanted = if named.is_empty() { users } else { named };
    let mut found: Vec<(String, String)> = people
        .iter()
        .filter(|person| is_address(&person.email) && !person.is_suppressed)
        .map(|person| (lower(person), person.email.clone()))
        .filter(|(email, _)| wanted.contains(email))
        .filter(|(email, _)| level >= LIMIT_REACHED || !opted_out.contains(email))
        .collect();
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found.into_iter().map(|(_, email)| email).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(email: &str, role: Role) -> Person {
        Person { email: email.to_owned(), role, is_suppressed: false }
    }

    fn contact(email: &str) -> Person {
        person(email, Role::Contact { opted_out: false })
    }

    fn opted_out(email: &str) -> Person {
        person(email, Role::Contact { opted_out: true })
    }

    fn user(email: &str) -> Person {
        person(email, Role::User)
    }

    #[test]
    fn contacts_come_before_users_and_each_address_counts_once() {
        let people = [user("u@x.example"), contact("C@x.example"), contact("c@x.example")];
        assert_eq!(recipients(&people, 80), ["C@x.example"]);
        assert_eq!(recipients(&people[..1], 80), ["u@x.example"]);
        assert!(recipients(&[], 80).is_empty());
    }

    #[test]
    fn whoever_opted_out_hears_that_the_limit_is_reached() {
        let people = [opted_out("c@x.example"), user("u@x.example")];
        assert!(recipients(&people, 90).is_empty());
        assert_eq!(recipients(&people, 100), ["c@x.example"]);
    }

    #[test]
    fn a_user_who_opts_out_leaves_the_others_alone() {
        let people = [opted_out("U@x.example"), user("u@x.example"), user("v@x.example")];
        assert_eq!(recipients(&people, 90), ["v@x.example"]);
        assert_eq!(recipients(&people, 100).len(), 2);
    }

    #[test]
    fn dead_and_unusable_addresses_get_nothing() {
        let dead = Person { is_suppressed: true, ..contact("dead@x.example") };
        // A contact who is dead does not make the users recipients.
        assert!(recipients(&[dead, user("u@x.example")], 100).is_empty());
        assert!(recipients(&[user("a@x.example,b@x.example"), user("x")], 100).is_empty());
    }
}
