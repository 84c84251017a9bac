//! Derived columns: copies of counters in tables that the configuration names.
//!
//! The only statements here that the compiler cannot check are built in this file, from names
//! that [`Target::find`] has found in the database's catalogue, in quotes.

use sqlx::{PgConnection, Row};
use uuid::Uuid;

pub use super::derived_catalogue::{Found, Unfit};
use crate::billing::derived::{Copied, CounterState, PurchasedColumn, Scope};
use crate::billing::quota::Included;
use crate::billing::rollover::MINUTES;
use crate::billing::{Instant, Quantity};
use crate::store::db::error::StoreError;
use crate::store::db::numbers::Numbers;
use crate::store::db::tables::{Identifier, QualifiedName};

/// A derived column as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The table, perhaps with its schema.
    pub table: String,
    pub column: String,
    /// The column of the id.
    pub key: String,
    pub scope: Scope,
    pub copied: Copied,
    pub feature: String,
}

impl Wanted {
    /// Is it one of the three that the rollover writes by itself?
    pub fn is_default(&self) -> bool {
        let feature = self.feature.to_lowercase();
        let place = (self.table.as_str(), self.column.as_str());
        let is_one = matches!(
            (place, &*feature, self.scope, self.copied),
            (("organizations", "used_minutes"), MINUTES, Scope::Org, Copied::Used)
                | (
                    ("organizations", "overage_minutes"),
                    MINUTES,
                    Scope::Org,
                    Copied::PurchasedRemaining
                )
                | (("users", "usage_this_month"), "scrapes", Scope::User, Copied::Used)
        );
        is_one && self.key == "id"
    }
}

/// A derived column that was found in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    /// The feature, in lower case.
    pub feature: String,
    pub scope: Scope,
    pub copied: Copied,
    /// What the column can hold.
    numbers: Numbers,
    memory: Memory,
    is_swept: bool,
    /// Reads the rows whose counter is pending.
    read_pending: String,
    /// Reads the rows that an audit should look at.
    read_synced: String,
    /// Reads all rows.
    read_all: String,
    /// Reads all rows, of parked orgs, too.
    read_any: String,
    write: String,
}

/// Where periodd remembers what it wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nowhere: the counter says it all.
    Counter,
    /// In the org's row.
    OrgRow,
    /// In a table of its own.
    Table,
}

/// Which rows of a derived column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those whose counter is pending.
    Pending,
    /// Those whose counter is synced and may disagree.
    Synced,
    /// All.
    All,
    /// All, and those of parked orgs, too: to be looked at.
    Any,
}

/// A row of a derived column, with what it depends on.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub org: Uuid,
    /// The row's key: the org's or the user's id.
    pub key: Uuid,
    /// The open period, by its start.
    pub period_start: Instant,
    /// What the column holds; `None` for null.
    pub held: Option<Quantity>,
    /// What periodd knows of it.
    pub column: PurchasedColumn,
    pub state: CounterState,
    /// The org's revision.
    revision: i64,
    /// What packs have granted in all.
    pub granted: Quantity,
}

/// A value to be written to a cell.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub cell: Cell,
    pub value: Quantity,
    /// The new value without what others added.
    pub written: Quantity,
}

impl Target {
    pub(in crate::store) fn new(wanted: &Wanted, sql: &Names<'_>) -> Self {
        let feature = wanted.feature.to_lowercase();
        let in_org_row = sql.is_orgs
            && wanted.copied == Copied::PurchasedRemaining
            && wanted.column == "overage_minutes"
            && feature == MINUTES;
        let memory = match wanted.copied {
            Copied::Used => Memory::Counter,
            _ if in_org_row => Memory::OrgRow,
            _ => Memory::Table,
        };
        let read = |which| sql.read(wanted.scope, memory, which);
        Self {
            name: format!("{}.{}", wanted.table, wanted.column),
            feature,
            scope: wanted.scope,
            copied: wanted.copied,
            numbers: sql.numbers.clone(),
            memory,
            is_swept: sql.is_orgs && wanted.is_default(),
            read_pending: read(Which::Pending),
            read_synced: read(Which::Synced),
            read_all: read(Which::All),
            read_any: read(Which::Any),
            write: sql.write(),
        }
    }

