//! Statements are checked when they are compiled. Those that cannot be stand in the files named
//! here.

#[path = "../rooms/source.rs"]
#[allow(dead_code, reason = "the tokens are all that is needed here")]
mod source;

use std::path::{Path, PathBuf};

/// Files with statements that the compiler does not check, and why.
const UNCHECKED: [(&str, &str); 7] = [
    ("src/store/adoption/mod.rs", "tables that others made, by names from the catalogue"),
    ("src/store/adoption/undo.rs", "the same, and what made them as it was"),
    ("src/store/database.rs", "ends what a dropped BEGIN left open; a transaction is no query"),
    (
        "src/store/derived.rs",
        "tables and columns that the configuration names, and the catalogue has",
    ),
    ("src/store/migrate.rs", "migrations, before there is a schema to check against"),
    ("src/store/roles.rs", "roles that are made in it, and names from the catalogue"),
    ("src/store/zones.rs", "runs inside the migration that creates its table"),
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

#[test]
fn unchecked_statements_are_found_however_they_are_written() {
    assert_eq!(unchecked_lines("\nsqlx::query(\"select 1\")"), [2]);
    assert_eq!(unchecked_lines("sqlx::query_as::<_, (i32,)>(text)"), [1]);
    assert_eq!(unchecked_lines("use sqlx::{Row,\n query_scalar};"), [2]);
    assert_eq!(unchecked_lines("sqlx::QueryBuilder::new(text)"), [1]);
    assert!(unchecked_lines("sqlx::query!(\"select 1\"); let query = 1; f(query);").is_empty());
    assert!(unchecked_lines("// sqlx::query(\"\")\nlet raw_sql = \"sqlx::raw_sql()\";").is_empty());
}
