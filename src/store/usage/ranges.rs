//! The ranges of columns as the migrations declare them: rows that break one, and the SQL that
//! repairs each.
//!
//! A range is a constraint `TABLE_COLUMN_range`. Where it stands and is validated, no row breaks it
//! and none is read: only a database that was there before, or one whose constraint somebody
//! dropped, is looked through.

use std::fmt;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::command::Command;
use crate::store::db::error::StoreError;
use crate::store::db::migrations::migrations;
use crate::store::db::tables::{literal, quoted};

/// Rows that are named of each column.
const NAMED: i64 = 20;
/// Characters of a value that are shown.
const SHOWN: i32 = 60;

/// What one column may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    table: String,
    column: String,
    /// The condition, over the table's columns.
    condition: String,
}

impl Range {
    fn constraint(&self) -> String {
        format!("{}_{}_range", self.table, self.column)
    }
}

/// Every range that the migrations declare.
static DECLARED: LazyLock<Vec<Range>> =
    LazyLock::new(|| migrations().iter().flat_map(|text| declared_in(text)).collect());

/// The ranges of a migration: a line `constraint TABLE_COLUMN_range check (CONDITION)` each, below
/// `create table TABLE (`, or with `add` before and `not valid` after it below `alter table TABLE`.
fn declared_in(text: &str) -> Vec<Range> {
    let (mut table, mut found) = ("", Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(created) = line.strip_prefix("create table ") {
            table = created.strip_suffix(" (").unwrap_or(created);
            continue;
        }
        if let Some(named) = line.strip_prefix("alter table ") {
            table = named.strip_prefix("if exists ").unwrap_or(named);
            continue;
        }
        let range = line.strip_prefix("add ").unwrap_or(line).strip_prefix("constraint ");
        let range = range.and_then(|rest| {
            let (name, rest) = rest.split_once(" check (")?;
            let (condition, _) =
                rest.rsplit_once(") not valid").or_else(|| rest.rsplit_once(')'))?;
            let column = name.strip_prefix(table)?.strip_prefix('_')?.strip_suffix("_range")?;
            let (table, column) = (table.to_owned(), column.to_owned());
            Some(Range { table, column, condition: condition.to_owned() })
        });
        found.extend(range);
    }
    found
}

/// Whose rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of one org, and those that orgs share.
    Org(Uuid),
}

/// A column with rows that hold what it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub table: String,
    pub column: String,
    /// How many rows there are.
    pub rows: i64,
    pub cells: Vec<Cell>,
}

/// A value that a column must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The org, by its slug; `None` for a row that orgs share.
    pub org: Option<String>,
    /// The row, as a condition on its key.
    pub row: String,
    pub value: String,
    /// SQL that repairs it; `None` where only a backup knows what it was.
    pub repair: Option<String>,
}

impl Cell {
    /// `organizations.current_period_end of acme is infinity`.
    pub fn sentence(&self, broken: &Broken) -> String {
        let Broken { table, column, .. } = broken;
        let Self { org, row, value, .. } = self;
        // A name with a line break must not look like another line.
        let (org, row) = (org.as_deref().map(on_one_line), on_one_line(row));
        match org {
            Some(org) if table == "organizations" => {
                format!("{table}.{column} of {org} is {value}")
            }
            Some(org) => format!("{table}.{column} of {org} is {value}, where {row}"),
            None => format!("{table}.{column} is {value}, where {row}"),
        }
    }
}

fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

impl fmt::Display for Broken {
    /// One line per row, each with its repair.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cell in &self.cells {
            write!(f, "\n  {}", cell.sentence(self))?;
            match &cell.repair {
                Some(repair) => write!(f, "\n    {repair}")?,
                None => write!(f, "\n    restore this row from a backup")?,
            }
        }
        let more = self.rows.saturating_sub(i64::try_from(self.cells.len()).unwrap_or(self.rows));
        if more > 0 {
            write!(f, "\n  and {more} more rows of {}.{}", self.table, self.column)?;
        }
        Ok(())
    }
}

