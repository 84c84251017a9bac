//! Who gets an org's emails.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::address::{check, trimmed};
use super::notice::Kind;

/// From this percentage on an email is no warning any more, and nobody can opt out of it.
pub const LIMIT_REACHED: u8 = 100;

/// Somebody an org could be reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub email: String,
    pub role: Role,
    /// Does a mail server say that there is no such address?
    pub is_suppressed: bool,
    /// Which emails a contact gets.
    pub hears: Hears,
}

/// Which emails a contact gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hears {
    /// As whom; `None`: as everybody.
    pub role: Option<ContactRole>,
    /// These kinds, whatever the role; `None`: by the role.
    pub kinds: Option<Vec<Kind>>,
    /// None of these kinds, by the link in an email.
    pub opted_out_of: Vec<Kind>,
}

/// As whom a contact is named.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ContactRole {
    /// Pays.
    Billing,
    /// Runs what uses the allowance.
    Technical,
    /// Decides.
    Owner,
}

impl ContactRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Billing, Self::Technical, Self::Owner];

    /// Its name in the configuration and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Billing => "billing",
            Self::Technical => "technical",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for ContactRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role `{0}`; known are billing, technical, owner")]
pub struct UnknownRole(pub String);

impl FromStr for ContactRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// To whom a kind of notice goes, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub kind: Kind,
    /// Contacts with one of these roles, and those without a role; none: all contacts.
    pub roles: Vec<ContactRole>,
    /// May one opt out of it?
    pub opt_out: bool,
}

/// What an email is about.
#[derive(Clone, Copy, Debug)]
pub enum Matter<'a> {
    /// A threshold, in percent.
    Threshold(u8),
    Notice(&'a Terms),
}

impl From<u8> for Matter<'_> {
    fn from(level: u8) -> Self {
        Self::Threshold(level)
    }
}

impl Matter<'_> {
    const fn kind(&self) -> Kind {
        match self {
            Self::Threshold(_) => Kind::Threshold,
            Self::Notice(terms) => terms.kind,
        }
    }

    /// May one opt out of it? Not of the news that the limit is reached.
    pub const fn is_optional(&self) -> bool {
        match self {
            Self::Threshold(level) => *level < LIMIT_REACHED,
            Self::Notice(terms) => terms.opt_out,
        }
    }

    /// Does a contact get such emails?
    fn concerns(&self, person: &Person) -> bool {
        if let Some(kinds) = &person.hears.kinds {
            return kinds.contains(&self.kind());
        }
        match (self, person.hears.role) {
            (Self::Notice(terms), Some(role)) => {
                terms.roles.is_empty() || terms.roles.contains(&role)
            }
            _ => true,
        }
    }
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
    let named = named(people);
    let lower = |person: &Person| lower(&person.email);
    let of = |wanted: fn(&Role) -> bool| -> BTreeSet<String> {
        people.iter().filter(|person| wanted(&person.role)).map(lower).collect()
    };
    let opted_out = of(|role| *role == Role::Contact { opted_out: true });
    let wanted = if named.is_empty() { of(|role| *role == Role::User) } else { named };
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

/// The addresses of an org's contacts, but for its users who only opted out.
fn named(people: &[Person]) -> BTreeSet<String> {
    let lower = |person: &Person| lower(&person.email);
    let is_user = |person: &&Person| person.role == Role::User;
    let users: BTreeSet<String> = people.iter().filter(is_user).map(lower).collect();
    let is_mark = |person: &Person| {
        let Hears { role, kinds, opted_out_of } = &person.hears;
        let has_opted_out =
            person.role == Role::Contact { opted_out: true } || !opted_out_of.is_empty();
        has_opted_out && role.is_none() && kinds.is_none()
    };
    let marks = people.iter().filter(|person| is_mark(person)).map(lower);
    let marks: BTreeSet<String> = marks.filter(|email| users.contains(email)).collect();
    let contacts = people.iter().filter(|person| !is_user(person)).map(lower);
    contacts.filter(|email| !marks.contains(email)).collect()
}

