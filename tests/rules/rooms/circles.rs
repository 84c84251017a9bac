//! Files that need each other: who reads one of them has to read them all.
//!
//! A file needs another one when it imports from it, or names it by a path from `crate` or `super`.
//! What a folder's page hands on (`pub use`) is looked for where it is. That a page needs the files
//! of its own folder is what pages are for, and does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, Token};
use super::{File, sources};

/// Files by the modules that they are.
type Modules<'a> = BTreeMap<Vec<String>, &'a File>;

/// The paths of a `use`, spelled out, from the file's own place in the crate.
fn imports(file: &File, modules: &Modules<'_>, is_handed_on: bool) -> Vec<Vec<String>> {
    let here = [vec!["crate".to_owned()], file.module()].concat();
    let inside: Vec<&str> = modules
        .keys()
        .filter(|module| module.len() == here.len() + 1 && module.starts_with(&here))
        .filter_map(|module| module.last().map(String::as_str))
        .collect();
    let roots = [&inside[..], &["crate", "periodd", "super", "self"]].concat();
    let tokens = source::tokens(&file.text);
    let mut paths = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        // What a module inside of the file imports is not seen from the file's own place.
        if depth > 0 {
            continue;
        }
        let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].text);
        let begins = tokens.get(at + 1).is_some_and(|next| roots.contains(&next.text));
        if token.text != "use" || is_public != is_handed_on || !begins {
            continue;
        }
        let end = tokens[at..].iter().position(|token| token.text == ";");
        let statement: Vec<Token<'_>> = tokens[at + 1..end.map_or(tokens.len(), |e| at + e)].into();
        let text: Vec<&str> = statement.iter().map(|token| token.text).collect();
        let named = source::named_paths(&text.join(" "), &file.module(), &roots);
        for path in named.into_iter().map(|named| named.path) {
            paths.push(match path[0].as_str() {
                "periodd" => [vec!["crate".to_owned()], path[1..].to_vec()].concat(),
                "self" => [here.clone(), path[1..].to_vec()].concat(),
                name if inside.contains(&name) => [here.clone(), path].concat(),
                _ => path,
            });
        }
    }
    paths
}

/// The file that a path leads to, through whatever hands it on.
fn target<'a>(
    path: &[String],
    modules: &Modules<'a>,
    handed_on: &BTreeMap<Vec<String>, Vec<String>>,
    depth: usize,
) -> Option<&'a str> {
    for length in (1..=path.len()).rev() {
        if let Some(file) = modules.get(&path[..length]) {
            return Some(&file.path);
        }
        if let Some(whence) = handed_on.get(&path[..length]).filter(|_| depth < 9) {
            return target(whence, modules, handed_on, depth + 1);
        }
    }
    None
}

/// Which files each file needs.
fn needs(files: &[File]) -> BTreeMap<&str, BTreeSet<&str>> {
    let from_crate = |file: &File| [vec!["crate".to_owned()], file.module()].concat();
    let modules: Modules<'_> = files
        .iter()
        .filter(|file| file.path != "src/main.rs")
        .map(|file| (from_crate(file), file))
        .collect();
    let mut handed_on = BTreeMap::new();
    for file in modules.values() {
        for path in imports(file, &modules, true) {
            let name = path.last().cloned().into_iter().collect();
            handed_on.insert([from_crate(file), name].concat(), path);
        }
    }
    let mut needs = BTreeMap::new();
    for file in files {
        let named = source::named_paths(&file.text, &file.module(), &["crate", "periodd"]);
        let named = named.into_iter().map(|named| named.path).filter(|path| path[0] == "crate");
        let public: BTreeSet<_> = imports(file, &modules, true).into_iter().collect();
        let named = named.filter(|path| !public.contains(path));
        let all = named.chain(imports(file, &modules, false));
        let found = all.filter_map(|path| target(&path, &modules, &handed_on, 0));
        let folder = file.path.trim_end_matches("mod.rs").trim_end_matches(".rs");
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let others = found.filter(|other| *other != file.path && *other != "src/lib.rs");
        let others: BTreeSet<&str> = others.filter(|other| !other.starts_with(&folder)).collect();
        needs.insert(file.path.as_str(), others);
    }
    needs
}

/// A shortest way from a file back to itself, for every file that has one and stands first in it.
fn circles(needs: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut circles = BTreeSet::new();
    for begin in needs.keys() {
        let mut ways: Vec<Vec<&str>> = vec![vec![begin]];
        let mut seen = BTreeSet::new();
        'search: while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in &ways {
                let last = way.last().expect("it has begun");
                for next in needs.get(last).into_iter().flatten() {
                    if next == begin {
                        let least = way.iter().enumerate().min_by_key(|(_, file)| **file);
                        let mut circle = way.clone();
                        circle.rotate_left(least.expect("it is not empty").0);
                        circle.push(circle[0]);
                        circles.insert(circle.join(" -> "));
                        break 'search;
                    }
                    if seen.insert(*next) {
                        longer.push([&way[..], &[*next]].concat());
                    }
                }
            }
            ways = longer;
        }
    }
    circles.into_iter().collect()
}

#[test]
fn no_file_needs_itself_by_way_of_others() {
    let files = sources(&["src"]);
    let circles = circles(&needs(&files));
    assert!(
        circles.is_empty(),
        "\n{}\nmove what both need into a file of its own, or pass it in\n",
        circles.join("\n")
    );
}

#[test]
fn circles_are_found_however_they_are_written() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let found = |files: &[(&str, &str)]| {
        let files: Vec<File> = files.iter().map(|(path, text)| file(path, text)).collect();
        circles(&needs(&files))
    };
    let (a, b) = ("src/jobs/a.rs", "src/jobs/b.rs");
    let circle = ["src/jobs/a.rs -> src/jobs/b.rs -> src/jobs/a.rs"];
    assert_eq!(found(&[(a, "use super::b::B;"), (b, "use crate::jobs::a::{self, A};")]), circle);
    assert_eq!(found(&[(a, "fn f() { super::b::go() }"), (b, "use super::{a::A, c};")]), circle);
    // By way of a page that hands it on.
    let page = ("src/jobs/mod.rs", "mod a; mod b; pub use a::A;");
    assert_eq!(found(&[page, (a, "use super::b::B;"), (b, "use crate::jobs::A;")]), circle);
    let three =
        [(a, "use super::b::B;"), (b, "use super::c::C;"), ("src/jobs/c.rs", "use super::a;")];
    assert_eq!(found(&three).len(), 1);
    // Tests inside of a file need that file, and not the page of its folder.
    let page = ("src/jobs/mod.rs", "mod a; use crate::demo::D;");
    let demo = ("src/demo.rs", "use crate::jobs::a::A;");
    assert!(found(&[page, demo, (a, "mod tests { use super::*; }")]).is_empty());
    assert_eq!(found(&[page, demo, (a, "use super::*;")]).len(), 1);
    // One way is no circle, nor is a page with its folder, nor one that hands on and is asked.
    assert!(found(&[(a, "use super::b::B;"), (b, "use crate::jobs::c::C;")]).is_empty());
    let page = ("src/jobs/mod.rs", "mod a;\nuse a::A;\npub struct Patient;");
    assert!(found(&[page, (a, "use super::Patient;")]).is_empty());
    let page = ("src/jobs/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;");
    assert!(found(&[page, (a, "pub struct A;"), (b, "use super::A;")]).is_empty());
}
