//! Every room says what it promises and what never happens there, the invariants name tests that
//! exist, and ARCHITECTURE.md is short and names no file that is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{File, sources};

const LONGEST_MAP_BYTES: usize = 10_240;
const INVARIANTS: &str = "docs/invariants.md";

fn text(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The words in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).filter(|word| !word.contains('\n')).collect()
}

/// A file without a header, and a room whose header does not say what never happens in it.
fn headers(file: &File) -> Vec<String> {
    let header: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let is_room = file.path.ends_with("/mod.rs");
    if header.is_empty() {
        vec![file.says(1, "begin with `//!` and what the file is for")]
    } else if is_room && !header.iter().any(|line| line.starts_with("//! Never: ")) {
        vec![file.says(header.len(), "end the room's header with `//! Never: …`")]
    } else {
        Vec::new()
    }
}

/// Entries that name no test, and tests that are not there. `read` gives a file's text.
fn invariants(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for entry in page.split("\n- ").skip(1) {
        let title = entry.split("**").nth(1).unwrap_or(entry).trim();
        let tests: Vec<&str> =
            quoted(entry).into_iter().filter(|word| word.contains(".rs::")).collect();
        if tests.is_empty() {
            faults.push(format!("{INVARIANTS}: `{title}` names no test"));
        }
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let is_there = read(file).is_some_and(|text| text.contains(&format!("fn {name}(")));
            if !is_there {
                faults.push(format!("{INVARIANTS}: `{title}` names `{test}`, which is gone"));
            }
        }
    }
    faults
}

/// Files of Rust that a page names and that are gone.
fn gone(name: &str, page: &str, files: &[&str]) -> Vec<String> {
    let is_rust = |word: &&str| {
        let extension = Path::new(word).extension();
        extension.is_some_and(|extension| extension == "rs") && !word.contains(['*', 'N'])
    };
    let unknown = quoted(page).into_iter().filter(is_rust).filter(|word| {
        let ending = format!("/{word}");
        !files.iter().any(|file| file.ends_with(&ending) || file == word)
    });
    unknown.map(|word| format!("{name} names {word}, which is gone")).collect()
}

#[test]
fn every_room_says_what_never_happens_in_it() {
    let faults: Vec<String> = sources(&["src"]).iter().flat_map(headers).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let page = text(INVARIANTS);
    assert!(page.matches("\n- **").count() > 40, "they are where they were");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let faults = invariants(&page, |file| fs::read_to_string(top.join(file)).ok());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_map_is_short_and_pages_name_no_file_that_is_gone() {
    let map = text("ARCHITECTURE.md");
    assert!(map.len() <= LONGEST_MAP_BYTES, "{} bytes: move some of it into a room", map.len());
    let files = sources(&["src", "tests", "benches"]);
    let files: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let walks = fs::read_dir(top.join("docs/walks")).expect("the walks");
    let walks = walks.map(|walk| walk.expect("a walk").file_name().to_string_lossy().into_owned());
    let walks = walks.map(|walk| format!("docs/walks/{walk}"));
    let pages = ["ARCHITECTURE.md", "CONTRIBUTING.md", INVARIANTS].map(str::to_owned);
    let faults: Vec<String> =
        walks.chain(pages).flat_map(|name| gone(&name, &text(&name), &files)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn what_is_missing_or_gone_is_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    assert_eq!(headers(&file("src/a.rs", "use b;")).len(), 1);
    assert_eq!(headers(&file("src/a.rs", "//! It.\nuse b;")).len(), 0);
    assert_eq!(headers(&file("src/a/mod.rs", "//! It.\n\n//! Never: b.")).len(), 1);
    assert_eq!(headers(&file("src/a/mod.rs", "//! It.\n//!\n//! Never: b.")).len(), 0);

    let page = "# It\n\n- **One.** So.\n  `tests/a.rs::is_so`\n\n- **Two.**\n\n\
                - **Three.** `tests/a.rs::is_s` `tests/b.rs::is_so`\n";
    let read = |file: &str| (file == "tests/a.rs").then(|| "fn is_so() {}".to_owned());
    let faults = invariants(page, read);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("`Two.` names no test"), "{faults:?}");

    let files = ["src/a/b.rs", "tests/c.rs"];
    assert_eq!(gone("it", "`b.rs`, `a/b.rs`, `tests/c.rs`, `tests/*.rs`", &files).len(), 0);
    assert_eq!(gone("it", "`c/b.rs` and `d.rs`", &files).len(), 2);
}