/// A range whose constraint is missing, or not validated.
struct Open {
    range: Range,
    is_missing: bool,
    is_nullable: bool,
    is_numeric: bool,
    /// The columns of the table's primary key.
    keys: Vec<String>,
    /// The column that names the org; `None` for a table that orgs share.
    org: Option<String>,
}

/// The ranges that nothing guarantees: their constraints are missing or not validated.
async fn open(connection: &mut PgConnection) -> Result<Vec<Open>, StoreError> {
    let tables: Vec<String> = DECLARED.iter().map(|range| range.table.clone()).collect();
    let columns: Vec<String> = DECLARED.iter().map(|range| range.column.clone()).collect();
    let names: Vec<String> = DECLARED.iter().map(Range::constraint).collect();
    let rows = sqlx::query!(
        r#"select d.place as "place!", k.oid is null as "is_missing!",
                  not a.attnotnull as "is_nullable!",
                  a.atttypid = 'numeric'::regtype as "is_numeric!",
                  array(select p.attname::text from pg_index i
                        join pg_attribute p on p.attrelid = c.oid and p.attnum = any(i.indkey)
                        where i.indrelid = c.oid and i.indisprimary
                        order by array_position(i.indkey, p.attnum)) as "keys!",
                  case when d.table_name = 'organizations' then 'id'
                       else (select p.attname::text from pg_attribute p
                             where p.attrelid = c.oid and not p.attisdropped
                               and p.attname in ('org_id', 'organization_id')) end as org
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                    as d (table_name, column_name, name, place)
           join pg_class c on c.oid = to_regclass(quote_ident(d.table_name))
           join pg_attribute a on a.attrelid = c.oid and a.attname = d.column_name
                and not a.attisdropped
           left join pg_constraint k on k.conrelid = c.oid and k.conname = d.name
                and k.contype = 'c'
           where k.oid is null or not k.convalidated
           order by d.place"#,
        &tables,
        &columns,
        &names
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let open = rows.filter_map(|row| {
        let place = usize::try_from(row.place).ok()?.checked_sub(1)?;
        Some(Open {
            range: DECLARED.get(place)?.clone(),
            is_missing: row.is_missing,
            is_nullable: row.is_nullable,
            is_numeric: row.is_numeric,
            keys: row.keys,
            org: row.org,
        })
    });
    Ok(open.collect())
}

/// A range that the schema does not hold rows to: `(table, column, is_missing)`; else its
/// constraint stands and is not validated.
pub async fn unguarded(
    connection: &mut PgConnection,
) -> Result<Vec<(String, String, bool)>, StoreError> {
    let open = open(connection).await?.into_iter();
    Ok(open.map(|open| (open.range.table, open.range.column, open.is_missing)).collect())
}

/// The rows that break a range: one reading of each table with a constraint that is missing or not
/// validated.
pub async fn broken(
    connection: &mut PgConnection,
    scope: Scope,
) -> Result<Vec<Broken>, StoreError> {
    let open = open(connection).await?;
    let mut broken = Vec::new();
    for of_table in open.chunk_by(|one, other| one.range.table == other.range.table) {
        broken.extend(broken_in(connection, of_table, scope).await?);
    }
    Ok(broken)
}

/// What breaks the ranges of one table.
async fn broken_in(
    connection: &mut PgConnection,
    open: &[Open],
    scope: Scope,
) -> Result<Vec<Broken>, StoreError> {
    let Some(table) = open.first().map(|open| open.range.table.as_str()) else {
        return Ok(Vec::new());
    };
    let names = open.first().map(|open| (open.keys.clone(), open.org.clone())).unwrap_or_default();
    let (keys, org) = names;
    let org = org.map(|column| quoted(&column).to_string());
    let statement = statement(table, open, &keys, org.as_deref(), scope);
    let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(connection).await?;
    let mut found: Vec<Broken> = Vec::new();
    for row in rows {
        let column: String = row.try_get("column_name")?;
        let is_in_range: bool = row.try_get("is_in_range")?;
        let place: String = row.try_get("place")?;
        let of_column = open.iter().find(|open| open.range.column == column);
        let repair = of_column.and_then(|open| repair(open, is_in_range, &place));
        let cell =
            Cell { org: row.try_get("slug")?, row: place, value: row.try_get("value")?, repair };
        match found.last_mut() {
            Some(last) if last.column == column => last.cells.push(cell),
            _ => {
                let (table, rows) = (table.to_owned(), row.try_get("in_all")?);
                found.push(Broken { table, column, rows, cells: vec![cell] });
            }
        }
    }
    Ok(found)
}

/// A statement for the rows of a table that break a range, a column after the other.
fn statement(
    table: &str,
    open: &[Open],
    keys: &[String],
    org: Option<&str>,
    scope: Scope,
) -> String {
    let breaks: Vec<String> =
        open.iter().map(|open| format!("not ({})", open.range.condition)).collect();
    let of_org = match (scope, org) {
        (Scope::Org(id), Some(column)) => format!("and {column} = '{id}'"),
        _ => String::new(),
    };
    let columns: Vec<String> = open
        .iter()
        .map(|open| {
            let Range { column, condition, .. } = &open.range;
            let in_range = if open.is_numeric {
                format!("abs(b.{0}) < 1e22", quoted(column))
            } else {
                "false".to_owned()
            };
            format!(
                "({}, b.{}::text, not ({condition}), {in_range})",
                literal(column),
                quoted(column)
            )
        })
        .collect();
    let place: Vec<String> = keys
        .iter()
        .map(|key| format!("format('%I = %L', {}, b.{})", literal(key), quoted(key)))
        .collect();
    let place = if place.is_empty() {
        "format('ctid = %L', b.ctid)".to_owned()
    } else {
        place.join(" || ' and ' || ")
    };
    let slug = org.map_or_else(
        || "null::text".to_owned(),
        |column| format!("(select o.slug from organizations o where o.id = b.{column})"),
    );
    format!(
        "with broken as (select ctid, * from {table} where ({}) {of_org}),
              numbered as (
                  select v.column_name, v.is_in_range, {slug} as slug, {place} as place,
                         case when length(v.value) > {SHOWN} then left(v.value, {SHOWN}) || '…'
                              else v.value end as value,
                         count(*) over (partition by v.column_name) as in_all,
                         row_number() over (partition by v.column_name) as number
                  from broken b
                  cross join lateral (values {}) as v (column_name, value, is_broken, is_in_range)
                  where v.is_broken)
         select * from numbered where number <= {NAMED} order by column_name, number",
        breaks.join(" or "),
        columns.join(", ")
    )
}

/// SQL that repairs a row; `None` where nobody but a backup knows what it held.
fn repair(open: &Open, is_in_range: bool, place: &str) -> Option<String> {
    let Range { table, column, .. } = &open.range;
    let set = |value: &str| {
        Some(format!("update {table} set {} = {value} where {place};", quoted_if_needed(column)))
    };
    let delete = || Some(format!("delete from {table} where {place};"));
    let is_of_periodd = table.starts_with("periodd_");
    match (table.as_str(), column.as_str()) {
        _ if is_in_range => set(&format!("round({}, 6)", quoted_if_needed(column))),
        // Without it the metric is counted, and was used, when it was written.
        ("usage_metrics", "created_at") => set("recorded_at"),
        // An audit makes a counter again, from the metrics.
        ("usage_metrics", "metric_value")
        | ("pack_offers", "quantity")
        | ("usage_counters" | "feature_usage", "period_start" | "period_end") => delete(),
        ("organizations", "parked_at") | ("usage_metrics", "counted_at") => set("now()"),
        ("billing_periods", "used_each" | "included_each" | "drawn_each" | "uncovered_each") => {
            None
        }
        ("billing_adjustments" | "overage_entries", _) if open.is_numeric => None,
        _ if open.is_nullable => set("null"),
        _ if open.is_numeric => set("0"),
        (_, "settled" | "period_start" | "period_end" | "follows") if !is_of_periodd => None,
        ("periodd_schedules", "settled") => set("now()"),
        ("periodd_zone_months", _) => delete(),
        _ if is_of_periodd => delete(),
        _ => set("now()"),
    }
}

/// Column names of ours that PostgreSQL keeps for itself are quoted; the others read better bare.
fn quoted_if_needed(column: &str) -> String {
    match column {
        "at" | "before" | "after" => quoted(column).to_string(),
        other => other.to_owned(),
    }
}

/// Refuses a database in which rows break a range, before anything in it is changed.
///
/// # Errors
/// [`StoreError::Configuration`] that names the rows, each with what repairs it.
pub(in crate::store) async fn refuse_broken(
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let broken = broken(connection, Scope::All).await?;
    if broken.is_empty() {
        return Ok(());
    }
    let named: String = broken.iter().map(ToString::to_string).collect();
    Err(StoreError::Configuration(format!(
        "some rows contain values that periodd cannot read; nothing was changed. Repair them, \
         then run `{}` again:{named}",
        Command::periodd(["db", "migrate"])
    )))
}

/// Adds the constraints that are missing, without reading a row.
pub(in crate::store) async fn add_missing(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut missing = open(connection).await?;
    missing.retain(|open| open.is_missing);
    for of_table in missing.chunk_by(|one, other| one.range.table == other.range.table) {
        let add = |open: &Open| {
            format!(
                "add constraint {} check ({}) not valid",
                open.range.constraint(),
                open.range.condition
            )
        };
        alter(connection, of_table, add).await?;
    }
    Ok(())
}

/// Validates the constraints that are not yet: reads each of their tables once, beside whoever
/// reads and writes it.
///
/// # Errors
/// [`StoreError::Configuration`] where rows break them after all, as [`refuse_broken`].
pub(in crate::store) async fn validate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let open = open(connection).await?;
    for of_table in open.chunk_by(|one, other| one.range.table == other.range.table) {
        let validate = |open: &Open| format!("validate constraint {}", open.range.constraint());
        if let Err(error) = alter(connection, of_table, validate).await {
            return match error {
                // Somebody wrote it after the rows were looked at.
                error if error.may_concern_one_row() => refuse_broken(connection).await,
                other => Err(other),
            };
        }
    }
    Ok(())
}

async fn alter(
    connection: &mut PgConnection,
    open: &[Open],
    action: impl Fn(&Open) -> String,
) -> Result<(), StoreError> {
    let Some(first) = open.first() else { return Ok(()) };
    let actions: Vec<String> = open.iter().map(action).collect();
    let statement = format!("alter table {} {}", first.range.table, actions.join(", "));
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_from_the_migrations_as_they_are_written_there() {
        let created = "create table jars (\n    weight numeric,\n    constraint \
                       jars_weight_range check (abs(weight) < 1e22 and (weight > 0)),\n    \
                       constraint jars_other check (true)\n);";
        let altered = "alter table if exists jars\n    add constraint jars_weight_range check \
                       (abs(weight) < 1e22 and (weight > 0)) not valid,\n    \
                       add column x int,\n    add constraint jars_other check (true) not valid;";
        for text in [created, altered] {
            let range = Range {
                table: "jars".to_owned(),
                column: "weight".to_owned(),
                condition: "abs(weight) < 1e22 and (weight > 0)".to_owned(),
            };
            assert_eq!(declared_in(text), [range], "{text}");
        }
        assert!(DECLARED.len() > 100, "{}", DECLARED.len());
    }
}
