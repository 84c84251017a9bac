//! Planted defects: each says what is wrong and which tests notice, and still applies.
//! `scripts/planted` plants them and runs these tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many there are at least.
const LEAST: usize = 60;

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The patches, with their names.
fn patches() -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(top().join("tests/planted")).expect("the patches are there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), path.clone())).collect()
}

/// Is there such a test binary, and in it a module of that name?
fn is_there(binary: &str, filter: &str) -> bool {
    let place = filter.replace("::", "/");
    let root = if binary == "lib" {
        Path::new("src").to_owned()
    } else {
        format!("tests/{binary}").into()
    };
    let module = top().join(root).join(place);
    module.is_dir() || module.with_extension("rs").is_file()
}

#[test]
fn every_defect_is_described_and_named_with_tests_that_are_there() {
    let patches = patches();
    assert!(patches.len() >= LEAST, "{} of {LEAST}", patches.len());
    for (name, path) in patches {
        let text = fs::read_to_string(&path).expect("a patch");
        let (head, _) = text.split_once("\n\n").expect("a head before the patch");
        let (what, tests) = head.split_once('\n').expect("a line for each test");
        assert!(what.ends_with('.') && what.len() < 101, "{name}: {what}");
        for line in tests.lines() {
            let test = line.strip_prefix("caught by: ").unwrap_or_else(|| panic!("{name}: {line}"));
            let (binary, filter) = test.split_once(' ').unwrap_or((test, ""));
            assert!(is_there(binary, filter), "{name}: there is no test {test}");
        }
    }
}

#[test]
fn every_defect_can_still_be_planted() {
    let mut stale = Vec::new();
    for (name, path) in patches() {
        let mut check = Command::new("git");
        let checked = check.current_dir(top()).args(["apply", "--check"]).arg(&path).output();
        let checked = checked.expect("git runs");
        if !checked.status.success() {
            stale.push(format!("{name}: {}", String::from_utf8_lossy(&checked.stderr)));
        }
    }
    assert!(stale.is_empty(), "the code has moved; make these patches again: {stale:#?}");
}
