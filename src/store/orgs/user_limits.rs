//! Limits of single users, at which they are warned. Nothing is refused by them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Quantity;
use crate::store::db::error::StoreError;

/// A user's own limit, with what the user has used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct OwnLimit {
    /// The user.
    pub user: Uuid,
    /// The org, by its slug.
    pub org: String,
    /// Where the user is reached.
    pub email: String,
    /// The feature.
    pub feature: String,
    /// The limit per period.
    pub included: Quantity,
    /// What the user has used in the open period.
    pub used: Quantity,
}

/// A user in an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub org: Uuid,
    pub user: Uuid,
}

/// The users with this address or id, in one org or in all.
pub async fn members(
    connection: &mut PgConnection,
    email: &str,
    id: Option<Uuid>,
    org: Option<Uuid>,
) -> Result<Vec<Member>, StoreError> {
    let members = sqlx::query_as!(
        Member,
        "select organization_id as org, id as user from users
         where (lower(email) = lower($1) or id = $2)
           and ($3::uuid is null or organization_id = $3)
         order by organization_id, id limit 10",
        email,
        id,
        org
    );
    Ok(members.fetch_all(connection).await?)
}

/// The limits of one user, of an org's users or of all, by org, email and feature; at most `limit`.
pub async fn list(
    connection: &mut PgConnection,
    org: Option<Uuid>,
    user: Option<Uuid>,
    limit: Option<i64>,
) -> Result<Vec<OwnLimit>, StoreError> {
    let limits = sqlx::query_as!(
        OwnLimit,
        r#"select l.user_id as user, o.slug as org, u.email, l.feature, l.included,
                  coalesce(f.usage_count, 0) as "used!"
           from user_limits l
           join organizations o on o.id = l.organization_id
           join users u on u.organization_id = l.organization_id and u.id = l.user_id
           left join feature_usage f
                on f.organization_id = l.organization_id and f.user_id = l.user_id
                   and f.feature = l.feature and f.period_start = o.current_period_start
           where ($1::uuid is null or l.organization_id = $1)
             and ($2::uuid is null or l.user_id = $2)
           order by o.slug, u.email, l.user_id, l.feature limit $3"#,
        org,
        user,
        limit
    );
    Ok(limits.fetch_all(connection).await?)
}

/// Sets limits of a user, and returns how many: none of one who has gone.
pub async fn set(
    connection: &mut PgConnection,
    member: Member,
    limits: &[(String, Quantity)],
) -> Result<usize, StoreError> {
    let (features, included): (Vec<String>, Vec<Quantity>) = limits.iter().cloned().unzip();
    let set = sqlx::query!(
        "insert into user_limits (organization_id, user_id, feature, included)
         select u.organization_id, u.id, m.feature, m.included
         from users u
         cross join unnest($3::text[], $4::numeric[]) as m (feature, included)
         where u.organization_id = $1 and u.id = $2
         order by m.feature
         on conflict (organization_id, user_id, feature) do update
             set included = excluded.included",
        member.org,
        member.user,
        &features,
        &included
    );
    let set = set.execute(connection).await?;
    Ok(usize::try_from(set.rows_affected()).unwrap_or(usize::MAX))
}

/// Removes limits of a user, and returns the features of those that there were.
pub async fn remove(
    connection: &mut PgConnection,
    member: Member,
    features: &[String],
) -> Result<Vec<String>, StoreError> {
    let removed = sqlx::query_scalar!(
        "delete from user_limits
         where organization_id = $1 and user_id = $2 and feature = any($3)
         returning feature",
        member.org,
        member.user,
        features
    );
    Ok(removed.fetch_all(connection).await?)
}
