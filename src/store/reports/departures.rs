//! What is left of orgs and people that went, where half of it was done by hand.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::db::error::StoreError;

/// Rows that are named of each kind.
const NAMED: i64 = 20;

/// Counters of a user whom the org does not have.
#[derive(Debug, Clone)]
pub struct Stray {
    /// The org, by its slug.
    pub org: String,
    pub user: Uuid,
    /// The org that the user is in now; `None`: nobody has such a user.
    pub now_in: Option<String>,
}

/// Users that an application deleted, or put into another org, while what they used in the open
/// period stayed. Closed periods are history, and a user who was merged leaves it behind.
pub async fn strays(connection: &mut PgConnection) -> Result<Vec<Stray>, StoreError> {
    let strays = sqlx::query_as!(
        Stray,
        r#"select o.slug as org, f.user_id as "user", n.slug as "now_in?"
           from (select distinct c.organization_id, c.user_id from feature_usage c
                 join organizations k on k.id = c.organization_id
                 where c.usage_count <> 0 and k.removed_at is null) f
           join organizations o on o.id = f.organization_id
           left join users u on u.id = f.user_id
           left join organizations n on n.id = u.organization_id
           where u.id is null
              or u.organization_id <> f.organization_id
                 and exists (select from feature_usage c
                             where c.organization_id = f.organization_id and c.user_id = f.user_id
                               and c.usage_count <> 0 and c.period_start >= o.current_period_start)
           order by o.slug, f.user_id limit $1"#,
        NAMED
    );
    Ok(strays.fetch_all(connection).await?)
}

/// A removed org that has something of a customer again.
#[derive(Debug, Clone)]
pub struct Revenant {
    /// The org, by its slug.
    pub org: String,
    /// Metrics that nobody will count.
    pub metrics: i64,
}

/// Removed orgs that applications went on writing to.
pub async fn revenants(connection: &mut PgConnection) -> Result<Vec<Revenant>, StoreError> {
    let revenants = sqlx::query_as!(
        Revenant,
        r#"select o.slug as org, m.metrics as "metrics!"
           from organizations o
           cross join lateral (
               select (select count(*) from users u where u.organization_id = o.id)
                      + (select count(*) from org_contacts c where c.org_id = o.id) as people
               offset 0) p
           cross join lateral (
               select count(*) as metrics from usage_metrics m
               where m.organization_id = o.id and m.counted_at is null offset 0) m
           where o.removed_at is not null and (p.people > 0 or m.metrics > 0)
           order by o.id limit $1"#,
        NAMED
    );
    Ok(revenants.fetch_all(connection).await?)
}

/// Tokens that are for an org that is gone, by name.
pub async fn tokens(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let tokens = sqlx::query_scalar!(
        "select t.name from periodd_tokens t
         where t.only_org is not null and t.revoked_at is null
           and (t.expires_at > now()) is not false
           and not exists (select from organizations o
                           where o.id = t.only_org and o.removed_at is null offset 0)
         order by t.name limit $1",
        NAMED
    );
    Ok(tokens.fetch_all(connection).await?)
}
