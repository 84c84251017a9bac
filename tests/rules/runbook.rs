//! The runbook has a place for everything that `periodd status`, `doctor` and `explain` can find.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use periodd::jobs::finding::Check;

fn runbook() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The checks of a chapter's tables: its rows begin with their names in backticks.
fn in_tables(runbook: &str) -> BTreeSet<&str> {
    let rows = runbook.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let names = cells.flat_map(|cell| cell.split(['`', ',', ' ']));
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_check_has_a_paragraph_or_a_row() {
    let runbook = runbook();
    let rows = in_tables(&runbook);
    for check in Check::ALL.map(Check::name) {
        let heading = format!("### `{check}`\n\n");
        match runbook.split_once(&heading) {
            Some((_, paragraph)) => {
                let paragraph = paragraph.split("\n#").next().unwrap_or_default();
                assert!(paragraph.len() > 80, "the runbook says nothing of `{check}`: {paragraph}");
            }
            None => assert!(rows.contains(check), "the runbook has no place for `{check}`"),
        }
    }
    let known: BTreeSet<&str> = Check::ALL.iter().map(|check| check.name()).collect();
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### `"));
    for heading in headings.map(|heading| heading.trim_end_matches('`')) {
        assert!(known.contains(heading), "a paragraph of what nothing finds: {heading}");
    }
}
