//! What a page of plans leans on besides the orgs' rows: counters in which somebody may be using
//! something this very moment, and what was committed since the page was read.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::planned::{Planned, closes};
use crate::billing::Instant;
use crate::billing::rollover::Hold;
use crate::store::db::error::StoreError;

/// Locks the counters of closing periods that packs could pay for, in the order of their keys: a
/// use that is under way there was allowed on the packs, and is waited for. One that is the first
/// of its period has no counter to be locked yet, so those that are missing are made.
pub(in crate::store) async fn hold(
    connection: &mut PgConnection,
    page: &[&Planned],
    now: Instant,
) -> Result<(), StoreError> {
    let held = HeldColumns::of(page, |_, _| true);
    if held.orgs.is_empty() {
        return Ok(());
    }
    // What conflicts is locked, and never updated.
    sqlx::query!(
        "insert into usage_counters as c (org_id, feature, period_start, period_end, updated_at)
         select u.org_id, u.feature, u.period_start, u.period_end, $5
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
                  as u (org_id, feature, period_start, period_end)
         order by u.org_id, u.period_start, u.feature
         on conflict (org_id, period_start, feature) do update set used = c.used where false",
        &held.orgs,
        &held.features as &[&str],
        &held.starts,
        &held.ends,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes those counters away again that [`hold`] made, and in which nothing was counted.
pub(in crate::store) async fn drop_unused(
    connection: &mut PgConnection,
    page: &[&Planned],
    now: Instant,
) -> Result<(), StoreError> {
    let is_unused = |planned: &Planned, hold: &Hold| {
        let close = planned.plan.closes.iter().find(|close| close.period == hold.period);
        close.is_none_or(|close| close.features.iter().all(|line| line.feature != hold.feature))
    };
    let held = HeldColumns::of(page, is_unused);
    if held.orgs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from usage_counters c
         using unnest($1::uuid[], $2::text[], $3::timestamptz[])
                   as u (org_id, feature, period_start)
         where c.org_id = u.org_id and c.feature = u.feature and c.period_start = u.period_start
           and c.used = 0 and c.updated_at = $4 and c.last_synced_at is null",
        &held.orgs,
        &held.features as &[&str],
        &held.starts,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The counters that a page's plans hold, for `unnest`.
#[derive(Default)]
struct HeldColumns<'a> {
    orgs: Vec<Uuid>,
    features: Vec<&'a str>,
    starts: Vec<Instant>,
    ends: Vec<Instant>,
}

impl<'a> HeldColumns<'a> {
    fn of(page: &[&'a Planned], is_meant: impl Fn(&Planned, &Hold) -> bool) -> Self {
        let mut held = Self::default();
        // Where usage is counted again, every counter of the org is locked already.
        for planned in page.iter().filter(|planned| planned.plan.recount_from.is_none()) {
            for hold in planned.plan.holds.iter().filter(|hold| is_meant(planned, hold)) {
                held.orgs.push(planned.plan.org);
                held.features.push(&hold.feature);
                held.starts.push(hold.period.start);
                held.ends.push(hold.period.end);
            }
        }
        held
    }
}

/// Makes sure that the books say what the counters of their periods hold, and that no pack came in
/// between that has not been looked at. What differs was committed since the page was read.
pub(in crate::store) async fn compare(
    connection: &mut PgConnection,
    page: &[&Planned],
) -> Result<(), StoreError> {
    let moved: Vec<Uuid> = page.iter().map(|planned| planned.plan.org).collect();
    let (mut orgs, mut starts, mut booked) = (vec![], vec![], HashMap::new());
    for (planned, close) in closes(page) {
        orgs.push(planned.plan.org);
        starts.push(close.period.start);
        for usage in close.features.iter().filter(|usage| !usage.used.is_zero()) {
            booked.insert((planned.plan.org, close.period.start, &*usage.feature), usage.used);
        }
    }
    // The counters as one row of arrays, and compared here: joined with what was booked, the
    // database would try each with each.
    let found = sqlx::query!(
        r#"select coalesce(array_agg(c.org_id), '{}') as "orgs!",
                  coalesce(array_agg(c.feature), '{}') as "features!",
                  coalesce(array_agg(c.period_start), '{}') as "starts!",
                  coalesce(array_agg(c.used), '{}') as "used!",
                  exists (select 1 from overage_packs k
                          where k.org_id = any($3) and k.entries = 0
                            and coalesce(k.remaining, k.quantity) >= 0) as "packs_without_entry!"
           from unnest($1::uuid[], $2::timestamptz[]) as p (org_id, period_start)
           join usage_counters c on c.org_id = p.org_id and c.period_start = p.period_start
                and c.used <> 0"#,
        &orgs,
        &starts,
        &moved
    );
    let found = found.fetch_one(connection).await?;
    let keys = found.orgs.iter().zip(&found.starts).zip(&found.features);
    let differs = keys.zip(&found.used).any(|(((org, start), feature), used)| {
        booked.get(&(*org, *start, feature.as_str())) != Some(used)
    });
    if differs || found.used.len() != booked.len() || found.packs_without_entry {
        return Err(StoreError::Conflict("usage or a pack was committed meanwhile".to_owned()));
    }
    Ok(())
}
