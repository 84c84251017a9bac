//! Emails that are too late: due, with nobody at them, and about a period that has ended in
//! business time. They are found by the page and given up, so that nobody is told of a period that
//! is over; what the server had answered before stays in the reason.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// Why an email is given up whose period has ended.
pub const TOO_LATE: &str = "the period ended before it could be sent";

/// An email whose period has ended before it was sent.
#[derive(Debug, Clone)]
pub struct TooLate {
    pub org: Uuid,
    pub id: Uuid,
    answer: Option<String>,
}

/// Up to `limit` emails that nobody is at and that are too late: their period has ended in
/// business time. Those of the orgs in `but` are left out.
pub async fn too_late(
    connection: &mut PgConnection,
    now: Instant,
    real: Instant,
    but: &[Uuid],
    limit: i64,
) -> Result<Vec<TooLate>, StoreError> {
    let ended = sqlx::query_as!(
        TooLate,
        "select org_id as org, id, answer from periodd_outbox
         where state = 'due' and period_end <= $1
           and (leased_until is null or leased_until <= $2) and org_id <> all($3)
         order by period_end limit $4",
        now,
        real,
        but,
        limit
    );
    Ok(ended.fetch_all(connection).await?)
}

/// Gives up emails that are too late. Returns how many; whoever took one meanwhile keeps it.
pub async fn give_up_ended(
    connection: &mut PgConnection,
    now: Instant,
    real: Instant,
    ended: &[&TooLate],
) -> Result<u64, StoreError> {
    // In the order of the keys, as everybody who writes several rows.
    let mut ended = ended.to_vec();
    ended.sort_by_key(|row| (row.org, row.id));
    let orgs: Vec<Uuid> = ended.iter().map(|row| row.org).collect();
    let ids: Vec<Uuid> = ended.iter().map(|row| row.id).collect();
    let answers: Vec<String> = ended
        .iter()
        .map(|row| match &row.answer {
            Some(answer) => format!("{TOO_LATE}; before that: {answer}"),
            None => TOO_LATE.to_owned(),
        })
        .collect();
    let given_up = sqlx::query!(
        "update periodd_outbox o
         set state = 'given_up', settled_at = $2, leased_until = null, lease = null,
             answer = e.answer
         from unnest($3::uuid[], $4::uuid[], $5::text[]) as e (org_id, id, answer)
         where o.org_id = e.org_id and o.id = e.id and o.state = 'due' and o.period_end <= $1
           and (o.leased_until is null or o.leased_until <= $2)",
        now,
        real,
        &orgs,
        &ids,
        &answers
    );
    Ok(given_up.execute(connection).await?.rows_affected())
}
