//! What stands in a database that others made: tables, views and columns, from the catalogue; and
//! how names get into statements.
//!
//! A name enters a statement as an [`Identifier`] or a [`QualifiedName`], which write themselves in
//! quotes, and a text as a [`literal`]. A statement with names in it is sent by `execute`, one
//! statement at a time: no name can bring a second one.

use std::fmt;

use sqlx::PgConnection;

use super::error::StoreError;

/// A name of one part. It writes itself in quotes, with every quote inside of it doubled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Identifier(String);

impl Identifier {
    /// The name as the catalogue has it, without quotes.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name itself, without quotes: for sentences and parameters, not for statements.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// The name of a table, view or function with its schema: the same object whatever the search
/// path is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Identifier,
    /// The name in it.
    pub name: Identifier,
}

impl QualifiedName {
    /// A name in a schema.
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: Identifier::new(schema), name: Identifier::new(name) }
    }

    /// As sentences write it: `public.users`.
    pub fn plain(&self) -> String {
        format!("{}.{}", self.schema.name(), self.name.name())
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Sends a statement that is built from names. It is prepared, and the server prepares one
/// statement at a time: whatever a name holds, there is no second one.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).persistent(false);
    Ok(statement.execute(connection).await?.rows_affected())
}

/// Is there a schema of this name?
pub(super) async fn schema_exists(
    connection: &mut PgConnection,
    name: &str,
) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar!(
        r#"select exists (select 1 from pg_namespace where nspname = $1) as "exists!""#,
        name
    );
    Ok(query.fetch_one(connection).await?)
}

/// The schema that periodd works in: the first one of the search path that exists.
pub(crate) async fn current_schema(connection: &mut PgConnection) -> Result<String, StoreError> {
    let schema = sqlx::query_scalar!("select current_schema()::text").fetch_one(connection).await?;
    schema.ok_or_else(|| {
        StoreError::Configuration(
            "no schema of the search path exists in this database: create one, or set search_path \
             for this role or database"
                .to_owned(),
        )
    })
}

/// Until the transaction ends, unqualified names are looked for in this schema alone.
pub(crate) async fn search_only(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select set_config('search_path', quote_ident($1) || ', pg_temp', true)",
        schema
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Until the transaction ends, the server writes every name with its schema: in the definitions of
/// views, defaults and constraints, and in the names of types.
pub(crate) async fn write_names_in_full(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query_scalar!("select set_config('search_path', 'pg_catalog, pg_temp', true)")
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// A column as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Its type, as PostgreSQL writes it, with the schema of a type that is not PostgreSQL's own.
    pub type_name: String,
    /// Its collation as statements spell it, where it is not its type's.
    pub collation: Option<String>,
    /// What is said about it.
    pub comment: Option<String>,
    /// Its default, as an expression; none for a column that is generated.
    pub default: Option<String>,
    /// Does the database write it by itself: generated, or an identity?
    pub is_generated: bool,
    /// Is it part of a key, its own or another table's?
    pub is_key: bool,
}

/// A table or view as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub name: String,
    /// Is it a view?
    pub is_view: bool,
    pub owner: String,
    /// Is that this connection's role, a superuser, or the owner of the schema or the database?
    pub has_trusted_owner: bool,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
}

impl Column {
    /// Does it hold numbers?
    pub fn is_numeric(&self) -> bool {
        let kind = self.type_name.split('(').next().unwrap_or_default();
        ["smallint", "integer", "bigint", "numeric", "real", "double precision"].contains(&kind)
    }
}

impl Relation {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The first of these names that is a column, as `created_at` or as `createdAt`.
    pub fn first(&self, names: &[&str]) -> Option<&Column> {
        let spelt = |name: &&str| self.columns.iter().find(|column| snake(&column.name) == **name);
        names.iter().find_map(|name| self.column(name).or_else(|| spelt(name)))
    }
}

/// The tables and views of the schema that periodd works in.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    schema: String,
    relations: Vec<Relation>,
}

impl Catalogue {
    /// Reads the tables and views of a schema. Types, defaults and collations are spelt as
    /// `write_names_in_full` has them spelt.
    pub async fn read(connection: &mut PgConnection, schema: &str) -> Result<Self, StoreError> {
        let rows = sqlx::query!(
            r#"select c.relname::text as "relation!", c.relkind in ('v', 'm') as "is_view!",
                      o.rolname::text as "owner!",
                      (o.rolsuper or o.rolname = current_user or o.oid = n.nspowner
                       or o.oid = (select b.datdba from pg_database b
                                   where b.datname = current_database())) as "has_trusted_owner!",
                      a.attname::text as "column!",
                      format_type(a.atttypid, a.atttypmod) as "type!",
                      case when a.attcollation <> t.typcollation
                           then (select quote_ident(s.nspname) || '.' || quote_ident(l.collname)
                                 from pg_collation l join pg_namespace s on s.oid = l.collnamespace
                                 where l.oid = a.attcollation) end as "collation",
                      col_description(c.oid, a.attnum) as "comment",
                      case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end
                          as "default",
                      (a.attgenerated <> '' or a.attidentity <> '') as "is_generated!",
                      (exists (select from pg_index i
                               where i.indrelid = c.oid and i.indisunique
                                 and a.attnum = any(i.indkey))
                       or exists (select from pg_constraint k
                                  where k.conrelid = c.oid and k.contype = 'f'
                                    and a.attnum = any(k.conkey))) as "is_key!"
               from pg_class c
               join pg_namespace n on n.oid = c.relnamespace
               join pg_roles o on o.oid = c.relowner
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               join pg_type t on t.oid = a.atttypid
               left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
               where c.relnamespace = to_regnamespace(quote_ident($1))
                 and c.relkind in ('r', 'p', 'v', 'm')
               order by c.relname, a.attnum"#,
            schema
        );
        let mut relations: Vec<Relation> = Vec::new();
        for row in rows.fetch_all(connection).await? {
            let column = Column {
                name: row.column,
                type_name: row.r#type,
                collation: row.collation,
                comment: row.comment,
                default: row.default,
                is_generated: row.is_generated,
                is_key: row.is_key,
            };
            match relations.last_mut() {
                Some(last) if last.name == row.relation => last.columns.push(column),
                _ => relations.push(Relation {
                    name: row.relation,
                    is_view: row.is_view,
                    owner: row.owner,
                    has_trusted_owner: row.has_trusted_owner,
                    columns: vec![column],
                }),
            }
        }
        Ok(Self { schema: schema.to_owned(), relations })
    }

    /// The schema that it is of.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The names of all tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        self.relations.iter().filter(|table| !table.is_view).map(|table| table.name.as_str())
    }

    /// The table or view of this name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Relation> {
        self.relation(name).filter(|relation| !relation.is_view)
    }
}

/// A name with its words apart: `createdAt` is `created_at`.
pub(crate) fn snake(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A name as statements spell it.
pub fn quoted(name: &str) -> Identifier {
    Identifier::new(name)
}

/// A name as a person would type it: quoted only where it must be.
pub fn as_typed(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if begins_well && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        quoted(name).to_string()
    }
}

/// A text as statements spell it, whatever the server makes of backslashes.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        // A blank before it: it may stand right after a word.
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(
            Identifier::new("a\"; drop table x; --").to_string(),
            "\"a\"\"; drop table x; --\""
        );
        assert_eq!(QualifiedName::new("My schema", "t").to_string(), "\"My schema\".\"t\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\' or"), " E'\\\\'' or'");
    }
}
