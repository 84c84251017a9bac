//! A table that is adopted: its columns as expressions of our types.

use super::answers::Answers;
use crate::store::db::ours;
use crate::store::db::tables::{Column, Identifier, Relation, literal, quoted};

/// A table under adoption, read under the alias `x`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) table: &'a Relation,
    /// What the operator decided.
    pub(super) answers: &'a Answers,
    /// Is the table left where it is?
    pub(super) stays: bool,
}

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Number,
    Instant,
}

impl Reads {
    /// Can a column of this type be read so, whatever its rows hold?
    fn takes(self, column: &Column) -> bool {
        let kind = column.type_name.split('(').next().unwrap_or_default();
        match self {
            Self::Number => column.is_numeric(),
            Self::Instant => kind.starts_with("timestamp") || kind == "date",
        }
    }

    pub(super) const fn plain(self) -> &'static str {
        match self {
            Self::Number => "a numeric type",
            Self::Instant => "a date or timestamp",
        }
    }
}

/// Whose ids are mapped together: ids of one org are the same in every table.
pub(super) const ORGS: &str = "organizations";
pub(super) const USERS: &str = "users";

impl<'a> Source<'a> {
    /// Its name before it is replaced.
    pub(super) fn now(self) -> String {
        format!("{} x", quoted(&self.table.name))
    }

    /// Its name once the tables are replaced.
    pub(super) fn legacy(self) -> String {
        let name = &self.table.name;
        format!("{} x", quoted(&if self.stays { name.clone() } else { legacy_name(name) }))
    }

    /// The zone of timestamps that name none.
    pub(super) fn naive_zone(self) -> &'a str {
        &self.answers.naive_zone
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

