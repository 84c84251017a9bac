//! Statements are checked when they are compiled. Those that cannot be stand in the files named
//! here.

#[path = "../rules/rooms/source.rs"]
#[allow(dead_code, reason = "the tokens are all that is needed here")]
mod source;

use std::path::{Path, PathBuf};

/// Files with statements that the compiler does not check, and why.
const UNCHECKED: [(&str, &str); 18] = [
    ("src/import/compare.rs", "the catalogue, in a file of its own"),
    ("src/import/dependents.rs", "the same"),
    ("src/import/ids.rs", "tables that others made"),
    ("src/import/mod.rs", "tables that others made, by names from the catalogue"),
    ("src/import/not_carried_over.rs", "the catalogue, beside tables that others made"),
    ("src/import/undo.rs", "the same, and what made them as it was"),
    (
        "src/store/audit/derived.rs",
        "tables and columns that the configuration names, and the catalogue has",
    ),
    ("src/store/db/api.rs", "functions and views, before there is a schema to check against"),
    ("src/store/db/earlier.rs", "a schema of before the one to check against"),
    ("src/store/db/history.rs", "the table of migrations, before there is a schema"),
    ("src/store/db/lease.rs", "ends what a dropped BEGIN left open; and settings of a connection"),
    ("src/store/db/migrate.rs", "migrations, before there is a schema to check against"),
    ("src/store/db/private_rights.rs", "roles, as a superuser, before there is a schema"),
    ("src/store/db/role_names.rs", "runs between the migrations, too"),
    ("src/store/db/roles.rs", "roles that are made in it, and names from the catalogue"),
    ("src/store/db/tables.rs", "sends what is built from names, one statement at a time"),
    ("src/store/orgs/zones.rs", "runs inside the migration that creates its table"),
    ("src/store/usage/ranges.rs", "tables and conditions from the migrations' own texts"),
];
/// What sends a text as a statement, where it is not the macro of that name.
const SENDERS: [&str; 8] = [
    "query",
    "query_as",
    "query_scalar",
    "query_with",
    "query_as_with",
    "query_scalar_with",
    "raw_sql",
    "QueryBuilder",
];

/// The lines on which statements are sent that the compiler has not seen.
fn unchecked_lines(text: &str) -> Vec<usize> {
    let tokens = source::tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut in_use_of_sqlx = false;
    let mut lines = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "use" => in_use_of_sqlx = word(at + 1) == "sqlx",
            ";" => in_use_of_sqlx = false,
            _ => {}
        }
        let named = at >= 2 && word(at - 1) == "::" && word(at - 2) == "sqlx";
        let is_macro = word(at + 1) == "!";
        if SENDERS.contains(&token.text) && (named || in_use_of_sqlx) && !is_macro {
            lines.push(token.line);
        }
    }
    lines
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| rust_files(folder));
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .chain(below)
        .collect()
}

#[test]
fn statements_that_the_compiler_does_not_check_stand_where_they_are_expected() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<String> = Vec::new();
    for file in rust_files(&top.join("src")) {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        if !unchecked_lines(&text).is_empty() {
            found.push(file.strip_prefix(top).expect("below").display().to_string());
        }
    }
    found.sort_unstable();
    let expected = UNCHECKED.map(|(file, _)| file);
    assert_eq!(found, expected, "write `sqlx::query!`, or name the file here and say why");
}

/// Files that send several statements in one text, none of them with a name from the catalogue: in
/// such a text a name could bring a statement of its own.
const SIMPLE: [&str; 6] = [
    "src/store/db/history.rs",
    "src/store/db/lease.rs",
    "src/store/db/migrate.rs",
    "src/store/db/private_rights.rs",
    "src/store/db/roles.rs",
    "src/store/usage/ranges.rs",
];

/// The lines that put quotes around a name by themselves.
fn quoting_lines(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let by_hand = |line: &str| {
        let code = line.trim_start();
        !code.starts_with("//")
            && (code.contains("'\\\"' ||") || code.contains("'\"' ||") || code.contains("\\\"{"))
    };
    lines.filter(|(_, line)| by_hand(line)).map(|(at, _)| at + 1).collect()
}

#[test]
fn names_get_into_statements_through_one_door() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut simple, mut quoting) = (Vec::new(), Vec::new());
    let with_sql = ["src/import", "src/store"].map(|room| rust_files(&top.join(room)));
    for file in with_sql.concat() {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let name = file.strip_prefix(top).expect("below").display().to_string();
        if source::tokens(&text).iter().any(|token| token.text == "raw_sql") {
            simple.push(name.clone());
        }
        quoting.extend(quoting_lines(&text).iter().map(|line| format!("{name}:{line}")));
    }
    simple.sort_unstable();
    assert_eq!(simple, SIMPLE, "send statements with names by `tables::execute`");
    let allowed = ["src/store/db/tables.rs"];
    quoting.retain(|place| !allowed.iter().any(|start| place.starts_with(start)));
    let elsewhere = quoting;
    assert!(elsewhere.is_empty(), "write an `Identifier` instead: {elsewhere:?}");
}

#[test]
fn names_that_are_quoted_by_hand_are_found() {
    assert_eq!(quoting_lines("\nselect '\"' || relname || '\"'"), [2]);
    assert_eq!(quoting_lines("format!(\"drop view \\\"{name}\\\"\")"), [1]);
    assert!(quoting_lines("format!(\"drop view {name}\")").is_empty());
}

#[test]
fn unchecked_statements_are_found_however_they_are_written() {
    assert_eq!(unchecked_lines("\nsqlx::query(\"select 1\")"), [2]);
    assert_eq!(unchecked_lines("sqlx::query_as::<_, (i32,)>(text)"), [1]);
    assert_eq!(unchecked_lines("use sqlx::{Row,\n query_scalar};"), [2]);
    assert_eq!(unchecked_lines("sqlx::QueryBuilder::new(text)"), [1]);
    assert!(unchecked_lines("sqlx::query!(\"select 1\"); let query = 1; f(query);").is_empty());
    assert!(unchecked_lines("// sqlx::query(\"\")\nlet raw_sql = \"sqlx::raw_sql()\";").is_empty());
}
