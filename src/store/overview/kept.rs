//! The rows that are kept, by hour and feature.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::{Instant, LocalDate, Quantity};
use crate::store::db::error::StoreError;

/// Tenths below the allowance, two above it, and everything beyond those.
pub const PARTS: usize = 13;

/// One feature at one hour.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub feature: String,
    pub tenths: [u64; PARTS],
    pub tiers: Vec<Tier>,
    pub most: Vec<Most>,
    pub ahead: Outlook,
}

/// The orgs of a tier that have used the feature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    pub tier: String,
    pub orgs: u64,
    /// Those among them that nothing limits.
    pub unlimited: u64,
    pub used: Quantity,
    /// What is included for those that are limited.
    pub included: Quantity,
}

/// An org with much usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Most {
    pub org: Uuid,
    pub used: Quantity,
    /// `None`: nothing limits it.
    pub allowance: Option<Quantity>,
}

/// Who will have used up the allowance before the end of the period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Those whose forecast says so, the soonest first.
    pub orgs: Vec<RunsOut>,
    /// Orgs whose forecast was looked at.
    pub looked_at: u64,
    /// Orgs whose forecast could not be read in time.
    pub unread: u64,
}

/// An org that will have used up its allowance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsOut {
    pub org: Uuid,
    pub used: Quantity,
    pub allowance: Quantity,
    /// The day in the org's zone.
    pub on: LocalDate,
    /// What will have been used when the period ends.
    pub at_end: Quantity,
    pub resets: Instant,
}

/// A feature at one hour, with the time at which that was read.
#[derive(Debug, Clone)]
pub struct Kept {
    pub taken_at: Instant,
    pub figures: Figures,
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Failed(format!("periodd_overview contains what is not understood: {error}"))
}

/// Is there anything of that hour?
pub async fn has(connection: &mut PgConnection, hour: Instant) -> Result<bool, StoreError> {
    let has = sqlx::query_scalar!(
        r#"select exists (select 1 from periodd_overview where hour = $1) as "has!""#,
        hour
    );
    Ok(has.fetch_one(connection).await?)
}

/// Keeps the features of an hour; what was kept of it before is replaced.
pub async fn keep(
    connection: &mut PgConnection,
    hour: Instant,
    taken_at: Instant,
    all: &[Figures],
) -> Result<(), StoreError> {
    let features: Vec<&str> = all.iter().map(|one| one.feature.as_str()).collect();
    let json = |part: fn(&Figures) -> serde_json::Result<String>| {
        all.iter().map(part).collect::<serde_json::Result<Vec<String>>>()
    };
    let texts = (|| {
        Ok([
            json(|one| serde_json::to_string(&one.tenths))?,
            json(|one| serde_json::to_string(&one.tiers))?,
            json(|one| serde_json::to_string(&one.most))?,
            json(|one| serde_json::to_string(&one.ahead))?,
        ])
    })();
    let [tenths, tiers, most, ahead] = texts.map_err(|error| unreadable(&error))?;
    let written = sqlx::query!(
        "insert into periodd_overview as k (hour, feature, taken_at, tenths, tiers, most, ahead)
         select $1, u.feature, $2, u.tenths::jsonb, u.tiers::jsonb, u.most::jsonb, u.ahead::jsonb
         from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
                  as u (feature, tenths, tiers, most, ahead)
         order by u.feature
         on conflict (hour, feature) do update
         set taken_at = excluded.taken_at, tenths = excluded.tenths, tiers = excluded.tiers,
             most = excluded.most, ahead = excluded.ahead
         where k.taken_at <= excluded.taken_at",
        hour,
        taken_at,
        &features as &[&str],
        &tenths,
        &tiers,
        &most,
        &ahead
    );
    written.execute(connection).await?;
    Ok(())
}

/// The features of the last hour that was kept, by name.
pub async fn latest(connection: &mut PgConnection) -> Result<Vec<Kept>, StoreError> {
    let rows = sqlx::query!(
        r#"select feature, taken_at, tenths::text as "tenths!", tiers::text as "tiers!",
                  most::text as "most!", ahead::text as "ahead!"
           from periodd_overview
           where hour = (select hour from periodd_overview order by hour desc limit 1)
           order by feature"#
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let figures = (|| {
            Ok(Figures {
                feature: row.feature,
                tenths: serde_json::from_str(&row.tenths)?,
                tiers: serde_json::from_str(&row.tiers)?,
                most: serde_json::from_str(&row.most)?,
                ahead: serde_json::from_str(&row.ahead)?,
            })
        })();
        let figures = figures.map_err(|error| unreadable(&error))?;
        Ok(Kept { taken_at: row.taken_at, figures })
    });
    rows.collect()
}

/// How the orgs stood at the last hour between two instants: by feature.
pub async fn tenths_between(
    connection: &mut PgConnection,
    from: Instant,
    until: Instant,
) -> Result<Vec<(String, [u64; PARTS])>, StoreError> {
    let rows = sqlx::query!(
        r#"select feature, tenths::text as "tenths!" from periodd_overview
           where hour = (select hour from periodd_overview where hour between $1 and $2
                         order by hour desc limit 1)"#,
        from,
        until
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let tenths = serde_json::from_str(&row.tenths).map_err(|error| unreadable(&error))?;
        Ok((row.feature, tenths))
    });
    rows.collect()
}

/// Deletes a page of what was kept before an instant, and says how much that was.
pub async fn delete_before(
    connection: &mut PgConnection,
    before: Instant,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from periodd_overview k
         using (select hour, feature from periodd_overview where hour < $1
                order by hour, feature limit $2) old
         where k.hour = old.hour and k.feature = old.feature",
        before,
        limit
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}
