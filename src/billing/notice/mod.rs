//! Notices: what an org hears beside the thresholds of its usage, decided as values.
//!
//! Each kind has an occasion, and each occasion a key: a notice is recorded under its key before
//! anything is sent, and never recorded twice. Days are the org's local days. What is decided here
//! is what webhooks carry, too: a [`Notice`] is its own payload.
//!
//! Never: a clock; a notice after the fact.

pub mod ahead;
pub mod packs;
pub mod reached;
pub mod runs_out;
pub mod sold;
pub mod summary;
pub mod user_limit;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Instant, LocalDate, Quantity};

/// What an email is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Usage crossed a threshold.
    Threshold,
    /// The allowance will probably run out in the period.
    RunsOut,
    /// Packs with something left expire.
    PackExpires,
    /// The subscription ends.
    SubscriptionEnds,
    /// The trial ends.
    TrialEnds,
    /// Another tier applies.
    TierChanges,
    /// The limit is still exceeded.
    LimitReachedAgain,
    /// What a closed period was.
    Summary,
    /// A user reached a threshold of a limit of their own; for that user.
    UserLimit,
    /// The org was set aside; for operators.
    OrgParked,
    /// Purchased units that no pack stands for; for operators.
    PurchaseWithoutPack,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Threshold,
        Self::RunsOut,
        Self::PackExpires,
        Self::SubscriptionEnds,
        Self::TrialEnds,
        Self::TierChanges,
        Self::LimitReachedAgain,
        Self::Summary,
        Self::UserLimit,
        Self::OrgParked,
        Self::PurchaseWithoutPack,
    ];

    /// Its name in the configuration and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::RunsOut => "runs_out",
            Self::PackExpires => "pack_expires",
            Self::SubscriptionEnds => "subscription_ends",
            Self::TrialEnds => "trial_ends",
            Self::TierChanges => "tier_changes",
            Self::LimitReachedAgain => "limit_reached_again",
            Self::Summary => "summary",
            Self::UserLimit => "user_limit",
            Self::OrgParked => "org_parked",
            Self::PurchaseWithoutPack => "purchase_without_pack",
        }
    }

    /// What a list for people says of it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::RunsOut => "runs out",
            Self::PackExpires => "pack expires",
            Self::SubscriptionEnds => "subscription ends",
            Self::TrialEnds => "trial ends",
            Self::TierChanges => "tier changes",
            Self::LimitReachedAgain => "limit reached again",
            Self::Summary => "summary",
            Self::UserLimit => "user limit",
            Self::OrgParked => "org parked",
            Self::PurchaseWithoutPack => "purchase without a pack",
        }
    }

    /// Does it go to the operators, rather than to the org?
    pub const fn is_for_operators(self) -> bool {
        matches!(self, Self::OrgParked | Self::PurchaseWithoutPack)
    }

    /// Does it go to the one user whom it is about, and to nobody else?
    pub const fn is_for_its_user(self) -> bool {
        matches!(self, Self::UserLimit)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is not a kind of email.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of email `{0}`; known are {known}", known = known())]
pub struct UnknownKind(pub String);

fn known() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What a notice says, as facts: the payload of its webhook, and what its email is written from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// At the current pace, the allowance runs out in the open period.
    RunsOut(RunsOut),
    /// Packs with something left expire.
    PackExpires(PacksExpire),
    /// The subscription ends.
    SubscriptionEnds(Change),
    /// The trial ends.
    TrialEnds(Change),
    /// Another tier applies.
    TierChanges(Change),
    /// The limit has been exceeded for some days.
    LimitReachedAgain(LimitReachedAgain),
    /// What a closed period was.
    Summary(Summary),
    /// A user reached a threshold of a limit of their own.
    UserLimit(UserLimit),
    /// The org was set aside: nothing is processed for it until somebody corrects its data.
    OrgParked(Parked),
    /// Somebody sold units in a derived column, and no pack stands for them.
    PurchaseWithoutPack(WithoutPack),
}

