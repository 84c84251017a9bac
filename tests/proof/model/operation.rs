//! What may happen to an org.

use serde_json::{Value, json};

use super::calendar::{Cycle, ZONES};
use super::real::{org_id, pack_id, user_id};

/// What is metered, in the order of the alphabet.
pub(super) const FEATURES: [&str; 2] = ["minutes_transcribed", "scrapes"];
/// Tiers, lowest first, and what each includes of the features, in units; null is unlimited.
pub(super) const TIERS: [(&str, [Option<i64>; 2]); 4] = [
    ("free", [Some(10), Some(5)]),
    ("starter", [Some(50), Some(20)]),
    ("pro", [Some(200), Some(40)]),
    ("business", [None, Some(100)]),
];

/// One call or statement of an application. Quantities are in millionths, instants in microseconds.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Operation {
    /// `record_usage`; negative amounts are corrections.
    Record {
        feature: usize,
        amount: i64,
        at: i64,
        by_user: bool,
        key: Option<u32>,
    },
    /// `increment_feature_usage` of the org's user, or `increment_org_usage`.
    Use {
        feature: usize,
        amount: i64,
        by_user: bool,
        key: Option<u32>,
    },
    /// `record_usage_batch` of several uses.
    Batch {
        feature: usize,
        uses: Vec<(i64, i64, Option<u32>)>,
    },
    /// An insert that knows nothing of periodd.
    Insert {
        feature: usize,
        amount: i64,
        at: i64,
        by_user: bool,
    },
    Grant {
        feature: usize,
        quantity: i64,
        reference: u32,
        bought: i64,
        expires: Option<i64>,
    },
    /// A pack that is inserted plainly.
    Pack {
        feature: usize,
        quantity: i64,
        reference: u32,
        bought: i64,
        expires: Option<i64>,
    },
    Refund {
        reference: u32,
        quantity: Option<i64>,
        key: u32,
    },
    /// An override; `None` is unlimited.
    Limit {
        feature: usize,
        included: Option<i64>,
    },
    Tier {
        tier: usize,
    },
    NextTier {
        tier: usize,
        at: Option<i64>,
    },
    Calendar {
        cycle: Cycle,
    },
    Pause {
        from: i64,
        until: Option<i64>,
    },
    Resume,
}

impl Operation {
    /// What the database is asked: read by the function `proof_play`.
    pub(super) fn asked(&self, org: usize, now: i64) -> Value {
        let mut asked = match self {
            Self::Record { feature, amount, at, by_user, key } => json!({
                "do": "record", "feature": FEATURES[*feature], "amount": amount, "at": at,
                "user": by_user.then(|| user_id(org)), "key": key.map(|key| format!("k{key}")),
            }),
            Self::Use { feature, amount, by_user, key } => json!({
                "do": "use", "feature": FEATURES[*feature], "amount": amount,
                "user": by_user.then(|| user_id(org)), "key": key.map(|key| format!("k{key}")),
            }),
            Self::Batch { feature, uses } => {
                let uses: Vec<Value> = uses
                    .iter()
                    .map(|(amount, at, key)| {
                        json!({ "feature": FEATURES[*feature], "amount": amount, "at": at,
                                "key": key.map(|key| format!("k{key}")) })
                    })
                    .collect();
                json!({ "do": "batch", "uses": uses })
            }
            Self::Insert { feature, amount, at, by_user } => json!({
                "do": "insert", "feature": FEATURES[*feature], "amount": amount, "at": at,
                "user": by_user.then(|| user_id(org)),
            }),
            Self::Grant { feature, quantity, reference, bought, expires } => json!({
                "do": "grant", "feature": FEATURES[*feature], "amount": quantity,
                "reference": format!("p{reference}"), "at": bought, "expires": expires,
            }),
            Self::Pack { feature, quantity, reference, bought, expires } => json!({
                "do": "pack", "feature": FEATURES[*feature], "amount": quantity,
                "reference": format!("p{reference}"), "at": bought, "expires": expires,
                "id": pack_id(org, *reference),
            }),
            Self::Refund { reference, quantity, key } => json!({
                "do": "refund", "reference": format!("p{reference}"), "amount": quantity,
                "key": format!("r{key}"),
            }),
            Self::Limit { feature, included } => json!({
                "do": "limit", "feature": FEATURES[*feature], "amount": included,
            }),
            Self::Tier { tier } => json!({ "do": "tier", "tier": TIERS[*tier].0 }),
            Self::NextTier { tier, at } => {
                json!({ "do": "next tier", "tier": TIERS[*tier].0, "at": at })
            }
            Self::Calendar { cycle } => json!({
                "do": "calendar", "zone": ZONES[cycle.zone], "cycle": cycle.name,
                "day": cycle.day, "month": cycle.month,
            }),
            Self::Pause { from, until } => json!({ "do": "pause", "at": from, "until": until }),
            Self::Resume => json!({ "do": "resume" }),
        };
        asked["org"] = json!(org_id(org));
        asked["now"] = json!(now);
        asked
    }
}

/// What periodd does of its own accord to all orgs, or to one that is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    Rollover,
    /// The open period of an org is closed now; the new one ends where it would have.
    Early {
        org: usize,
    },
    Sync,
    Audit,
    Alerts,
    Retention,
}

/// A step of a run.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    Act {
        org: usize,
        now: i64,
        operation: Operation,
    },
    /// `cut`: the connection breaks at this message of the client, and the job is run again.
    Job {
        job: Job,
        now: i64,
        cut: Option<u32>,
    },
    /// What was done since the last job is committed in one transaction; `cut`: and the connection
    /// breaks there, before or after.
    Commit {
        cut: Option<bool>,
    },
}
