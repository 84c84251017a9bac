//! The kinds of events that programs hear of, and what each says.
//!
//! One table: a kind is its name and the type of what it says, from which its JSON Schema and its
//! example in `docs/events` are made. What periodd's own functions write is held to these types by
//! a test; a kind that the program writes serialises its type.
//!
//! Never: a kind without its schema and its example.

mod said;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::notice::{Change, LimitReachedAgain, Notice, PacksExpire, Parked, RunsOut, WithoutPack};
pub use said::{CrossedThreshold, PackEntry, ReachedLimit, Statement, StatementLine, TierChange};

/// What a kind of event says, with an example of it.
pub trait Said: Serialize + JsonSchema {
    /// An example.
    fn example() -> Self;
}

/// Makes the registry from a table: each kind with its name, what it says, and when.
macro_rules! kinds {
    ($($kind:ident $name:literal $said:ty, $meaning:literal;)+) => {
        /// A kind of event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $meaning] $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// The names of all kinds.
            pub const NAMES: [&'static str; Self::ALL.len()] = [$($name),+];

            /// Its name, which stays the same.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning),+ }
            }

            /// The shape of what it says.
            pub fn schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self { $(Self::$kind => generator.subschema_for::<$said>()),+ }
            }

            /// An example of what it says.
            pub fn example(self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$kind => serde_json::to_value(<$said>::example())),+ }
            }
        }
    };
}

kinds! {
    ThresholdReached "usage.threshold_reached" CrossedThreshold,
        "Usage of a feature has reached a threshold other than 100 %.";
    LimitReached "usage.limit_reached" ReachedLimit,
        "Usage of a feature has reached its limit: the threshold of 100 %.";
    PeriodClosed "period.closed" Statement,
        "A billing period was closed.";
    PackGranted "pack.granted" PackEntry,
        "A pack was granted.";
    PackDrawn "pack.drawn" PackEntry,
        "A pack paid for usage; a negative quantity was given back.";
    PackExpired "pack.expired" PackEntry,
        "A pack expired, and what was left of it was written off.";
    PackRefunded "pack.refunded" PackEntry,
        "A quantity of a pack was refunded.";
    TierChanged "org.tier_changed" TierChange,
        "An org has another tier.";
    RunsOut "usage.runs_out" RunsOut,
        "Usage will probably exceed the allowance in the open period.";
    LimitReachedAgain "usage.limit_reached_again" LimitReachedAgain,
        "Usage of a feature still exceeds its limit.";
    PackExpires "pack.expires" PacksExpire,
        "Packs with something left expire soon.";
    SubscriptionEnds "org.subscription_ends" Change,
        "The subscription of an org ends soon.";
    TrialEnds "org.trial_ends" Change,
        "The trial of an org ends soon.";
    TierChanges "org.tier_changes" Change,
        "An org will have another tier soon.";
    OrgParked "org.parked" Parked,
        "An org was set aside: nothing is processed for it until its data is corrected.";
    PurchaseWithoutPack "drift.purchase_without_pack" WithoutPack,
        "A derived column holds purchased units that no pack stands for.";
    Ping "periodd.ping" Ping,
        "A person has checked the endpoint; nothing happened.";
}

/// What a ping says.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Ping {
    /// Name of the endpoint.
    pub endpoint: String,
}

impl Said for Ping {
    fn example() -> Self {
        Self { endpoint: "app".to_owned() }
    }
}

/// The event of a notice: its kind, and what it says. None of a summary, whose close is an event
/// already, and none of what is a user's own affair: events name no user.
///
/// # Errors
/// What it says cannot be written as JSON.
pub fn of_notice(notice: &Notice) -> serde_json::Result<Option<(Kind, serde_json::Value)>> {
    Ok(Some(match notice {
        Notice::RunsOut(said) => (Kind::RunsOut, serde_json::to_value(said)?),
        Notice::LimitReachedAgain(said) => (Kind::LimitReachedAgain, serde_json::to_value(said)?),
        Notice::PackExpires(said) => (Kind::PackExpires, serde_json::to_value(said)?),
        Notice::SubscriptionEnds(said) => (Kind::SubscriptionEnds, serde_json::to_value(said)?),
        Notice::TrialEnds(said) => (Kind::TrialEnds, serde_json::to_value(said)?),
        Notice::TierChanges(said) => (Kind::TierChanges, serde_json::to_value(said)?),
        Notice::OrgParked(said) => (Kind::OrgParked, serde_json::to_value(said)?),
        Notice::PurchaseWithoutPack(said) => {
            (Kind::PurchaseWithoutPack, serde_json::to_value(said)?)
        }
        Notice::Summary(_) | Notice::UserLimit(_) => return Ok(None),
    }))
}

impl std::str::FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_own_and_fit_the_table() {
        let mut names = Kind::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let parts: Vec<&str> = kind.name().split('.').collect();
            let is_word = |part: &&str| part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(parts.len() == 2 && parts.iter().all(is_word), "{}", kind.name());
        }
    }
}
