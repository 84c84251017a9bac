//! Whose fault refusals are: a server that says the same of different addresses means us.

use std::collections::{HashMap, HashSet};

use super::attempt::Outcome;
use crate::mail::transport::alike;

/// Different addresses of which the same is said, from which on it is about us …
const SERVERS: usize = 2;
/// … and where it says of each that there is no such mailbox: two may have gone in one pass, but
/// hardly everybody.
const NOBODY_KNOWN: usize = 3;

/// The refusals of a pass.
#[derive(Debug, Default, Clone)]
pub(super) struct Refusals {
    /// The addresses, by what was said.
    addresses: HashMap<String, HashSet<String>>,
    /// Was any email taken?
    any_taken: bool,
}

impl Refusals {
    /// Takes what became of an email to that address.
    pub(super) fn note(&mut self, address: &str, outcome: &Outcome) {
        self.any_taken |= matches!(outcome, Outcome::Sent(_));
        if let Some(words) = outcome.refusal() {
            self.addresses.entry(alike(words)).or_default().insert(address.to_lowercase());
        }
    }

    /// What a refusal comes to, by all that is known by now: an email waits where the server means
    /// us.
    pub(super) fn decide(&self, outcome: Outcome) -> Outcome {
        let Some(words) = outcome.refusal() else { return outcome };
        let addresses = self.addresses.get(&alike(words)).map_or(0, HashSet::len);
        let is_servers = match outcome {
            Outcome::NoSuchAddress(_) => addresses >= NOBODY_KNOWN && !self.any_taken,
            _ => addresses >= SERVERS,
        };
        if is_servers { Outcome::Refused(words.to_owned()) } else { outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> Outcome {
        Outcome::NoSuchAddress("550 5.1.1 no such user".to_owned())
    }

    #[test]
    fn the_same_said_of_two_addresses_is_about_us() {
        let rejected = |id: &str| Outcome::Rejected(format!("554 rejected (id {id}1)"));
        let mut refusals = Refusals::default();
        refusals.note("a@x", &rejected("4F"));
        assert_eq!(refusals.decide(rejected("4F")), rejected("4F"));
        refusals.note("A@x", &rejected("5F"));
        assert_eq!(refusals.decide(rejected("4F")), rejected("4F"), "that is one address");
        refusals.note("b@x", &rejected("6F"));
        assert!(matches!(refusals.decide(rejected("4F")), Outcome::Refused(_)));
        let other = Outcome::Rejected("554 spam".to_owned());
        assert_eq!(refusals.decide(other.clone()), other);
    }

    #[test]
    fn dead_addresses_are_dead_unless_nobody_at_all_is_known() {
        let mut refusals = Refusals::default();
        for address in ["a@x", "b@x"] {
            refusals.note(address, &dead());
            assert_eq!(refusals.decide(dead()), dead());
        }
        refusals.note("c@x", &dead());
        assert!(matches!(refusals.decide(dead()), Outcome::Refused(_)));
        refusals.note("d@x", &Outcome::Sent("250".to_owned()));
        assert_eq!(refusals.decide(dead()), dead());
    }
}
