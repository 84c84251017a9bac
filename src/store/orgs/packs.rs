//! Packs: granting them, listing them, and entering those that applications inserted by
//! themselves in the ledger.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::command::Command;
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::types::Readable;
use crate::store::rollover::claim;

/// A pack to be granted.
#[derive(Debug, Clone)]
pub struct Grant {
    pub org: Uuid,
    pub feature: String,
    pub quantity: Quantity,
    /// The buyer's reference; the same one grants once.
    pub reference: Option<String>,
    /// From when it is usable.
    pub purchased_at: Instant,
    pub expires_at: Option<Instant>,
    /// What it was sold for; `None`: unknown.
    pub price: Option<Price>,
}

/// What a pack is sold for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// In hundredths of the currency.
    pub cents: i64,
    pub currency: String,
}

/// A granted pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    pub pack: Uuid,
    /// When an earlier call with the same reference granted it; `None`: this one did.
    pub before: Option<Instant>,
}

/// Grants a pack; a repeated reference grants nothing, and returns the pack that it granted.
///
/// # Errors
/// [`StoreError::Invalid`] for an org or feature that does not exist, a quantity that is not
/// above zero, or a reference that granted something else.
pub async fn grant(database: &Database, grant: &Grant) -> Result<Granted, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    let pack = sqlx::query_scalar!(
        r#"select grant_overage_pack($1, $2, $3, $4, $5, $6) as "id!""#,
        grant.org,
        grant.feature,
        grant.quantity,
        grant.reference,
        grant.expires_at,
        grant.purchased_at
    );
    let pack = pack.fetch_one(&mut *transaction).await.map_err(StoreError::of_call)?;
    // What this transaction granted bears its time; what an application inserted is in no ledger.
    let before = sqlx::query_scalar!(
        r#"select coalesce(e.recorded_at, p.purchased_at) as "at!"
           from overage_packs p
           left join overage_entries e on e.org_id = p.org_id and e.pack_id = p.id and e.seq = 1
           where p.org_id = $1 and p.id = $2 and e.recorded_at is distinct from now()"#,
        grant.org,
        pack
    );
    let before = before.fetch_optional(&mut *transaction).await?;
    if let Some(Price { cents, currency }) = grant.price.as_ref().filter(|_| before.is_none()) {
        sqlx::query!(
            "update overage_packs set price_cents = $3, currency = $4
             where org_id = $1 and id = $2",
            grant.org,
            pack,
            cents,
            currency
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(Granted { pack, before })
}

/// The pack of an org whose id is this, or begins with it.
///
/// # Errors
/// [`StoreError::Invalid`] when there is none, or more than one.
pub async fn find(database: &Database, org: Uuid, id: &str) -> Result<Uuid, StoreError> {
    let found = sqlx::query_scalar!(
        "select id from overage_packs where org_id = $1 and starts_with(id::text, $2) limit 2",
        org,
        id
    );
    match found.fetch_all(&mut *database.connection().await?).await?[..] {
        [pack] => Ok(pack),
        [] => Err(StoreError::Invalid(format!(
            "the org has no pack `{id}`; `{}` shows the ids",
            Command::periodd(["packs", "list", "--org", &org.to_string()])
        ))),
        _ => Err(StoreError::Invalid(format!(
            "several packs of the org have an id that begins with `{id}`; write more of it"
        ))),
    }
}

/// What an offer sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub feature: String,
    pub quantity: Quantity,
    pub price: Price,
}

/// What is on sale under a code.
///
/// # Errors
/// [`StoreError::Invalid`] when nothing is on sale under that code.
pub async fn offer(database: &Database, code: &str) -> Result<Offered, StoreError> {
    let mut connection = database.connection().await?;
    let offer = sqlx::query!(
        r#"select feature, quantity as "quantity: Quantity", price_cents, currency
           from pack_offers where code = $1"#,
        code
    );
    if let Some(offer) = offer.fetch_optional(&mut *connection).await? {
        let price = Price { cents: offer.price_cents, currency: offer.currency };
        return Ok(Offered { feature: offer.feature, quantity: offer.quantity, price });
    }
    let codes = sqlx::query_scalar!("select code from pack_offers order by code limit 20");
    let codes = codes.fetch_all(&mut *connection).await?;
    let known = match &codes[..] {
        [] => {
            let apply = Command::periodd(["tiers", "apply"]);
            format!("no offer is on sale; `{apply}` puts [[packs]] on sale")
        }
        codes => format!("offers on sale: {}", codes.join(", ")),
    };
    Err(StoreError::Invalid(format!("unknown offer `{code}`; {known}")))
}

/// A pack with its state.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct PackRow {
    /// The pack.
    pub id: Uuid,
    /// Who bought it.
    pub org: String,
    /// The org's zone, for its times.
    #[serde(skip)]
    pub time_zone: String,
    /// What it pays for.
    pub feature: String,
    /// How much was bought.
    pub quantity: Readable<Quantity>,
    /// What is left.
    pub remaining: Readable<Quantity>,
    /// What was drawn.
    pub drawn: Readable<Quantity>,
    /// What expired.
    pub expired: Readable<Quantity>,
    /// What was refunded.
    pub refunded: Readable<Quantity>,
    /// What moved to another org.
    pub moved: Readable<Quantity>,
    /// From when it is usable.
    pub purchased_at: Readable<Instant>,
    /// Until when.
    pub expires_at: Option<Readable<Instant>>,
    /// The buyer's reference.
    pub reference: Option<String>,
    /// What it was sold for, in hundredths of the currency; null: unknown.
    pub price_cents: Option<i64>,
    /// The currency of the price.
    pub currency: Option<String>,
    /// The columns whose values cannot be read; they are null here.
    pub unreadable: Vec<String>,
}

