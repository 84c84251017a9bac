//! What periodd's own schema has: tables with their columns, views, functions and indexes. The list
//! is generated from a migrated database, and a test compares the two
//! (`tests/usage/adoption/ours.rs`).

/// A line for each object: its kind, its name, and the columns of a table or view.
const SCHEMA: &str = include_str!("schema.txt");

/// The objects of some kinds, each with its name and columns.
fn objects(kinds: &[&str]) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    SCHEMA.lines().filter_map(move |line| {
        let mut words = line.split_whitespace();
        let kind = words.next()?;
        let name = words.next()?;
        kinds.contains(&kind).then(|| (name, words.collect()))
    })
}

/// The tables that applications share with us; a table of that name has to make room.
pub(crate) fn tables() -> Vec<&'static str> {
    let all = objects(&["table"]).map(|(name, _)| name);
    all.filter(|name| !name.starts_with("periodd_")).collect()
}

/// Our views.
pub(crate) fn views() -> Vec<&'static str> {
    objects(&["view"]).map(|(name, _)| name).collect()
}

/// The names of our functions.
pub(crate) fn functions() -> Vec<&'static str> {
    objects(&["function"]).map(|(name, _)| name).collect()
}

/// The names that tables, views and indexes share.
pub(crate) fn relations() -> Vec<&'static str> {
    objects(&["table", "view", "index"]).map(|(name, _)| name).collect()
}

/// The columns of one of our tables; none of a table that is not ours.
pub(crate) fn columns(table: &str) -> Vec<&'static str> {
    objects(&["table"]).find(|(name, _)| *name == table).map(|(_, all)| all).unwrap_or_default()
}

/// Is an object in our schema of ours, by its name?
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("periodd_") || relations().contains(&name) || functions().contains(&name)
}

/// Names as parameters take them.
pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
