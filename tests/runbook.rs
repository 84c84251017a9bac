//! The runbook has a paragraph for everything that `periodd status` can say, and names whatever
//! `periodd doctor` finds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names that findings are given in a source: the first text behind each of these words.
fn findings(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or(source);
    let words = ["problem(", "warning(", "note(", "finding(", "finding)(", "=> (", "    ("];
    let named = |rest: &str| -> Option<String> {
        let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && name.len() > 2;
        is_name.then(|| name.to_owned())
    };
    words.iter().flat_map(|word| source.split(word).skip(1).filter_map(named)).collect()
}

#[test]
fn every_finding_of_status_has_a_paragraph_and_every_one_of_doctor_is_named() {
    let runbook = text(&top().join("docs/operating.md"));
    let of_status = findings(&text(&top().join("src/jobs/status.rs")));
    assert!(of_status.len() >= 17, "{of_status:?}");
    for finding in &of_status {
        let heading = format!("### `{finding}`\n\n");
        let (_, paragraph) = runbook
            .split_once(&heading)
            .unwrap_or_else(|| panic!("the runbook has no paragraph `{finding}`"));
        let paragraph = paragraph.split("\n#").next().unwrap_or_default();
        assert!(paragraph.len() > 80, "the runbook says nothing of `{finding}`: {paragraph}");
    }
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### `"));
    let headings: BTreeSet<String> =
        headings.map(|heading| heading.trim_end_matches('`').to_owned()).collect();
    assert_eq!(headings, of_status, "paragraphs of what `status` never says");

    let files = fs::read_dir(top().join("src/jobs/doctor")).expect("its checks");
    let of_doctor: BTreeSet<String> =
        files.flat_map(|file| findings(&text(&file.expect("a file").path()))).collect();
    assert!(of_doctor.len() >= 20, "{of_doctor:?}");
    for finding in &of_doctor {
        assert!(runbook.contains(&format!("`{finding}`")), "the runbook does not name `{finding}`");
    }
}