/// The addresses that an email goes to, each once, in order; none when there is nobody to tell.
/// Whoever opted out gets no warnings, but hears that the limit is reached.
///
/// Where no contact has a role that a kind of notice goes to, all those get it that have not said
/// which kinds they want: it is better heard by somebody else than by nobody.
pub fn recipients<'a>(people: &[Person], matter: impl Into<Matter<'a>>) -> Vec<String> {
    let matter = matter.into();
    let named = named(people);
    let is_named =
        |person: &&Person| person.role != Role::User && named.contains(&lower(&person.email));
    let named: Vec<&Person> = people.iter().filter(is_named).collect();
    let is_concerned = named.iter().any(|person| matter.concerns(person));
    let is_told = |person: &Person| {
        if is_concerned { matter.concerns(person) } else { person.hears.kinds.is_none() }
    };
    let about: Vec<Person> = if named.is_empty() {
        people.to_vec()
    } else {
        named.into_iter().filter(|person| is_told(person)).cloned().collect()
    };
    let has_opted_out = |email: &str| {
        let has = |person: &Person| person.hears.opted_out_of.contains(&matter.kind());
        about.iter().any(|person| has(person) && lower(&person.email) == lower(email))
    };
    let hears = |email: &str, reach: &Reach| match reach {
        Reach::Reached => !matter.is_optional() || !has_opted_out(email),
        Reach::OptedOut => !matter.is_optional(),
        Reach::Dead | Reach::Unusable(_) => false,
    };
    let found = addressed(&about).into_iter().filter(|(email, reach)| hears(email, reach));
    found.map(|(email, _)| email).collect()
}

/// The address of the one user whom an email is about; none, where that user wants no such emails
/// or cannot be reached.
pub fn only<'a>(people: &[Person], email: &str, matter: impl Into<Matter<'a>>) -> Option<String> {
    let address = trimmed(email);
    let is_told = check(address).is_ok() && is_still_wanted(people, address, matter);
    is_told.then(|| address.to_owned())
}

/// The addresses that an email goes to that a person has sent again: as [`recipients`], and those
/// that a mail server did not know, which may be there by now.
pub fn recipients_again<'a>(people: &[Person], matter: impl Into<Matter<'a>>) -> Vec<String> {
    recipients(&revived(people), matter)
}

/// The same of the one user whom an email is about: as [`only`].
pub fn only_again<'a>(
    people: &[Person],
    email: &str,
    matter: impl Into<Matter<'a>>,
) -> Option<String> {
    only(&revived(people), email, matter)
}

/// The same people, with no address taken to be dead.
fn revived(people: &[Person]) -> Vec<Person> {
    people.iter().map(|person| Person { is_suppressed: false, ..person.clone() }).collect()
}

/// Is an email that was queued for this address still to be sent to it? Not once the address
/// belongs to nobody there any more, has opted out of warnings, or turned out to be dead. Operators
/// are named in the configuration.
pub fn is_still_wanted<'a>(people: &[Person], email: &str, matter: impl Into<Matter<'a>>) -> bool {
    let matter = matter.into();
    if matter.kind().is_for_operators() {
        return true;
    }
    let email = lower(email);
    let mut known = people.iter().filter(|person| lower(&person.email) == email).peekable();
    let opted_out = Role::Contact { opted_out: true };
    known.peek().is_some()
        && known.all(|person| {
            let has_opted_out =
                person.role == opted_out || person.hears.opted_out_of.contains(&matter.kind());
            let is_wanted = !matter.is_optional() || !has_opted_out;
            is_wanted && !person.is_suppressed
        })
}

