//! What the page reads of an org, all of it of one moment.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::billing::offers::Offer;
use crate::billing::{Instant, Quantity};
use crate::http::limits::{Verdict, covering};
use crate::jobs::explain::{self, Course, Explanation, Subject};
use crate::store::audit::derived::Target;
use crate::store::messages::outbox::{self, EmailRow};
use crate::store::reports::picture::{self, AlertSetting, Step};
use crate::store::usage::asked::Standing;
use crate::store::usage::limits;
use crate::store::{Connection, StoreError};
use crate::tz::TzData;

/// Emails that are read.
const EMAILS: i64 = 40;
/// Features that are refused for which offers are looked for.
const OFFERED: usize = 8;

/// What is known of an org.
pub(super) struct Known {
    pub(super) found: Explanation,
    /// By feature.
    pub(super) courses: BTreeMap<String, Course>,
    /// The limits that a check decides by.
    pub(super) standing: Standing,
    /// What would cover one more unit, by feature.
    pub(super) offers: HashMap<String, Vec<(u32, Offer)>>,
    pub(super) settings: Vec<AlertSetting>,
    /// The ledgers of the packs that are shown.
    pub(super) steps: Vec<Step>,
    /// The last emails, newest first.
    pub(super) emails: Vec<EmailRow>,
}

/// What is asked of one more.
pub(super) fn one() -> Quantity {
    Quantity::units(1)
}

/// Reads it, in a transaction that has begun.
pub(super) async fn known(
    look: &mut Connection,
    tz: &TzData,
    derived: &[Target],
    org: Uuid,
    now: Instant,
) -> Result<Known, StoreError> {
    let subject = Subject { org, user: None };
    let (found, courses) = explain::read_by_day(look, tz, derived, subject, now).await?;
    let standing = Standing {
        org,
        slug: found.org.slug.clone(),
        time_zone: found.org.time_zone.clone(),
        tier: found.org.subscription_tier.clone(),
        subscription_status: found.org.subscription_status.clone(),
        as_of: now,
        is_known_feature: true,
        limits: limits::of(look, org, None, now).await?,
    };
    let mut offers = HashMap::new();
    let limits = standing.limits.iter();
    let needs = limits.filter_map(|limit| Some((limit, Verdict::of(limit, one()).needs()?)));
    for (limit, need) in needs.filter(|(limit, _)| limit.is_granted).take(OFFERED) {
        let covering = covering(look, &limit.feature, &found.org.subscription_tier, need).await?;
        offers.insert(limit.feature.clone(), covering);
    }
    let settings = picture::alert_settings(look, org).await?;
    let packs: Vec<Uuid> = found.packs.iter().map(|pack| pack.id).collect();
    let steps = picture::steps(look, org, &packs).await?;
    let emails = outbox::of_org(look, org, EMAILS).await?;
    Ok(Known { found, courses, standing, offers, settings, steps, emails })
}