/// The allowance of the open period runs out before its end, at the current pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunsOut {
    /// The feature.
    pub feature: String,
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period.
    pub period_end: Instant,
    /// Usage so far.
    pub used: Quantity,
    /// Included, drawn and purchased.
    pub allowance: Quantity,
    /// Expected usage at the end of the period.
    pub expected_at_end: Quantity,
    /// The local day on which the allowance runs out, about.
    #[schemars(with = "String")]
    pub about: LocalDate,
}

/// Packs that expire soon with something left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacksExpire {
    /// In the order in which they pay.
    pub packs: Vec<ExpiringPack>,
}

/// A limit that has been exceeded for some days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitReachedAgain {
    /// The feature.
    pub feature: String,
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period.
    pub period_end: Instant,
    /// Usage so far.
    pub used: Quantity,
    /// Included, drawn and purchased.
    pub allowance: Quantity,
    /// Whole days since the limit was reached.
    pub days: i64,
}

/// An org that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Since when.
    pub since: Instant,
    /// Code of the reason, if there is one.
    pub code: Option<String>,
    /// The reason.
    pub reason: String,
}

/// A closed period: its statement in quantities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period.
    pub period_end: Instant,
    /// What was used of each feature by the close.
    pub features: Vec<Used>,
    /// What was counted after the close.
    pub later: Vec<Used>,
    /// Are there more features than these?
    pub is_cut: bool,
}

/// What was used of a feature, and how that was covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// The feature.
    pub feature: String,
    /// Usage; negative where less was counted later.
    pub used: Quantity,
    /// The included quantity; null: unlimited, or counted later.
    pub included: Option<Quantity>,
    /// What packs paid for.
    pub drawn: Quantity,
    /// What neither the tier nor packs covered.
    pub uncovered: Quantity,
}

/// A threshold of a user's own limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserLimit {
    /// The user.
    pub user: Uuid,
    /// The feature.
    pub feature: String,
    /// The percentage that was reached.
    pub threshold: u8,
    /// Start of the period.
    pub period_start: Instant,
    /// End of the period.
    pub period_end: Instant,
    /// What the user has used so far.
    pub used: Quantity,
    /// The user's limit.
    pub included: Quantity,
}

/// Units that were sold and that no pack stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WithoutPack {
    /// The column that holds them.
    pub column: String,
    /// The feature.
    pub feature: String,
    /// How many.
    pub quantity: Quantity,
    /// Grant a pack for them with this reference: it is granted once.
    pub reference: String,
    /// When they were found.
    pub found_at: Instant,
}

/// A change of the tier at a boundary to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The boundary from which it holds.
    pub at: Instant,
    /// The tier until then, by its code.
    pub tier: String,
    /// Its name.
    pub tier_name: String,
    /// The tier from then on, by its code.
    pub next_tier: String,
    /// Its name.
    pub next_tier_name: String,
}

/// A pack that expires with something left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpiringPack {
    /// The pack.
    pub pack: Uuid,
    /// The feature that it pays for.
    pub feature: String,
    /// What is left of it, without what usage has claimed already.
    pub left: Quantity,
    /// When it expires.
    pub expires_at: Instant,
}

impl Notice {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::RunsOut(_) => Kind::RunsOut,
            Self::PackExpires(_) => Kind::PackExpires,
            Self::SubscriptionEnds(_) => Kind::SubscriptionEnds,
            Self::TrialEnds(_) => Kind::TrialEnds,
            Self::TierChanges(_) => Kind::TierChanges,
            Self::LimitReachedAgain(_) => Kind::LimitReachedAgain,
            Self::Summary(_) => Kind::Summary,
            Self::UserLimit(_) => Kind::UserLimit,
            Self::OrgParked(_) => Kind::OrgParked,
            Self::PurchaseWithoutPack(_) => Kind::PurchaseWithoutPack,
        }
    }

    /// The feature that it is about; empty where it is about the org, or about several.
    pub fn feature(&self) -> &str {
        match self {
            Self::RunsOut(RunsOut { feature, .. })
            | Self::LimitReachedAgain(LimitReachedAgain { feature, .. })
            | Self::UserLimit(UserLimit { feature, .. })
            | Self::PurchaseWithoutPack(WithoutPack { feature, .. }) => feature,
            Self::PackExpires(PacksExpire { packs }) => match &packs[..] {
                [first, rest @ ..] if rest.iter().all(|pack| pack.feature == first.feature) => {
                    &first.feature
                }
                _ => "",
            },
            _ => "",
        }
    }
}