    /// Does a sweep over orgs tell by itself which of them to look at?
    pub fn is_swept(&self) -> bool {
        self.is_swept
    }

    /// A quantity as the column can hold it.
    ///
    /// # Errors
    /// [`StoreError::Unprocessable`] for one that it cannot.
    pub fn fitted(&self, value: Quantity) -> Result<Quantity, StoreError> {
        self.numbers.fitted(&self.name, value)
    }

    /// Reads the column's rows of some orgs, each with its counter in one snapshot; parked orgs
    /// have none but for [`Which::Any`].
    pub async fn read(
        &self,
        connection: &mut PgConnection,
        orgs: &[Uuid],
        which: Which,
        now: Instant,
    ) -> Result<Vec<Cell>, StoreError> {
        let text = match which {
            Which::Pending => &self.read_pending,
            Which::Synced => &self.read_synced,
            Which::All => &self.read_all,
            Which::Any => &self.read_any,
        };
        let query = sqlx::query(sqlx::AssertSqlSafe(text.as_str()));
        let query = query.bind(orgs).bind(&self.feature).bind(now).bind(&self.name);
        let rows = query.fetch_all(connection).await?;
        rows.iter().map(|row| Ok(cell(row)?)).collect()
    }

    /// Writes values to cells that still hold what was read, in orgs whose open period is still
    /// the same. Returns the keys of those that moved.
    pub async fn write(
        &self,
        connection: &mut PgConnection,
        changes: &[Change],
    ) -> Result<Vec<Uuid>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        if self.memory == Memory::OrgRow {
            return write_overage_minutes(connection, changes).await;
        }
        let orgs: Vec<Uuid> = changes.iter().map(|change| change.cell.org).collect();
        let keys: Vec<Uuid> = changes.iter().map(|change| change.cell.key).collect();
        let starts: Vec<Instant> = changes.iter().map(|change| change.cell.period_start).collect();
        let held: Vec<Option<Quantity>> = changes.iter().map(|change| change.cell.held).collect();
        let values: Vec<Quantity> = changes.iter().map(|change| change.value).collect();
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(self.write.as_str()));
        let query = query.bind(&orgs).bind(&keys).bind(&starts).bind(&held).bind(&values);
        let moved: Vec<Uuid> = query.fetch_all(&mut *connection).await?;
        if self.memory == Memory::Table {
            self.remember(connection, changes, &moved).await?;
        }
        Ok(moved)
    }

    /// Remembers what was written to the keys that moved.
    async fn remember(
        &self,
        connection: &mut PgConnection,
        changes: &[Change],
        moved: &[Uuid],
    ) -> Result<(), StoreError> {
        let moved = || changes.iter().filter(|change| moved.contains(&change.cell.key));
        let orgs: Vec<Uuid> = moved().map(|change| change.cell.org).collect();
        let keys: Vec<Uuid> = moved().map(|change| change.cell.key).collect();
        let written: Vec<Quantity> = moved().map(|change| change.written).collect();
        let granted: Vec<Quantity> = moved().map(|change| change.cell.granted).collect();
        sqlx::query!(
            "insert into periodd_derived as d (org_id, target, key, written, granted)
             select u.org_id, $1, u.key, u.written, u.granted
             from unnest($2::uuid[], $3::uuid[], $4::numeric[], $5::numeric[])
                      as u (org_id, key, written, granted)
             on conflict (org_id, target, key) do update
                 set written = excluded.written, granted = excluded.granted",
            self.name,
            &orgs,
            &keys,
            &written,
            &granted
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// `organizations.overage_minutes`, whose memory is in the same row: nobody grants a pack between
/// reading and writing, for that moves the revision.
async fn write_overage_minutes(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<Vec<Uuid>, StoreError> {
    let orgs: Vec<Uuid> = changes.iter().map(|change| change.cell.org).collect();
    let starts: Vec<Instant> = changes.iter().map(|change| change.cell.period_start).collect();
    let revisions: Vec<i64> = changes.iter().map(|change| change.cell.revision).collect();
    let held: Vec<Option<Quantity>> = changes.iter().map(|change| change.cell.held).collect();
    let values: Vec<Quantity> = changes.iter().map(|change| change.value).collect();
    let written: Vec<Quantity> = changes.iter().map(|change| change.written).collect();
    let moved = sqlx::query_scalar!(
        "update organizations o
         set overage_minutes = u.value, overage_minutes_written = u.written,
             overage_minutes_granted = 0
         from unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::numeric[], $5::numeric[],
                     $6::numeric[]) as u (id, period_start, revision, held, value, written)
         where o.id = u.id and o.current_period_start = u.period_start
           and o.revision = u.revision and o.overage_minutes = u.held
         returning o.id",
        &orgs,
        &starts,
        &revisions,
        &held as &[Option<Quantity>],
        &values,
        &written
    );
    Ok(moved.fetch_all(connection).await?)
}

fn cell(row: &sqlx::postgres::PgRow) -> Result<Cell, sqlx::Error> {
    let held: Option<Quantity> = row.try_get("held")?;
    let included: Option<Quantity> = row.try_get("included")?;
    Ok(Cell {
        org: row.try_get("org_id")?,
        key: row.try_get("key")?,
        period_start: row.try_get("period_start")?,
        held,
        column: PurchasedColumn {
            held: held.unwrap_or_default(),
            written: row.try_get("written")?,
            granted: row.try_get("granted_since")?,
        },
        state: CounterState {
            used: row.try_get("used")?,
            included: Included::from(included),
            drawn: row.try_get("drawn")?,
            usable: row.try_get("usable")?,
        },
        revision: row.try_get("revision")?,
        granted: row.try_get("granted")?,
    })
}

/// The names that statements are built from: found in the catalogue, and in quotes.
pub(in crate::store) struct Names<'a> {
    pub(in crate::store) table: QualifiedName,
    pub(in crate::store) column: Identifier,
    pub(in crate::store) key: Identifier,
    /// What the column can hold.
    pub(in crate::store) numbers: &'a Numbers,
    pub(in crate::store) is_orgs: bool,
    pub(in crate::store) is_users: bool,
}

impl Names<'_> {
    /// Reads cells: `$1` orgs, `$2` feature, `$3` business time, `$4` the target's name.
    fn read(&self, scope: Scope, memory: Memory, which: Which) -> String {
        let Self { table, column, key, .. } = self;
        let decimals = self.numbers.decimals;
        // The column's row: the org's or user's own, or one that is found by its key.
        let (from, row) = match scope {
            Scope::Org if self.is_orgs => (String::new(), "o"),
            Scope::Org => (format!("join {table} t on t.{key} = o.id"), "t"),
            Scope::User if self.is_users => {
                ("join users u on u.organization_id = o.id".to_owned(), "u")
            }
            Scope::User => {
                let users = "join users u on u.organization_id = o.id";
                (format!("{users} join {table} t on t.{key} = u.id"), "t")
            }
        };
        let (counter, whose, used) = match scope {
            Scope::Org => ("usage_counters", "a.org_id = o.id", "a.used"),
            Scope::User => {
                ("feature_usage", "a.organization_id = o.id and a.user_id = u.id", "a.usage_count")
            }
        };
        let found = format!(
            "from {counter} a
             where {whose} and a.feature = $2 and a.period_start = o.current_period_start"
        );
        let counters = if which == Which::Pending {
            // An aggregate, though there is one row at most: it is looked up once per cell. Joined,
            // and with the condition that it be pending, the planner would rather begin with all
            // pending counters there are, of which its statistics know nothing.
            format!(
                "cross join lateral (
                     select max({used}) as used, max(a.sync_status) as sync_status {found}) c"
            )
        } else {
            format!("left join lateral (select {used} as used, a.sync_status {found}) c on true")
        };
        let used = "coalesce(c.used, 0)";
        let held = format!("{row}.{column}");
        let (depends, memory_from, written, since, total) = match memory {
            Memory::Counter => (String::new(), String::new(), "null::numeric", "0::numeric", "0"),
            Memory::OrgRow => (
                DEPENDS.to_owned(),
                String::new(),
                "o.overage_minutes_written",
                "o.overage_minutes_granted",
                "(select coalesce(sum(p.quantity), 0) from overage_packs p
                  where p.org_id = o.id and p.feature = $2 and p.entries > 0)",
            ),
            Memory::Table => (
                DEPENDS.to_owned(),
                format!(
                    "left join periodd_derived d
                         on d.org_id = o.id and d.target = $4 and d.key = {row}.{key}
                     cross join lateral (
                         select coalesce(sum(p.quantity), 0) as total from overage_packs p
                         where p.org_id = o.id and p.feature = $2 and p.entries > 0) g"
                ),
                "d.written",
                "greatest(0, g.total - coalesce(d.granted, 0))",
                "g.total",
            ),
        };
        let (included, drawn, usable) = match memory {
            Memory::Counter => ("null::numeric", "0", "0"),
            _ => ("a.included", "a.drawn", "w.usable"),
        };
        let filter = match (which, memory) {
            (Which::Pending, _) => "c.sync_status = 'pending'".to_owned(),
            (Which::Synced, Memory::Counter) => format!(
                "c.sync_status is distinct from 'pending'
                 and {held} is distinct from round({used}, {decimals})"
            ),
            (Which::Synced, Memory::OrgRow) => format!(
                "c.sync_status is distinct from 'pending'
                 and ({held} <> 0 or {written} <> 0 or w.usable <> 0)"
            ),
            (Which::Synced, Memory::Table) => "c.sync_status is distinct from 'pending'".to_owned(),
            (Which::All | Which::Any, _) => "true".to_owned(),
        };
        let parked = if which == Which::Any { "true" } else { "o.parked_at is null" };
        // The third and fourth parameter are named even where nothing depends on them.
        format!(
            "select o.id as org_id, {row}.{key} as key, o.current_period_start as period_start,
                    {held}::numeric as held, {used} as used, o.revision,
                    {written} as written, {since} as granted_since, {total}::numeric as granted,
                    {drawn}::numeric as drawn, {usable}::numeric as usable,
                    {included} as included
             from organizations o
             {from}
             {counters}
             {depends}
             {memory_from}
             where o.id = any($1) and {parked}
               and o.current_period_start < o.current_period_end
               and $3::timestamptz is not null and $4::text is not null
               and {filter}"
        )
    }

    /// Writes cells that still hold what was read: `$1` orgs, `$2` keys, `$3` starts of the open
    /// periods, `$4` what was read, `$5` what is to be written.
    fn write(&self) -> String {
        let Self { table, column, key, .. } = self;
        let kind = &self.numbers.kind;
        let gate = if self.is_orgs {
            "t.current_period_start = u.period_start".to_owned()
        } else {
            let own = if self.is_users { "t.organization_id = u.org_id and " } else { "" };
            format!(
                "{own}exists (select from organizations o where o.id = u.org_id
                              and o.current_period_start = u.period_start)"
            )
        };
        format!(
            "update {table} t set {column} = u.value::{kind}
             from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::numeric[], $5::numeric[])
                      as u (org_id, key, period_start, held, value)
             where t.{key} = u.key and t.{column}::numeric is not distinct from u.held and {gate}
             returning t.{key}"
        )
    }
}

/// What else columns depend on: the allowance of the open period, also where that has ended. Packs
/// that are not in the ledger yet do not count: once they are entered, they are remembered as
/// granted.
const DEPENDS: &str = "
    cross join lateral periodd_limit(
        o.id, $2, least($3, o.current_period_end - interval '1 microsecond')) a
    cross join lateral (
        select greatest(0, a.usable - coalesce(sum(p.quantity), 0)) as usable
        from overage_packs p
        where p.org_id = o.id and p.feature = $2 and p.entries = 0) w";
