//! Users' own limits, with what they have used.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, Period, Quantity};
use crate::store::StoreError;

/// The orgs with a user who has used at least so many percent of a limit of their own, in order.
pub async fn orgs_with_user_limits(
    connection: &mut PgConnection,
    percent: u8,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct l.organization_id from user_limits l
         join organizations o on o.id = l.organization_id
         join feature_usage f
              on f.organization_id = l.organization_id and f.user_id = l.user_id
                 and f.feature = l.feature and f.period_start = o.current_period_start
         where o.parked_at is null and o.current_period_end > $2 and f.usage_count > 0
           and f.usage_count * 100 >= l.included * $1::int
         order by l.organization_id",
        i32::from(percent),
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// A limit of a user's own, with the user's counter in the open period.
#[derive(Debug, Clone)]
pub struct UserLimit {
    pub org: Uuid,
    pub user: Uuid,
    /// Where the user is reached.
    pub email: String,
    pub feature: String,
    pub period: Period,
    pub used: Quantity,
    pub included: Quantity,
}

/// The limits of users of some orgs; but for orgs that are parked or paused.
pub async fn user_limits_of(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<Vec<UserLimit>, StoreError> {
    let rows = sqlx::query!(
        "select o.id, l.user_id, u.email, l.feature, f.period_start, f.period_end,
                f.usage_count as used, l.included
         from unnest($1::uuid[]) as asked (org_id)
         join organizations o on o.id = asked.org_id
         join user_limits l on l.organization_id = o.id
         join users u on u.organization_id = l.organization_id and u.id = l.user_id
         join feature_usage f
              on f.organization_id = l.organization_id and f.user_id = l.user_id
                 and f.feature = l.feature and f.period_start = o.current_period_start
         where o.parked_at is null and o.current_period_end > $2 and f.usage_count > 0
           and not periodd_is_paused(o.paused_from, o.paused_until, $2)
         order by o.id, l.user_id, l.feature",
        orgs,
        now
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| UserLimit {
        org: row.id,
        user: row.user_id,
        email: row.email,
        feature: row.feature,
        period: Period { start: row.period_start, end: row.period_end },
        used: row.used,
        included: row.included,
    });
    Ok(rows.collect())
}
