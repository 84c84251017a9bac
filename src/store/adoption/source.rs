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

    /// The end of a period, where it may be the period's last moment or day instead of the first
    /// moment after it.
    pub(super) fn end(self, start: &[&str], end: &[&str]) -> String {
        let (ends, is_inclusive) = (self.instant(end), self.is_inclusive(start, end));
        let next = if self.is_date(end) {
            self.raw(end).map_or_else(String::new, |(column, _)| {
                format!("(({column} + 1)::timestamp at time zone {})", literal(self.naive_zone))
            })
        } else {
            format!("date_trunc('minute', {ends}) + interval '1 minute'")
        };
        format!("case when {is_inclusive} then {next} else {ends} end")
    }

    /// Does a period's end look like its last moment, or like its last day?
    pub(super) fn is_inclusive(self, start: &[&str], end: &[&str]) -> String {
        if let (true, Some((column, _))) = (self.is_date(end), self.raw(end)) {
            // A period from the 1st to the 31st; one from the 1st to the 1st says what it means.
            let day = |date: &str| format!("extract(day from {date})");
            let start = self.day(start);
            return format!(
                "({} = {start} and {} <> {start})",
                day(&format!("{column} + 1")),
                day(&column)
            );
        }
        looks_inclusive(&self.instant(end))
    }

    fn is_date(self, names: &[&str]) -> bool {
        self.raw(names).is_some_and(|(_, kind)| kind == "date")
    }

    /// The day of the month in an instant's own words: in the zone of timestamps without one.
    fn day(self, names: &[&str]) -> String {
        let (at, zone) = (self.instant(names), literal(self.naive_zone));
        format!("extract(day from {at} at time zone {zone})")
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
            // A generated column's value is copied; what generated it may not be here.
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

/// Does an end look like a period's last moment, 23:59:59.999, instead of the first one after it?
/// Somewhere on earth it is midnight at every quarter of an hour. `db verify` and `doctor` ask the
/// same.
pub(super) fn looks_inclusive(end: &str) -> String {
    format!("(extract(second from {end}) >= 59 and extract(minute from {end}) in (14, 29, 44, 59))")
}

/// The local day that a boundary falls on. One at midnight in the zone that the application kept
/// its time in was computed there, wherever the org is.
fn local_day(at: &str, zone: &str, naive_zone: &str) -> String {
    let naive = literal(naive_zone);
    format!(
        "(({at}) at time zone case when (({at}) at time zone {naive})::time = '00:00'
                                   then {naive} else {zone} end)::date"
    )
}

/// The day of the month that a period's boundaries are anchored to: its end's, but for an end on
/// a short month's last day, where the start knows better.
pub(super) fn anchor_day(start: &str, end: &str, zone: &str, naive_zone: &str) -> String {
    let (start, end) = (local_day(start, zone, naive_zone), local_day(end, zone, naive_zone));
    let day = |date: &str| format!("extract(day from {date})");
    format!(
        "case when {} = 1 then greatest({}, {}) else {} end::smallint",
        day(&format!("({end} + 1)")),
        day(&start),
        day(&end),
        day(&end)
    )
}

/// The month that a yearly period's boundaries are anchored to.
pub(super) fn anchor_month(end: &str, zone: &str, naive_zone: &str) -> String {
    format!("extract(month from {})::smallint", local_day(end, zone, naive_zone))
}

/// The weekday that a weekly period's boundaries are anchored to.
pub(super) fn anchor_weekday(end: &str, zone: &str, naive_zone: &str) -> String {
    format!("extract(isodow from {})::smallint", local_day(end, zone, naive_zone))
}

/// How often a period of this length ends.
pub(super) fn cycle(start: &str, end: &str) -> String {
    format!(
        "case when ({end}) - ({start}) between interval '364 days' and interval '367 days'
              then 'yearly' else 'monthly' end"
    )
}

/// What a replaced table is called.
pub(super) fn legacy_name(name: &str) -> String {
    format!("{name}_legacy")
}
