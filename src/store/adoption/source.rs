//! A table that is adopted: its columns as expressions of our types.

use crate::store::tables::{Relation, literal, quoted};

/// A table under adoption, read under the alias `x`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) table: &'a Relation,
    /// The zone of timestamps that name none.
    pub(super) naive_zone: &'a str,
}

impl<'a> Source<'a> {
    /// Its name before it is replaced.
    pub(super) fn now(self) -> String {
        format!("{} x", quoted(&self.table.name))
    }

    /// Its name once it is replaced.
    pub(super) fn legacy(self) -> String {
        format!("{} x", quoted(&legacy_name(&self.table.name)))
    }

    pub(super) fn has(self, names: &[&str]) -> bool {
        self.table.first(names).is_some()
    }

    fn raw(self, names: &[&str]) -> Option<(String, &'a str)> {
        let column = self.table.first(names)?;
        Some((format!("x.{}", quoted(&column.name)), &column.type_name))
    }

    /// The first of these columns, as text; without any, `null`.
    pub(super) fn text(self, names: &[&str]) -> String {
        self.raw(names).map_or("null::text".to_owned(), |(column, _)| {
            format!("nullif(trim({column}::text), '')")
        })
    }

    /// The first of these columns, as an id; without any, `null`.
    pub(super) fn id(self, names: &[&str]) -> String {
        self.raw(names).map_or("null::uuid".to_owned(), |(column, kind)| {
            if kind == "uuid" { column } else { format!("{column}::text::uuid") }
        })
    }

    /// The first of these columns, as a quantity; without any, `null`.
    pub(super) fn quantity(self, names: &[&str]) -> String {
        self.raw(names).map_or("null::numeric".to_owned(), |(column, _)| {
            format!("trim_scale(round({column}::numeric, 6))")
        })
    }

    /// The first of these columns, as an instant; without any, `null`. A timestamp without a zone
    /// is read in the one that was named for such.
    pub(super) fn instant(self, names: &[&str]) -> String {
        self.raw(names).map_or("null::timestamptz".to_owned(), |(column, kind)| {
            if kind.contains("with time zone") {
                column
            } else {
                format!("({column}::timestamp at time zone {})", literal(self.naive_zone))
            }
        })
    }

    /// The same, where the end of a period may be its last moment instead of the first after it.
    pub(super) fn end(self, names: &[&str]) -> String {
        let end = self.instant(names);
        format!(
            "case when extract(second from {end}) >= 59
                  then date_trunc('minute', {end}) + interval '1 minute' else {end} end"
        )
    }

    /// Does a period's end look like its last moment?
    pub(super) fn is_inclusive(self, names: &[&str]) -> String {
        format!("extract(second from {}) >= 59", self.instant(names))
    }

    /// The columns that we have no place for.
    pub(super) fn extra(self, ours: &[&str]) -> Vec<&'a str> {
        let names = self.table.columns.iter().map(|column| column.name.as_str());
        names.filter(|name| !ours.contains(name)).collect()
    }

    /// Adds those columns to our table of the same meaning.
    pub(super) fn add_extra(self, to: &str, ours: &[&str]) -> String {
        let mut statements = String::new();
        for name in self.extra(ours) {
            let Some(column) = self.table.column(name) else { continue };
            let default = column.default.as_ref();
            let default = default.map(|default| format!(" default {default}")).unwrap_or_default();
            let (name, kind, words) = (
                quoted(name),
                &column.type_name,
                literal(&format!(
                    "The application's own, from before periodd ({}).",
                    column.type_name
                )),
            );
            statements.extend([
                format!("alter table {to} add column {name} {kind}{default};"),
                format!("comment on column {to}.{name} is {words};"),
            ]);
        }
        statements
    }

    /// `, "a", "b"` for a list of columns, with `prefix` before each name.
    pub(super) fn list_extra(self, ours: &[&str], prefix: &str) -> String {
        let names = self.extra(ours).into_iter();
        let names: Vec<String> = names.map(|name| format!(", {prefix}{}", quoted(name))).collect();
        names.concat()
    }
}

/// What a replaced table is called.
pub(super) fn legacy_name(name: &str) -> String {
    format!("{name}_legacy")
}