fn lower(email: &str) -> String {
    trimmed(email).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(email: &str, role: Role) -> Person {
        let hears = Hears::default();
        Person { email: email.to_owned(), role, is_suppressed: false, hears }
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

    fn hearing(email: &str, hears: Hears) -> Person {
        Person { hears, ..contact(email) }
    }

    fn terms(roles: &[ContactRole]) -> Terms {
        Terms { kind: Kind::PackExpires, roles: roles.to_vec(), opt_out: true }
    }

    #[test]
    fn a_kind_goes_to_its_roles_and_to_whoever_has_none() {
        let of = |role| Hears { role: Some(role), ..Hears::default() };
        let people = [
            hearing("b@x.example", of(ContactRole::Billing)),
            hearing("t@x.example", of(ContactRole::Technical)),
            contact("x@x.example"),
            user("u@x.example"),
        ];
        let to = |roles: &[ContactRole]| recipients(&people, Matter::Notice(&terms(roles)));
        assert_eq!(to(&[]), ["b@x.example", "t@x.example", "x@x.example"]);
        assert_eq!(to(&[ContactRole::Billing]), ["b@x.example", "x@x.example"]);
        // Nobody has the role: it is heard by somebody else.
        let technical = &people[1..2];
        let owner = terms(&[ContactRole::Owner]);
        assert_eq!(recipients(technical, Matter::Notice(&owner)), ["t@x.example"]);
        assert_eq!(recipients(&people, 80).len(), 3, "thresholds go to all of them");
    }

    #[test]
    fn who_says_which_kinds_hears_no_others() {
        let only = |kind| Hears { kinds: Some(vec![kind]), ..Hears::default() };
        let people = [
            hearing("p@x.example", only(Kind::PackExpires)),
            hearing("t@x.example", only(Kind::Threshold)),
        ];
        let packs = terms(&[ContactRole::Owner]);
        assert_eq!(recipients(&people, Matter::Notice(&packs)), ["p@x.example"]);
        assert_eq!(recipients(&people, 100), ["t@x.example"]);
        let other = Terms { kind: Kind::TierChanges, ..packs };
        assert!(recipients(&people, Matter::Notice(&other)).is_empty());
    }

    #[test]
    fn whoever_opts_out_of_a_kind_hears_the_others_and_hides_nobody() {
        let not = Hears { opted_out_of: vec![Kind::PackExpires], ..Hears::default() };
        let people = [hearing("u@x.example", not), user("u@x.example"), user("v@x.example")];
        let packs = terms(&[]);
        assert_eq!(recipients(&people, Matter::Notice(&packs)), ["v@x.example"]);
        assert!(!is_still_wanted(&people, "u@x.example", Matter::Notice(&packs)));
        assert_eq!(recipients(&people, 80), ["u@x.example", "v@x.example"]);
        let always = Terms { opt_out: false, ..packs };
        assert_eq!(recipients(&people, Matter::Notice(&always)).len(), 2);
    }

    #[test]
    fn a_user_who_opts_out_takes_no_email_from_the_contacts() {
        let of = |role| Hears { role: Some(role), ..Hears::default() };
        let not = Hears { opted_out_of: vec![Kind::RunsOut], ..Hears::default() };
        let people = [
            hearing("t@x.example", of(ContactRole::Technical)),
            hearing("u@x.example", not),
            user("u@x.example"),
            user("v@x.example"),
        ];
        let billing = terms(&[ContactRole::Billing]);
        assert_eq!(recipients(&people, Matter::Notice(&billing)), ["t@x.example"]);
        assert_eq!(recipients(&people, 80), ["t@x.example"]);
        // Whoever names a kind is a contact, too, and the users are no recipients.
        let only = Hears { kinds: Some(vec![Kind::RunsOut]), ..Hears::default() };
        let people = [hearing("r@x.example", only), opted_out("u@x.example"), user("u@x.example")];
        assert!(recipients(&people, Matter::Notice(&billing)).is_empty());
    }

    #[test]
    fn what_is_about_one_user_goes_to_nobody_else() {
        let terms = Terms { kind: Kind::UserLimit, ..terms(&[]) };
        let not = Hears { opted_out_of: vec![Kind::UserLimit], ..Hears::default() };
        let people = [contact("c@x.example"), user("u@x.example "), user("v@x.example")];
        let to = |people: &[Person], email| only(people, email, Matter::Notice(&terms));
        assert_eq!(to(&people, "u@x.example ").as_deref(), Some("u@x.example"));
        assert_eq!(to(&people, "gone@x.example"), None);
        let opted_out = [hearing("u@x.example", not), people[1].clone()];
        assert_eq!(to(&opted_out, "u@x.example"), None);
        // The same when it is sent again, but for an address that was dead.
        let again = |people: &[Person], email| only_again(people, email, Matter::Notice(&terms));
        let dead = [Person { is_suppressed: true, ..user("u@x.example") }];
        assert_eq!(to(&dead, "u@x.example"), None);
        assert_eq!(again(&dead, "u@x.example").as_deref(), Some("u@x.example"));
        assert_eq!(again(&people, "gone@x.example"), None);
        assert_eq!(again(&opted_out, "u@x.example"), None);
    }

    #[test]
    fn dead_and_unusable_addresses_get_nothing() {
        let dead = Person { is_suppressed: true, ..contact("dead@x.example") };
        // A contact who is dead does not make the users recipients.
        assert!(recipients(&[dead, user("u@x.example")], 100).is_empty());
        assert!(recipients(&[user("a@x.example,b@x.example"), user("x")], 100).is_empty());
    }
}
