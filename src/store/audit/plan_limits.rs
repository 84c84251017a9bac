//! `users.plan_limits_scrapes`: what an org may use of scrapes, shown in the rows of its users.
//!
//! It is written for applications that read it there, and read by nothing of ours. A rollover
//! writes it with the users' usage (`apply`); what a limit moved since, an audit finds here.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::db::error::StoreError;

/// The orgs among these, not parked, whose users' rows show another limit than holds.
pub async fn outdated(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct u.organization_id
         from organizations o
         join users u on u.organization_id = o.id
         cross join lateral periodd_included(o.id, 'scrapes', o.subscription_tier) i
         cross join lateral (
             select periodd_kept_in(o.id, 'scrapes', o.current_period_start, i.included)
                        as included
             offset 0) k
         where o.id = any($1) and o.parked_at is null
           and u.plan_limits_scrapes is distinct from k.included",
        orgs
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// Writes the limit that holds into the users' rows of orgs that show another. Returns how many.
pub async fn write(connection: &mut PgConnection, orgs: &[Uuid]) -> Result<u64, StoreError> {
    let written = sqlx::query!(
        "update users u set plan_limits_scrapes = n.included
         from (select o.id,
                      periodd_kept_in(o.id, 'scrapes', o.current_period_start, i.included)
                          as included
               from organizations o
               cross join lateral periodd_included(o.id, 'scrapes', o.subscription_tier) i
               where o.id = any($1) and o.parked_at is null) n
         where u.organization_id = n.id and u.plan_limits_scrapes is distinct from n.included",
        orgs
    );
    Ok(written.execute(connection).await?.rows_affected())
}
