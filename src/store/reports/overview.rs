//! What the dashboard asks of all orgs: each question bounded and through an index, in a
//! transaction that only reads and lets no statement take longer than 2 s.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::Transaction;
use crate::store::db::error::StoreError;

/// Where counting ends.
pub const MOST: i64 = 10_000;
/// Entries of the ledger of packs that a page shows.
const ENTRIES: i64 = 50;

/// Begins a look: all of it sees one moment, nothing is written, and no statement takes longer than
/// 2 s.
pub async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_>, StoreError> {
    let begin = "begin isolation level repeatable read read only; \
                 set local statement_timeout = '2s'";
    Ok(connection.begin_with(begin).await?)
}

/// How many orgs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Counted up to [`MOST`].
    pub orgs: i64,
    /// The time zones of these.
    pub zones: i64,
    /// What PostgreSQL estimates; `None`: it has not looked yet.
    pub estimate: Option<i64>,
}

/// Counts orgs and their zones, of the first [`MOST`].
pub async fn size(connection: &mut PgConnection) -> Result<Size, StoreError> {
    let size = sqlx::query_as!(
        Size,
        r#"select count(*) as "orgs!", count(distinct o.time_zone) as "zones!",
                  (select reltuples::bigint from pg_class
                   where oid = 'organizations'::regclass and reltuples >= 0) as estimate
           from (select time_zone from organizations limit $1) as o"#,
        MOST
    );
    Ok(size.fetch_one(connection).await?)
}

/// Repairs of audits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repairs {
    /// Counted up to [`MOST`].
    pub count: i64,
    /// When the last of them was found.
    pub last: Option<Instant>,
}

/// Counts what audits have repaired since an instant, in real time.
pub async fn repairs(connection: &mut PgConnection, since: Instant) -> Result<Repairs, StoreError> {
    let repairs = sqlx::query_as!(
        Repairs,
        r#"select count(*) as "count!", max(found_at) as last
           from (select found_at from periodd_drift where found_at >= $1
                 order by found_at desc limit $2) as d"#,
        since,
        MOST
    );
    Ok(repairs.fetch_one(connection).await?)
}

/// An entry of the ledger of packs.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The pack.
    pub pack: Uuid,
    /// The buyer's reference to it.
    pub reference: Option<String>,
    pub feature: String,
    /// granted, drawn (negative: given back), expired or refunded.
    pub kind: String,
    pub quantity: Quantity,
    /// What the pack held afterwards.
    pub remaining: Quantity,
    /// When, in business time.
    pub at: Instant,
    /// The period that a draw paid for, by its start.
    pub period_start: Option<Instant>,
}

/// The last entries of the ledger of an org's packs, newest first.
pub async fn entries(connection: &mut PgConnection, org: Uuid) -> Result<Vec<Entry>, StoreError> {
    let entries = sqlx::query_as!(
        Entry,
        r#"select e.pack_id as pack, p.reference, p.feature, e.kind, e.quantity,
                  e.remaining, e.at, e.period_start
           from overage_entries e
           join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
           where e.org_id = $1
           order by e.at desc, e.pack_id, e.seq desc limit $2"#,
        org,
        ENTRIES
    );
    Ok(entries.fetch_all(connection).await?)
}
