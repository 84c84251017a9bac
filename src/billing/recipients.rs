//! Who gets an org's emails.

use std::collections::BTreeSet;

use super::address::{check, trimmed};

/// From this percentage on an email is no warning any more, and nobody can opt out of it.
pub const LIMIT_REACHED: u8 = 100;

/// Somebody an org could be reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub email: String,
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

/// How an address stands that an org's emails would go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It gets them.
    Reached,
    /// It wants no warnings, and hears that the limit is reached.
    OptedOut,
    /// A mail server says that there is no such address.
    Dead,
    /// Nobody can write to it.
    Unusable(&'static str),
}

/// The addresses that an org's emails would go to, each once, in order, and how each stands. Blanks
/// around an address are no part of it.
///
/// The org's contacts get its emails; without any, its users do. A user who opts out becomes a row
/// among the contacts, which does not make the other users strangers.
pub fn addressed(people: &[Person]) -> Vec<(String, Reach)> {
    let lower = |person: &Person| trimmed(&person.email).to_lowercase();
    let of = |wanted: fn(&Role) -> bool| -> BTreeSet<String> {
        people.iter().filter(|person| wanted(&person.role)).map(lower).collect()
    };
    let users = of(|role| *role == Role::User);
    let contacts = of(|role| matches!(role, Role::Contact { .. }));
    let opted_out = of(|role| *role == Role::Contact { opted_out: true });
    let is_named = |email: &String| !(opted_out.contains(email) && users.contains(email));
    let named: BTreeSet<String> = contacts.into_iter().filter(is_named).collect();
    let wanted = if named.is_empty() { users } else { named };
    let mut found: Vec<(String, String, Reach)> = people
        .iter()
        .map(|person| (lower(person), person))
        .filter(|(email, _)| wanted.contains(email))
        .map(|(email, person)| {
            let address = trimmed(&person.email);
            let reach = match check(address) {
                Err(invalid) => Reach::Unusable(invalid.why),
                Ok(()) if person.is_suppressed => Reach::Dead,
                Ok(()) if opted_out.contains(&email) => Reach::OptedOut,
                Ok(()) => Reach::Reached,
            };
            (email, address.to_owned(), reach)
        })
        .collect();
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    found.dedup_by(|a, b| a.0 == b.0);
    found.into_iter().map(|(_, email, reach)| (email, reach)).collect()
}

/// The addresses that an email about a level goes to, each once, in order; none when there is
/// nobody to tell. Whoever opted out gets no warnings, but hears that the limit is reached.
pub fn recipients(people: &[Person], level: u8) -> Vec<String> {
    let hears = |reach: &Reach| match reach {
        Reach::Reached => true,
        Reach::OptedOut => level >= LIMIT_REACHED,
        Reach::Dead | Reach::Unusable(_) => false,
    };
    let found = addressed(people).into_iter().filter(|(_, reach)| hears(reach));
    found.map(|(email, _)| email).collect()
}

/// The addresses that an email goes to that a person has sent again: as [`recipients`], and those
/// that a mail server did not know, which may be there by now.
pub fn recipients_again(people: &[Person], level: u8) -> Vec<String> {
    let revived = |person: &Person| Person { is_suppressed: false, ..person.clone() };
    let people: Vec<Person> = people.iter().map(revived).collect();
    recipients(&people, level)
}

/// Is an email that was queued for this address still to be sent to it? Not once the address
/// belongs to nobody there any more, has opted out of warnings, or turned out to be dead.
pub fn is_still_wanted(people: &[Person], email: &str, level: u8) -> bool {
    let lower = |email: &str| trimmed(email).to_lowercase();
    let email = lower(email);
    let mut known = people.iter().filter(|person| lower(&person.email) == email).peekable();
    let opted_out = Role::Contact { opted_out: true };
    known.peek().is_some()
        && known.all(|person| {
            !person.is_suppressed && (level >= LIMIT_REACHED || person.role != opted_out)
        })
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
    fn what_was_queued_is_sent_to_whoever_still_wants_it() {
        let dead = Person { is_suppressed: true, ..contact("dead@x.example") };
        let people = [contact("A@x.example"), opted_out("o@x.example"), user("o@x.example"), dead];
        assert!(is_still_wanted(&people, "a@X.example", 80));
        assert!(!is_still_wanted(&people, "o@x.example", 90));
        assert!(is_still_wanted(&people, "o@x.example", 100), "that is no warning");
        assert!(!is_still_wanted(&people, "dead@x.example", 100));
        assert!(!is_still_wanted(&people, "gone@x.example", 100));
    }

    #[test]
    fn contacts_come_before_users_and_each_address_counts_once() {
        let people = [user("u@x.example"), contact("C@x.example"), contact("c@x.example")];
        assert_eq!(recipients(&people, 80), ["C@x.example"]);
        assert_eq!(recipients(&people[..1], 80), ["u@x.example"]);
        assert!(recipients(&[], 80).is_empty());
    }

    #[test]
    fn blanks_around_an_address_are_no_part_of_it() {
        let people = [user("Ann@x.example "), user("\tann@x.example"), user(" b@x.example\r\n")];
        assert_eq!(recipients(&people, 80).len(), 2);
        assert!(recipients(&people, 80).contains(&"b@x.example".to_owned()));
        assert!(is_still_wanted(&people, "ann@x.example", 80));
        let inside = addressed(&[user("a b@x.example")]);
        assert_eq!(inside, [("a b@x.example".to_owned(), Reach::Unusable("contains a space"))]);
    }

    #[test]
    fn who_is_not_reached_is_known_with_the_reason() {
        let dead = Person { is_suppressed: true, ..contact("dead@x.example") };
        let people = [dead, opted_out("o@x.example"), contact("c@x.example"), user("u@x.example")];
        let found = addressed(&people);
        let reaches: Vec<Reach> = found.iter().map(|(_, reach)| *reach).collect();
        assert_eq!(reaches, [Reach::Reached, Reach::Dead, Reach::OptedOut]);
        assert_eq!(recipients_again(&people, 80), ["c@x.example", "dead@x.example"]);
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
