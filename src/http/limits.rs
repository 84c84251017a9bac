//! What an org may use: limits, and whether a use would be allowed.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use super::answer::{Answer, json};
use super::call::{Access, Call, Kind, Parameter, Route};
use super::problem::{Code, Problem};
use crate::billing::catalogue::UnknownFeature;
use crate::billing::offers::{self, Offer};
use crate::billing::{Instant, Quantity, Zone};
use crate::store::tokens::Scope;
use crate::store::usage::asked::{self, Question, Standing};
use crate::store::usage::limits::{Limit, WhyNot};
use crate::store::usage::usage_file;
use crate::store::{Connection, StoreError};
use crate::text::visible;
use crate::tz::TzData;

const FEATURE: Parameter = Parameter {
    name: "feature",
    meaning: "Only this feature, in any case of letters.",
    example: "minutes_transcribed",
    kind: Kind::Text,
    is_required: false,
};
const AMOUNT: Parameter = Parameter {
    name: "amount",
    meaning: "How much would be used; 1 if not given.",
    example: "12.5",
    kind: Kind::Quantity,
    is_required: false,
};

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        method: axum::http::Method::GET,
        path: "/api/v1/usage/{org}/limits",
        access: Access::Needs(Scope::Read),
        summary: "What an organization has used and may still use, per feature.",
        parameters: &[FEATURE],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<Limits>),
        media_types: &["application/json"],
        problems: &[Code::UnknownOrg, Code::UnknownFeature],
        handler: |call| Box::pin(limits(call)),
    },
    Route {
        method: axum::http::Method::GET,
        path: "/api/v1/usage/{org}/check/{feature}",
        access: Access::Needs(Scope::Read),
        summary: "Whether a use would be allowed now, and if not, why. Nothing is reserved.",
        parameters: &[AMOUNT],
        bodies: &[],
        answer: Some(SchemaGenerator::subschema_for::<Checked>),
        media_types: &["application/json"],
        problems: &[Code::UnknownOrg, Code::UnknownFeature],
        handler: |call| Box::pin(check(call)),
    },
];

/// The limits of an organization.
#[derive(Serialize, JsonSchema)]
pub(super) struct Limits {
    /// Its slug.
    org: String,
    /// When this was so.
    as_of: Instant,
    time_zone: String,
    #[serde(rename = "limits")]
    features: Vec<Limit>,
}

/// Whether a use would be allowed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Checked {
    pub(super) allowed: bool,
    /// One sentence for people.
    message: String,
    #[serde(flatten)]
    pub(super) standing: FeatureStanding,
}

/// How an organization stands with a feature, as people can be told.
#[derive(Serialize, JsonSchema)]
pub(super) struct FeatureStanding {
    /// Why the use would be refused; null: it would be allowed.
    reason: Option<Reason>,
    feature: String,
    /// How much would be used.
    amount: Quantity,
    used: Quantity,
    /// What the tier or an override includes; null: unlimited.
    included: Option<Quantity>,
    /// What is left of that; null: unlimited.
    pub(super) included_left: Option<Quantity>,
    /// What purchased packs have left for this period.
    pub(super) purchased_left: Quantity,
    /// What may still be used; null: unlimited.
    remaining: Option<Quantity>,
    /// How much more than that would be needed; null: nothing.
    short_by: Option<Quantity>,
    period_start: Option<Instant>,
    /// When usage resets; null: never, as of a level, or where the period never ends.
    pub(super) resets_at: Option<Instant>,
    /// The same on the organization's own clock.
    resets_at_local: Option<String>,
    time_zone: String,
    /// The cheapest packs that would cover what is short.
    pub(super) offers: Vec<Offered>,
    as_of: Instant,
}

/// Why a use is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// The included quantity is used up, and no packs were bought.
    IncludedUsedUp,
    /// The included quantity and the packs are used up.
    PacksUsedUp,
    /// Neither the tier nor an override includes any, and packs do not reach.
    NotIncluded,
    /// No billing period is open.
    NoOpenPeriod,
    /// The calendar of the organization is not calculated that far.
    NotCalculated,
    /// The organization is paused.
    Paused,
}

