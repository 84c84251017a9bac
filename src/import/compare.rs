//! The catalogue before and after: what belongs to others and was not to change is as it was.
//! Names in the answers are qualified; our own objects and what is dropped on purpose are left out.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::dependents::Dependent;
use crate::store::db::error::StoreError;
use crate::store::db::ours;
use crate::store::db::tables::{self, QualifiedName};

/// How many differences are told.
const TOLD: usize = 3;

/// An object of the catalogue, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// `column`, `policy`, …
    kind: String,
    /// The table, view or function that it is or belongs to.
    schema: String,
    name: String,
    /// The part's name; empty for the whole.
    part: String,
}

/// What the catalogue says of everything that is not PostgreSQL's own.
pub(super) struct Snapshot(BTreeMap<Key, String>);

/// What is going to change, by names.
#[derive(Debug, Default)]
pub(super) struct Planned {
    schema: String,
    /// Tables that get another name; their constraints and definitions follow it.
    tables: BTreeMap<String, String>,
    /// Indexes that do.
    indexes: BTreeMap<String, String>,
    /// Views that are made again, or put aside: `(schema, name)`.
    again: BTreeSet<QualifiedName>,
    gone: BTreeSet<QualifiedName>,
    /// Foreign keys and policies that are made again, or go.
    parts: BTreeSet<(QualifiedName, String)>,
    gone_parts: BTreeSet<(QualifiedName, String)>,
}

impl Planned {
    pub(super) fn new(schema: &str) -> Self {
        Self { schema: schema.to_owned(), ..Self::default() }
    }

    /// A table gets another name.
    pub(super) fn renames_table(&mut self, from: &str, to: &str) {
        self.tables.insert(from.to_owned(), to.to_owned());
    }

    /// An index of such a table does.
    pub(super) fn renames_index(&mut self, from: &str, to: &str) {
        self.indexes.insert(from.to_owned(), to.to_owned());
    }

    /// A view goes and does not come back, or something else is no longer there.
    pub(super) fn loses(&mut self, name: QualifiedName) {
        self.gone.insert(name);
    }

    /// Something is dropped and made again.
    pub(super) fn makes_again(&mut self, dependent: &Dependent) {
        match dependent.part() {
            (view, None) => drop(self.again.insert(view.clone())),
            (table, Some(part)) => drop(self.parts.insert((table.clone(), part.to_owned()))),
        }
    }

    /// Something is dropped for good.
    pub(super) fn drops(&mut self, dependent: &Dependent) {
        match dependent.part() {
            (view, None) => self.loses(view.clone()),
            (table, Some(part)) => drop(self.gone_parts.insert((table.clone(), part.to_owned()))),
        }
    }

    /// Where an object is afterwards, and whether it is to be looked at; `None` where it is none
    /// of these.
    fn expected(&self, key: &Key) -> Option<Key> {
        let name = QualifiedName::new(&key.schema, &key.name);
        let is_here = key.schema == self.schema;
        let renamed = self.tables.get(&key.name).filter(|_| is_here);
        if self.gone.contains(&name) || (is_here && renamed.is_none() && ours::is_ours(&key.name)) {
            return None;
        }
        let part = (name.clone(), key.part.clone());
        if self.gone_parts.contains(&part) {
            return None;
        }
        let name_after = renamed.unwrap_or(&key.name);
        let is_text = ["definition", "type"].contains(&key.kind.as_str());
        // The text of what is made again names other tables, and columns of other types.
        let is_again = self.again.contains(&name) || self.parts.contains(&part);
        let follows = renamed.is_some() && (is_text || key.kind == "constraint");
        let is_looked_at = !(follows || is_again && is_text);
        let part = self.indexes.get(&key.part).filter(|_| is_here && key.kind == "index");
        let (name, part) = (name_after.clone(), part.unwrap_or(&key.part).clone());
        is_looked_at.then(|| Key { name, part, ..key.clone() })
    }
}

impl Snapshot {
    /// Reads it.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let path = sqlx::query_scalar!(r#"select current_setting('search_path') as "path!""#);
        let path = path.fetch_one(&mut *connection).await?;
        tables::write_names_in_full(connection).await?;
        let rows: Vec<(String, String, String, String, String)> =
            sqlx::query_as(CATALOGUE).fetch_all(&mut *connection).await?;
        sqlx::query_scalar!("select set_config('search_path', $1, true)", path)
            .fetch_one(connection)
            .await?;
        let rows = rows.into_iter();
        let all =
            rows.map(|(kind, schema, name, part, facts)| (Key { kind, schema, name, part }, facts));
        Ok(Self(all.collect()))
    }

    /// Refuses what was not planned.
    ///
    /// # Errors
    /// [`StoreError::Unprocessable`], which names the first differences.
    pub(super) fn holds(&self, after: &Self, planned: &Planned) -> Result<(), StoreError> {
        let mut differences = Vec::new();
        for (key, facts) in &self.0 {
            let Some(expected) = planned.expected(key) else { continue };
            let found = after.0.get(&expected);
            if found != Some(facts) {
                let now = found.map_or("missing", String::as_str);
                differences.push(format!("{}: was ({facts}), would be ({now})", expected.plain()));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let (count, s) = (differences.len(), if differences.len() == 1 { "" } else { "s" });
        differences.truncate(TOLD);
        Err(StoreError::Unprocessable(format!(
            "{count} database object{s} of others would change: {}; nothing was changed",
            differences.join("; ")
        )))
    }
}

impl Key {
    fn plain(&self) -> String {
        let Self { kind, schema, name, part } = self;
        if part.is_empty() {
            format!("{kind} {schema}.{name}")
        } else {
            format!("{kind} {part} of {schema}.{name}")
        }
    }
}

/// `(kind, schema, name, part, facts)`.
const CATALOGUE: &str = include_str!("catalogue.sql");