    /// The first of these columns, as an id of ours; without any, `null`. One that is not a UUID is
    /// looked up among the mapped ids of `whose`, which are there once the tables are replaced.
    pub(super) fn id(self, whose: &str, names: &[&str]) -> String {
        self.raw(names).map_or("null::uuid".to_owned(), |(column, kind)| {
            if kind == "uuid" {
                return column;
            }
            let (whose, former) = (literal(whose), self.text(names));
            format!(
                "(select i.id from periodd_import_ids i
                  where i.kind = {whose} and i.former_id = {former})"
            )
        })
    }

    /// Whose id the table's own column `id` is, where it is not a UUID and so is mapped.
    pub(super) fn needs_mapping(self, names: &[&str]) -> bool {
        self.raw(names).is_some_and(|(_, kind)| kind != "uuid")
    }

    /// The column `id` where it is not a UUID, and the name under which it is kept beside the new
    /// one.
    pub(super) fn former_id(self) -> Option<(&'a Column, Identifier)> {
        let column = self.table.column("id").filter(|column| column.type_name != "uuid")?;
        Some((column, self.unused(FORMER_ID)))
    }

    /// Columns that cannot be read as what they are needed for, as sentences.
    pub(super) fn misfits(self, needed: &[(Reads, &[&str])]) -> Vec<String> {
        let table = &self.table.name;
        let misfit = |(reads, names): &(Reads, &[&str])| {
            let column = self.table.first(names).filter(|column| !reads.takes(column))?;
            let (name, kind, needs) = (&column.name, &column.type_name, reads.plain());
            Some(format!(
                "the column {name} of {table} is {kind}, and periodd needs {needs}: change its \
                 type, or rename {table} to exclude it from the import"
            ))
        };
        needed.iter().filter_map(misfit).collect()
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
                format!("({column}::timestamp at time zone {})", literal(self.naive_zone()))
            }
        })
    }

    /// The end of a period, where it may be the period's last moment or day instead of the first
    /// moment after it.
    pub(super) fn end(self, start: &[&str], end: &[&str]) -> String {
        let (ends, is_inclusive) = (self.instant(end), self.is_inclusive(start, end));
        let next = if self.is_date(end) {
            self.raw(end).map_or_else(String::new, |(column, _)| {
                format!("(({column} + 1)::timestamp at time zone {})", literal(self.naive_zone()))
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
        looks_inclusive(&self.instant(start), &self.instant(end))
    }

    fn is_date(self, names: &[&str]) -> bool {
        self.raw(names).is_some_and(|(_, kind)| kind == "date")
    }

    /// The day of the month in an instant's own words: in the zone of timestamps without one.
    fn day(self, names: &[&str]) -> String {
        let (at, zone) = (self.instant(names), literal(self.naive_zone()));
        format!("extract(day from {at} at time zone {zone})")
    }

    /// Of each of these lists of names, the first column that there is: what it means is known.
    /// One that is spelt otherwise (`createdAt`) is read, and kept as well.
    pub(super) fn taken(self, lists: &[&[&str]]) -> Vec<String> {
        let first = |names: &&[&str]| {
            let column = self.table.first(names)?;
            names.contains(&column.name.as_str()).then(|| column.name.clone())
        };
        lists.iter().filter_map(first).collect()
    }

    /// The columns that our table has no place for, and that are kept there beside ours.
    pub(super) fn extra(self, to: &str, taken: &[String]) -> Vec<&'a Column> {
        let ours = ours::columns(to);
        let all = self.table.columns.iter().filter(|column| !taken.contains(&column.name));
        all.filter(|column| !ours.contains(&column.name.as_str())).collect()
    }

    /// The statements that add those columns to our table.
    pub(super) fn add_extra(self, to: &str, taken: &[String]) -> Vec<String> {
        let mut statements = Vec::new();
        for column in self.extra(to, taken) {
            let (name, kind) = (quoted(&column.name), &column.type_name);
            let collation = column.collation.as_ref();
            let collation = collation.map(|name| format!(" collate {name}")).unwrap_or_default();
            statements.push(format!(
                "alter table {to} add column if not exists {name} {kind}{collation}"
            ));
            // Apart, so that it is not computed now. What a generated column is generated from may
            // not be here: its value is copied.
            if let Some(default) = &column.default {
                statements
                    .push(format!("alter table {to} alter column {name} set default {default}"));
            }
            let words = column.comment.clone().unwrap_or_else(|| {
                format!("The application's own column, from before periodd ({kind}).")
            });
            statements.push(format!("comment on column {to}.{name} is {}", literal(&words)));
        }
        if let Some((column, name)) = self.former_id() {
            let kind = &column.type_name;
            // Foreign keys of others may point at it. Several tables can become metrics.
            let unique = if [ORGS, USERS].contains(&to) { " unique" } else { "" };
            statements
                .push(format!("alter table {to} add column if not exists {name} {kind}{unique}"));
            statements.push(format!(
                "comment on column {to}.{name} is 'The id before periodd ({}); id is the UUID \
                 that stands for it.'",
                kind.replace('\'', "''")
            ));
        }
        statements
    }

    /// `, "a", "b"` for a list of columns, with `prefix` before each name.
    pub(super) fn list_extra(self, to: &str, taken: &[String], prefix: &str) -> String {
        let list = self.extra(to, taken).into_iter().fold(String::new(), |list, column| {
            list + ", " + prefix + &quoted(&column.name).to_string()
        });
        match self.former_id() {
            None => list,
            Some((_, name)) if prefix.is_empty() => format!("{list}, {name}"),
            Some((column, _)) => format!("{list}, {prefix}{}", quoted(&column.name)),
        }
    }

    /// A name that none of its columns has.
    pub(super) fn unused(self, name: &str) -> Identifier {
        let mut name = name.to_owned();
        while self.table.column(&name).is_some() {
            name.push('_');
        }
        quoted(&name)
    }
}

/// `periodd_is_inclusive`, in a database that may not have it yet: does an end look like a period's
/// last moment, 23:59:59.999, instead of the first one after it?
pub(super) fn looks_inclusive(start: &str, end: &str) -> String {
    format!(
        "(mod(floor(extract(epoch from {end})), 900) = 899
           and mod(floor(extract(epoch from {start})), 900) is distinct from 899)"
    )
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

/// The local time of day at which periods end: that of the end of the period, where its start has
/// the same one, there or where the application kept its time, and neither the org's days nor the
/// application's begin then; else midnight.
pub(super) fn anchor_time(start: &str, end: &str, zone: &str, naive_zone: &str) -> String {
    let time = |at: &str, zone: &str| format!("(({at}) at time zone {zone})::time");
    let naive = literal(naive_zone);
    format!(
        "case when ({start_here} = {end_here} or {start_there} = {end_there})
                   and {end_there} <> '00:00'
              then date_trunc('second', {end_here}::interval)::time else time '00:00' end",
        start_here = time(start, zone),
        end_here = time(end, zone),
        start_there = time(start, &naive),
        end_there = time(end, &naive),
    )
}

/// How often periods end, in the words that applications use; null for other words.
fn cycle_of_words(words: &str) -> String {
    format!(
        "case lower({words})
             when 'daily' then 'daily' when 'day' then 'daily'
             when 'weekly' then 'weekly' when 'week' then 'weekly'
             when 'monthly' then 'monthly' when 'month' then 'monthly'
             when 'quarterly' then 'quarterly' when 'quarter' then 'quarterly'
             when 'semiannual' then 'semiannual' when 'semiannually' then 'semiannual'
             when 'semi-annual' then 'semiannual' when 'semi_annual' then 'semiannual'
             when 'half_yearly' then 'semiannual' when 'half-yearly' then 'semiannual'
             when 'biannual' then 'semiannual'
             when 'yearly' then 'yearly' when 'year' then 'yearly'
             when 'annual' then 'yearly' when 'annually' then 'yearly' end"
    )
}

/// How often a period of this length ends; null for a length that no cycle has. A day is an hour
/// shorter or longer where clocks change.
fn cycle_of_length(start: &str, end: &str) -> String {
    format!(
        "case when ({end}) - ({start}) between interval '22 hours' and interval '26 hours'
              then 'daily'
              when ({end}) - ({start}) between interval '166 hours' and interval '170 hours'
              then 'weekly'
              when ({end}) - ({start}) between interval '670 hours' and interval '746 hours'
              then 'monthly'
              when ({end}) - ({start}) between interval '2158 hours' and interval '2210 hours'
              then 'quarterly'
              when ({end}) - ({start}) between interval '4342 hours' and interval '4418 hours'
              then 'semiannual'
              when ({end}) - ({start}) between interval '364 days' and interval '367 days'
              then 'yearly' end"
    )
}

/// How often an org's periods end: by a word, else by the open period's length, else as the
/// operator says. Null where nobody knows; an org without a period and without a word is monthly.
pub(super) fn cycle(words: &str, start: &str, end: &str, answer: Option<&str>) -> String {
    let answer = answer.map_or("null::text".to_owned(), literal);
    format!(
        "case when {words} is not null then coalesce({of_words}, {answer})
              when {start} is null and {end} is null or {end} <= {start}
              then coalesce({answer}, 'monthly')
              else coalesce({of_length}, {answer}) end",
        of_words = cycle_of_words(words),
        of_length = cycle_of_length(start, end),
    )
}

/// What the column is called that keeps an id that is not a UUID.
const FORMER_ID: &str = "former_id";

/// The longest name that PostgreSQL keeps, in bytes.
const LONGEST_NAME: usize = 63;

/// What a replaced table or index is called. A name that would be too long is cut, and told apart
/// from others that begin alike.
pub(super) fn legacy_name(name: &str) -> String {
    let whole = format!("{name}_legacy");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    // FNV-1a: the same in every version of this program.
    let mixed = name
        .bytes()
        .fold(0x811c_9dc5_u32, |mixed, byte| (mixed ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let end = format!("_{mixed:08x}_legacy");
    let mut length = LONGEST_NAME - end.len();
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    format!("{}{end}", name.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{legacy_name, looks_inclusive};

    #[test]
    fn an_inclusive_end_is_what_the_function_says() {
        let function = include_str!("../../migrations/api/0006_periodd_is_inclusive.sql");
        let asked = looks_inclusive("p_start", "p_end");
        assert!(function.contains(&asked[1..asked.len() - 1]), "{asked}");
    }

    #[test]
    fn legacy_names_are_never_too_long_and_differ() {
        assert_eq!(legacy_name("users"), "users_legacy");
        let names = ["i".repeat(63), format!("{}j", "i".repeat(62)), "ü".repeat(31)];
        let legacy = names.each_ref().map(|name| legacy_name(name));
        assert!(legacy.iter().all(|name| name.len() <= 63 && name.ends_with("_legacy")));
        assert_ne!(legacy[0], legacy[1]);
    }
}