/// A pack on sale.
#[derive(Serialize, JsonSchema)]
pub(super) struct Offered {
    pub(super) code: String,
    /// How many of it.
    pub(super) count: u32,
    pub(super) quantity: Quantity,
    pub(super) price_cents: i64,
    pub(super) currency: String,
}

impl From<Standing> for Limits {
    fn from(standing: Standing) -> Self {
        let Standing { slug: org, as_of, time_zone, limits, .. } = standing;
        Self { org, as_of, time_zone, features: limits }
    }
}

async fn ask(call: &Call, feature: Option<&str>) -> Result<Standing, Problem> {
    let question =
        Question { org: call.part("org").to_owned(), feature: feature.map(str::to_owned) };
    let found = call.shared.together.ask(question).await?;
    let found = found.filter(|standing| call.permits(standing.org));
    let standing = found.ok_or_else(|| call.unknown_org())?;
    match feature {
        Some(feature) if !standing.is_known_feature => Err(unknown_feature(call, feature).await?),
        _ => Ok(standing),
    }
}

/// The answer to a feature that does not exist, with those that do.
pub(super) async fn unknown_feature(call: &Call, feature: &str) -> Result<Problem, Problem> {
    let known = usage_file::features(&mut *call.turn().await?).await?;
    let unknown = UnknownFeature::new(&visible(feature), &known);
    Ok(Problem::new(Code::UnknownFeature, unknown.to_string()))
}

async fn limits(call: Call) -> Result<Answer, Problem> {
    Ok(json(&Limits::from(ask(&call, call.parameter("feature")).await?)))
}

async fn check(call: Call) -> Result<Answer, Problem> {
    let amount = call.parsed("amount")?.unwrap_or(Quantity::units(1));
    if !amount.is_positive() {
        let detail = format!("the parameter `amount`: {amount} must be greater than zero");
        return Err(Problem::new(Code::Invalid, detail));
    }
    let standing = ask(&call, Some(call.part("feature"))).await?;
    Ok(json(&checked(&call, standing, amount).await?))
}

/// Decides by what was read in one instant, and says so.
pub(super) async fn checked(
    call: &Call,
    standing: Standing,
    amount: Quantity,
) -> Result<Checked, Problem> {
    let whose = Whose::of(&standing, &(call.shared.around.tz)());
    let Some(limit) = standing.limits.into_iter().next() else { return Err(call.unknown_org()) };
    let verdict = Verdict::of(&limit, amount);
    let offers = match verdict.needs() {
        Some(need) => {
            let turn = &mut *call.turn().await?;
            covering(turn, &limit.feature, &standing.tier, need).await?
        }
        None => Vec::new(),
    };
    Ok(verdict.said(&whose, limit, offers))
}

/// The cheapest packs on sale that would cover a need.
pub(super) async fn covering(
    connection: &mut Connection,
    feature: &str,
    tier: &str,
    need: Quantity,
) -> Result<Vec<(u32, Offer)>, StoreError> {
    let (on_sale, currency) = asked::on_sale(connection, feature, tier).await?;
    Ok(offers::recommended(&on_sale, &currency, need))
}

/// Whether a use would be allowed, and if not, why.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    amount: Quantity,
    pub(super) is_allowed: bool,
    reason: Option<Reason>,
    short_by: Option<Quantity>,
}

impl Verdict {
    /// The rule.
    pub(super) fn of(limit: &Limit, amount: Quantity) -> Self {
        let short_by = limit.remaining.map(|remaining| amount.minus(remaining));
        let short_by = short_by.and_then(Result::ok).filter(|short| short.is_positive());
        let reason = match (limit.why_not, short_by) {
            (Some(WhyNot::NoPeriod), _) => Some(Reason::NoOpenPeriod),
            (Some(WhyNot::BeyondEnds), _) => Some(Reason::NotCalculated),
            (Some(WhyNot::Paused), _) => Some(Reason::Paused),
            (_, None) => None,
            (_, Some(_)) if !limit.is_granted => Some(Reason::NotIncluded),
            (_, Some(_)) if limit.drawn.is_zero() && limit.usable.is_zero() => {
                Some(Reason::IncludedUsedUp)
            }
            (_, Some(_)) => Some(Reason::PacksUsedUp),
        };
        let is_allowed = limit.period_start.is_some() && reason.is_none();
        Self { amount, is_allowed, reason, short_by }
    }