impl PackRow {
    /// The row, with the columns that cannot be read named.
    fn named(self) -> Self {
        let ledger = [self.drawn, self.expired, self.refunded, self.moved];
        let columns = [
            ("overage_packs.quantity", self.quantity.is_readable()),
            ("overage_packs.remaining", self.remaining.is_readable()),
            ("overage_packs.purchased_at", self.purchased_at.is_readable()),
            ("overage_packs.expires_at", self.expires_at.is_none_or(|at| at.is_readable())),
            ("overage_entries.quantity", ledger.iter().all(Readable::is_readable)),
        ];
        let unreadable = columns.into_iter().filter(|(_, is_readable)| !is_readable);
        let unreadable = unreadable.map(|(column, _)| column.to_owned()).collect();
        Self { unreadable, ..self }
    }
}

/// The packs of one org, or of all, in the order in which they are drawn.
pub async fn list(database: &Database, org: Option<Uuid>) -> Result<Vec<PackRow>, StoreError> {
    let packs = sqlx::query_as!(
        PackRow,
        r#"select p.id, o.slug as org, o.time_zone, p.feature,
                  p.quantity as "quantity: Readable<Quantity>",
                  coalesce(p.remaining, p.quantity) as "remaining!: Readable<Quantity>",
                  coalesce(sum(e.quantity) filter (where e.kind = 'drawn'), 0)
                      as "drawn!: Readable<Quantity>",
                  coalesce(sum(e.quantity) filter (where e.kind = 'expired'), 0)
                      as "expired!: Readable<Quantity>",
                  coalesce(sum(e.quantity) filter (where e.kind = 'refunded'), 0)
                      as "refunded!: Readable<Quantity>",
                  coalesce(sum(e.quantity) filter (where e.kind = 'moved'), 0)
                      as "moved!: Readable<Quantity>",
                  p.purchased_at as "purchased_at: Readable<Instant>",
                  nullif(p.expires_at, 'infinity') as "expires_at: Readable<Instant>",
                  p.reference, p.price_cents, p.currency, '{}'::text[] as "unreadable!"
           from overage_packs p
           join organizations o on o.id = p.org_id
           left join overage_entries e on e.org_id = p.org_id and e.pack_id = p.id
           where $1::uuid is null or p.org_id = $1
           group by p.org_id, p.id, o.slug, o.time_zone
           order by o.slug, p.feature, p.expires_at nulls last, p.purchased_at, p.id"#,
        org
    );
    let packs = packs.fetch_all(&mut *database.connection().await?).await?;
    Ok(packs.into_iter().map(PackRow::named).collect())
}

/// Whose packs are looked for.
#[derive(Debug, Clone, Copy)]
pub enum EntryScope<'a> {
    /// Everybody's.
    All,
    /// Those of these orgs.
    Orgs(&'a [Uuid]),
    /// Those of the orgs in one time zone.
    Zone(&'a str),
}

/// The next page of orgs with packs that applications inserted plainly and nobody has entered in
/// the ledger, after `after` in the order of ids. Parked orgs wait with all that is theirs.
pub async fn orgs_without_entries(
    connection: &mut PgConnection,
    scope: EntryScope<'_>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let (orgs, time_zone) = match scope {
        EntryScope::All => (None, None),
        EntryScope::Orgs(orgs) => (Some(orgs), None),
        EntryScope::Zone(zone) => (None, Some(zone)),
    };
    let page = sqlx::query_scalar!(
        "select distinct p.org_id
         from overage_packs p join organizations o on o.id = p.org_id
         where p.entries = 0 and coalesce(p.remaining, p.quantity) >= 0 and o.parked_at is null
           and p.org_id > $1
           and ($2::uuid[] is null or p.org_id = any($2))
           and ($3::text is null or o.time_zone = $3)
         order by p.org_id limit $4",
        after,
        orgs,
        time_zone,
        limit
    );
    Ok(page.fetch_all(connection).await?)
}

/// Enters packs of these orgs that applications inserted plainly in the ledger: granted in full,
/// and drawn by as much as the row says is gone. The orgs are locked first, in the order of their
/// ids, as everybody locks several.
pub async fn enter_in_ledger(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<(), StoreError> {
    claim::lock_all(connection, orgs).await?;
    sqlx::query_scalar!("select periodd_enter_packs($1)", orgs).fetch_one(connection).await?;
    Ok(())
}

/// Says in the counters of one org and feature that its packs are about to sink by anything but a
/// rollover: an increment whose limit was read before decides anew, and one that is under way is
/// waited for. The org's revision has to have been raised in the same transaction.
pub async fn lock_intent(
    connection: &mut PgConnection,
    org: Uuid,
    feature: &str,
) -> Result<(), StoreError> {
    let held = sqlx::query_scalar!("select periodd_hold_packs($1, $2)", org, feature);
    held.fetch_one(connection).await?;
    Ok(())
}
