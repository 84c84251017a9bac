//! ARCHITECTURE.md names every file of every room, and none that is gone.

use std::collections::BTreeSet;

use super::{File, sources};

const MAP: &str = "ARCHITECTURE.md";

/// The words in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).filter(|word| !word.contains('\n')).collect()
}

/// What the map says about a room: from its name in backticks on, to the next room's.
fn about<'a>(map: &'a str, room: &str) -> &'a str {
    let Some(begin) = map.find(&format!("\n`src/{room}`")) else { return "" };
    let rest = &map[begin + 1..];
    let end = rest[1..].find("\n`src/").or_else(|| rest[1..].find("\nAnd beside the rooms"));
    end.map_or(rest, |end| &rest[..=end])
}

/// The files that the map leaves out, and the names that stand for none.
fn faults(map: &str, files: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let inside = file.trim_start_matches("src/");
        let (text, name) = match inside.split_once('/') {
            Some((room, name)) if !about(map, room).is_empty() => (about(map, room), name),
            _ => (map, inside),
        };
        let words = quoted(text);
        let in_its_folder = name.rsplit_once('/').is_some_and(|(folder, base)| {
            words.contains(format!("{folder}/").as_str()) && words.contains(base)
        });
        if !words.contains(name) && !in_its_folder {
            faults.push(format!("{MAP} does not say what {file} holds"));
        }
    }
    let is_rust = |word: &&str| {
        let extension = std::path::Path::new(word).extension();
        extension.is_some_and(|extension| extension == "rs") && !word.starts_with("tests/")
    };
    for word in quoted(map).into_iter().filter(is_rust) {
        let ending = format!("/{word}");
        let known = files.iter().any(|file| file.ends_with(&ending));
        if !known {
            faults.push(format!("{MAP} names {word}, which is gone"));
        }
    }
    faults
}

#[test]
fn the_map_names_every_file() {
    let map = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(MAP);
    let map = std::fs::read_to_string(map).expect("the map");
    let files: Vec<File> = sources(&["src"]);
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let faults = faults(&map, &paths);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn files_that_are_left_out_or_gone_are_found() {
    let map = "# Rooms\n\n\
               `src/a`: it\n| `mod.rs` `b/c.rs` `d/` | `e.rs` |\n\n\
               `src/f`: it\n| `g.rs` |\n\
               And beside the rooms: `main.rs`, `mail/mod.rs`";
    let there = ["src/a/mod.rs", "src/a/b/c.rs", "src/a/d/e.rs", "src/f/g.rs", "src/main.rs"];
    let there = [&there[..], &["src/mail/mod.rs"]].concat();
    assert_eq!(faults(map, &there), Vec::<String>::new());
    let more = [&there[..], &["src/a/g.rs", "src/f/e.rs", "src/lib.rs"]].concat();
    assert_eq!(faults(map, &more).len(), 3, "{:?}", faults(map, &more));
    assert_eq!(faults(map, &there[1..]).len(), 0, "another mod.rs stands for the name");
    assert_eq!(faults(map, &there[..3]).len(), 3);
}
