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
use crate::text::visible;

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
    included_left: Option<Quantity>,
    /// What purchased packs have left for this period.
    purchased_left: Quantity,
    /// What may still be used; null: unlimited.
    remaining: Option<Quantity>,
    /// How much more than that would be needed; null: nothing.
    short_by: Option<Quantity>,
    period_start: Option<Instant>,
    /// When usage resets.
    resets_at: Option<Instant>,
    /// The same on the organization's own clock.
    resets_at_local: Option<String>,
    time_zone: String,
    /// The cheapest packs that would cover what is short.
    offers: Vec<Offered>,
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
}

/// A pack on sale.
#[derive(Serialize, JsonSchema)]
pub(super) struct Offered {
    code: String,
    /// How many of it.
    count: u32,
    quantity: Quantity,
    price_cents: i64,
    currency: String,
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
    let Standing { slug, tier, time_zone, as_of, limits, .. } = standing;
    let Some(limit) = limits.into_iter().next() else { return Err(call.unknown_org()) };
    let zone = (call.shared.around.tz)().zone(&time_zone).ok();
    let is_open = limit.period_start.is_some();
    let short_by = limit.remaining.map(|remaining| amount.minus(remaining));
    let short_by = short_by.and_then(Result::ok).filter(|short| short.is_positive());
    let reason = match (limit.why_not, short_by) {
        (Some(WhyNot::NoPeriod), _) => Some(Reason::NoOpenPeriod),
        (Some(WhyNot::BeyondEnds), _) => Some(Reason::NotCalculated),
        (_, None) => None,
        (_, Some(_)) if !limit.is_granted => Some(Reason::NotIncluded),
        (_, Some(_)) if limit.drawn.is_zero() && limit.usable.is_zero() => {
            Some(Reason::IncludedUsedUp)
        }
        (_, Some(_)) => Some(Reason::PacksUsedUp),
    };
    let allowed = is_open && reason.is_none();
    let offers = match short_by.filter(|_| !allowed) {
        Some(need) => {
            let (on_sale, currency) =
                asked::on_sale(&mut *call.turn().await?, &limit.feature, &tier).await?;
            offers::recommended(&on_sale, &currency, need)
        }
        None => Vec::new(),
    };
    let read = Read { limit, zone, time_zone, as_of };
    let standing = read.standing(amount, reason, short_by, offers);
    let message = message(&slug, &standing);
    Ok(Checked { allowed, message, standing })
}

/// What was read of a feature in one instant.
struct Read {
    limit: Limit,
    /// `None`: the tz database does not know it.
    zone: Option<Zone>,
    time_zone: String,
    as_of: Instant,
}

impl Read {
    /// The same as people can be told.
    fn standing(
        self,
        amount: Quantity,
        reason: Option<Reason>,
        short_by: Option<Quantity>,
        offers: Vec<(u32, Offer)>,
    ) -> FeatureStanding {
        let Self { limit, zone, time_zone, as_of } = self;
        let included_left = match (limit.included, limit.remaining) {
            (Some(_), Some(remaining)) => {
                Some(remaining.minus(limit.purchased_remaining).unwrap_or_default().or_zero())
            }
            _ => None,
        };
        let offers = offers.into_iter().map(|(count, offer)| Offered {
            code: offer.code,
            count,
            quantity: offer.quantity,
            price_cents: offer.price_cents,
            currency: offer.currency,
        });
        FeatureStanding {
            reason,
            feature: limit.feature,
            amount,
            used: limit.used,
            included: limit.included,
            included_left,
            purchased_left: limit.purchased_remaining,
            remaining: limit.remaining,
            short_by,
            period_start: limit.period_start,
            resets_at: limit.period_end,
            resets_at_local: zone.zip(limit.period_end).map(|(zone, end)| zone.local(end)),
            time_zone,
            offers: offers.collect(),
            as_of,
        }
    }
}

/// One sentence that says all of it.
fn message(org: &str, standing: &FeatureStanding) -> String {
    let FeatureStanding { feature, amount, used, remaining, .. } = standing;
    let left = remaining.map_or_else(|| "unlimited".to_owned(), |left| left.to_string());
    let reset = standing.resets_at_local.as_ref().map(|at| format!("; usage resets {at}"));
    let reset = reset.unwrap_or_default();
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
    }
}
