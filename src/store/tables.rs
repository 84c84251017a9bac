//! What stands in a database that others made: tables, views and columns, from the catalogue.
//!
//! Statements that are built from names take them from here, in quotes.

use sqlx::PgConnection;

use super::error::StoreError;

/// A column as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as PostgreSQL writes it.
    pub type_name: String,
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
    /// Its name.
    pub name: String,
    /// Is it a view?
    pub is_view: bool,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
}

impl Column {
    /// Does it hold numbers?
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        let kind = self.type_name.split('(').next().unwrap_or_default();
        ["smallint", "integer", "bigint", "numeric", "real", "double precision"].contains(&kind)
    }
}

impl Relation {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The first of these names that is a column.
    #[must_use]
    pub fn first(&self, names: &[&str]) -> Option<&Column> {
        names.iter().find_map(|name| self.column(name))
    }
}

/// The tables and views of the schema that periodd works in.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Vec<Relation>);

impl Catalogue {
    /// Reads it.
    ///
    /// # Errors
    /// As every read.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let rows = sqlx::query!(
            r#"select c.relname::text as "relation!", c.relkind in ('v', 'm') as "is_view!",
                      a.attname::text as "column!",
                      format_type(a.atttypid, a.atttypmod) as "type!",
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
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
               where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
                 and c.relkind in ('r', 'p', 'v', 'm')
               order by c.relname, a.attnum"#
        );
        let mut relations: Vec<Relation> = Vec::new();
        for row in rows.fetch_all(connection).await? {
            let column = Column {
                name: row.column,
                type_name: row.r#type,
                default: row.default,
                is_generated: row.is_generated,
                is_key: row.is_key,
            };
            match relations.last_mut() {
                Some(last) if last.name == row.relation => last.columns.push(column),
                _ => relations.push(Relation {
                    name: row.relation,
                    is_view: row.is_view,
                    columns: vec![column],
                }),
            }
        }
        Ok(Self(relations))
    }

    /// The table or view of this name.
    #[must_use]
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.0.iter().find(|relation| relation.name == name)
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Relation> {
        self.relation(name).filter(|relation| !relation.is_view)
    }
}

/// A name as statements spell it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as statements spell it.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