    /// What packs would have to cover.
    pub(super) fn needs(self) -> Option<Quantity> {
        let is_paused = self.reason == Some(Reason::Paused);
        self.short_by.filter(|_| !self.is_allowed && !is_paused)
    }

    /// The same as people can be told.
    pub(super) fn said(self, whose: &Whose, limit: Limit, offers: Vec<(u32, Offer)>) -> Checked {
        let Self { amount, is_allowed, reason, short_by } = self;
        let ends = limit.period_end.filter(|end| *end != Instant::NEVER);
        let resets_at = ends.filter(|_| !limit.is_level);
        let offers = offers.into_iter().map(|(count, offer)| Offered {
            code: offer.code,
            count,
            quantity: offer.quantity,
            price_cents: offer.price_cents,
            currency: offer.currency,
        });
        let standing = FeatureStanding {
            reason,
            included_left: included_left(&limit),
            feature: limit.feature,
            amount,
            used: limit.used,
            included: limit.included,
            purchased_left: limit.purchased_remaining,
            remaining: limit.remaining,
            short_by,
            period_start: limit.period_start,
            resets_at,
            resets_at_local: whose.zone.as_ref().zip(resets_at).map(|(zone, end)| zone.local(end)),
            time_zone: whose.time_zone.clone(),
            offers: offers.collect(),
            as_of: whose.as_of,
        };
        let reset = standing.resets_at_local.as_ref().map(|at| format!("; usage resets {at}"));
        let message = message(&whose.slug, &standing, &reset.unwrap_or_default());
        Checked { allowed: is_allowed, message, standing }
    }
}

/// What is left of what is included; `None`: unlimited.
pub(super) fn included_left(limit: &Limit) -> Option<Quantity> {
    limit.included?;
    let left = limit.remaining?.minus(limit.purchased_remaining);
    Some(left.unwrap_or_default().or_zero())
}

/// Whose feature it is, and when.
pub(super) struct Whose {
    slug: String,
    /// `None`: the tz database does not know it.
    zone: Option<Zone>,
    time_zone: String,
    as_of: Instant,
}

impl Whose {
    pub(super) fn of(standing: &Standing, tz: &TzData) -> Self {
        Self {
            slug: standing.slug.clone(),
            zone: tz.zone(&standing.time_zone).ok(),
            time_zone: standing.time_zone.clone(),
            as_of: standing.as_of,
        }
    }
}

/// One sentence that says all of it, with `reset` where that helps.
pub(super) fn message(org: &str, standing: &FeatureStanding, reset: &str) -> String {
    let FeatureStanding { feature, amount, used, remaining, .. } = standing;
    let left = remaining.map_or_else(|| "unlimited".to_owned(), |left| left.to_string());
    let needed = format!("{amount} {feature} needed, {left} left");
    match standing.reason {
        None => format!("{amount} {feature} can be used: {used} used so far, {left} left{reset}."),
        Some(Reason::IncludedUsedUp) => {
            format!("The included quantity of {org} is used up: {needed}{reset}.")
        }
        Some(Reason::PacksUsedUp) => format!(
            "The included quantity and the purchased packs of {org} are used up: {needed}{reset}."
        ),
        Some(Reason::NotIncluded) => {
            format!("{feature} is not included in the plan of {org}: {needed}.")
        }
        Some(Reason::NoOpenPeriod) => format!("{org} has no open billing period."),
        Some(Reason::NotCalculated) => {
            format!("The next billing periods of {org} are not calculated yet; try again soon.")
        }
        Some(Reason::Paused) => format!("{org} is paused: nothing can be used until it resumes."),
    }
}
