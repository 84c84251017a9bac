//! Notices: which kinds of emails there are beside thresholds, when, and to whom.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::billing::notice::Kind;
use crate::billing::recipients::{ContactRole, Terms};
use crate::config::values::Thresholds;

/// Emails beside those about thresholds.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notices {
    /// The allowance will probably run out in the period.
    pub runs_out: Notice,
    /// Packs with something left expire.
    pub pack_expires: Dated,
    /// The subscription ends.
    pub subscription_ends: Dated,
    /// The trial ends.
    pub trial_ends: Dated,
    /// Another tier applies.
    pub tier_changes: Dated,
    /// The limit is still exceeded.
    pub limit_reached_again: Again,
    /// What a closed period was.
    pub summary: Notice,
    /// A user reached a threshold of a limit of their own; for that user.
    pub user_limit: OfUsers,
    /// An org was parked; for the operators.
    pub org_parked: ForOperators,
    /// Purchased units that no pack stands for; for the operators.
    pub purchase_without_pack: ForOperators,
}

/// A kind of notice.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Whether it is sent.
    pub enabled: bool,
    /// Roles of the contacts that get it; contacts without a role get it, too. Empty: all contacts.
    pub recipients: Vec<ContactRole>,
    /// Whether recipients can unsubscribe from it.
    pub opt_out: bool,
}

/// A notice some days before something happens.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dated {
    /// Whether it is sent.
    pub enabled: bool,
    /// Days before, on the org's calendar.
    pub days: DaysBefore,
    /// Roles of the contacts that get it; contacts without a role get it, too. Empty: all contacts.
    pub recipients: Vec<ContactRole>,
    /// Whether recipients can unsubscribe from it.
    pub opt_out: bool,
}

/// Reminders while the limit is exceeded.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// Whether it is sent.
    pub enabled: bool,
    /// Days between two reminders.
    #[schemars(range(min = 1, max = 90))]
    pub every_days: u8,
    /// Thresholds above 100 %.
    pub thresholds: Beyond,
    /// Roles of the contacts that get it; contacts without a role get it, too. Empty: all contacts.
    pub recipients: Vec<ContactRole>,
    /// Whether recipients can unsubscribe from it.
    pub opt_out: bool,
}

/// Thresholds of users' own limits.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfUsers {
    /// Whether it is sent.
    pub enabled: bool,
    /// Whole percentages of the user's limit, in ascending order.
    pub thresholds: Thresholds,
    /// Whether users can unsubscribe from it.
    pub opt_out: bool,
}

/// A notice to `[mail] operators`.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForOperators {
    /// Whether it is sent.
    pub enabled: bool,
}

/// Days before something happens: whole, from 1 to 90.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct DaysBefore(pub Vec<u8>);

impl JsonSchema for DaysBefore {
    fn schema_name() -> Cow<'static, str> {
        "DaysBefore".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "maxItems": 10,
            "uniqueItems": true,
            "items": { "type": "integer", "minimum": 1, "maximum": 90 }
        })
    }
}

/// Percentages above 100: whole, rising, up to 250.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Beyond(pub Vec<u8>);

impl JsonSchema for Beyond {
    fn schema_name() -> Cow<'static, str> {
        "Beyond".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "format": "rising",
            "maxItems": 10,
            "uniqueItems": true,
            "items": { "type": "integer", "minimum": 101, "maximum": 250 }
        })
    }
}

impl Notices {
    /// All kinds, each with whom it goes to and whether it is sent.
    pub fn terms(&self) -> Vec<(Terms, bool)> {
        let dated = |kind, dated: &Dated| {
            let is_enabled = dated.enabled && !dated.days.0.is_empty();
            (kind, is_enabled, dated.recipients.clone(), dated.opt_out)
        };
        let plain = |kind, one: &Notice| (kind, one.enabled, one.recipients.clone(), one.opt_out);
        let (again, own) = (&self.limit_reached_again, &self.user_limit);
        let has_levels = !own.thresholds.0.is_empty();
        let all = [
            plain(Kind::RunsOut, &self.runs_out),
            dated(Kind::PackExpires, &self.pack_expires),
            dated(Kind::SubscriptionEnds, &self.subscription_ends),
            dated(Kind::TrialEnds, &self.trial_ends),
            dated(Kind::TierChanges, &self.tier_changes),
            (Kind::LimitReachedAgain, again.enabled, again.recipients.clone(), again.opt_out),
            plain(Kind::Summary, &self.summary),
            (Kind::UserLimit, own.enabled && has_levels, Vec::new(), own.opt_out),
            (Kind::OrgParked, self.org_parked.enabled, Vec::new(), false),
            (Kind::PurchaseWithoutPack, self.purchase_without_pack.enabled, Vec::new(), false),
        ];
        let terms = all.into_iter();
        terms.map(|(kind, is_on, roles, opt_out)| (Terms { kind, roles, opt_out }, is_on)).collect()
    }

    /// Thresholds above 100 %, where they are wanted.
    pub fn beyond(&self) -> &[u8] {
        let again = &self.limit_reached_again;
        if again.enabled { &again.thresholds.0 } else { &[] }
    }
}