/// How an org stands when an email about a notice is written, maybe long after it was decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    /// Start of the last period that was closed.
    pub closed_start: Option<Instant>,
    /// When the billing cycle was restarted, until that is closed.
    pub restarted_at: Option<Instant>,
    /// Since when the org has been set aside.
    pub parked_at: Option<Instant>,
    /// The changes that are ahead of it now; `None`: unknown.
    pub changes: Option<&'a [Notice]>,
}

impl Notice {
    /// Does it no longer hold? Its period was closed, or for a summary the next one; what it
    /// announces was called off; or every pack that it names has expired.
    pub fn is_over(&self, standing: Standing<'_>, now: Instant) -> bool {
        match self {
            Self::RunsOut(RunsOut { period_start, .. })
            | Self::LimitReachedAgain(LimitReachedAgain { period_start, .. })
            | Self::UserLimit(UserLimit { period_start, .. }) => {
                standing.closed_start.is_some_and(|closed| closed >= *period_start)
                    || standing.restarted_at.is_some_and(|restart| restart > *period_start)
            }
            Self::PackExpires(one) => one.still_to_expire(now).next().is_none(),
            Self::SubscriptionEnds(change)
            | Self::TrialEnds(change)
            | Self::TierChanges(change) => {
                let is_it = |ahead: &Self| ahead.kind() == self.kind() && ahead.leads_to(change);
                standing.changes.is_some_and(|changes| !changes.iter().any(is_it))
            }
            // The next one says more.
            Self::Summary(Summary { period_start, .. }) => {
                standing.closed_start.is_some_and(|closed| closed > *period_start)
            }
            Self::OrgParked(parked) => standing.parked_at != Some(parked.since),
            Self::PurchaseWithoutPack(_) => false,
        }
    }

    /// Is it about a change of the tier?
    pub const fn is_of_change(&self) -> bool {
        matches!(self, Self::SubscriptionEnds(_) | Self::TrialEnds(_) | Self::TierChanges(_))
    }

    /// Does another tier apply by it, at the same boundary as by this change?
    fn leads_to(&self, change: &Change) -> bool {
        match self {
            Self::SubscriptionEnds(one) | Self::TrialEnds(one) | Self::TierChanges(one) => {
                (one.at, &one.next_tier) == (change.at, &change.next_tier)
            }
            _ => false,
        }
    }
}

impl PacksExpire {
    /// The packs that have not expired yet.
    pub fn still_to_expire(&self, now: Instant) -> impl Iterator<Item = &ExpiringPack> {
        self.packs.iter().filter(move |pack| pack.expires_at > now)
    }
}

/// What was recorded of a kind before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    pub key: String,
    pub state: SeenState,
    pub decided_at: Instant,
    /// The allowance that it went by, where it says one.
    pub allowance: Option<Quantity>,
}

/// What has become of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenState {
    /// It was sent, recorded or covered by another.
    Told,
    /// There is nobody to tell.
    Waiting,
    /// It no longer held.
    Withdrawn,
}

/// A notice that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub kind: Kind,
    pub key: String,
    pub part: Part,
    /// From when it is too late.
    pub until: Instant,
}

/// What an occasion contributes to what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is told of.
    Tells(Notice),
    /// The notice of another occasion says it, too: what becomes of that becomes of this.
    With,
    /// A nearer one says it.
    Covered,
}

/// Has this occasion been dealt with? One that waits for somebody to tell has not.
fn is_told(seen: &[Seen], kind: Kind, key: &str) -> bool {
    let is_it = |one: &&Seen| one.kind == kind && one.key == key;
    seen.iter().filter(is_it).any(|one| one.state != SeenState::Waiting)
}

#[cfg(test)]
mod stories;
