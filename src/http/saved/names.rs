//! Names of files: all in one directory, so that a link is a name.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

/// Letters of a name, before its digest and its ending.
const LONGEST: usize = 60;

/// The name of each path.
#[derive(Default)]
pub(super) struct Names {
    of: BTreeMap<String, String>,
    /// In lower case: some disks do not tell `A` from `a`.
    taken: HashSet<String>,
}

impl Names {
    /// Gives a path a name that no other has.
    pub(super) fn add(&mut self, path: &str, media_type: &str) {
        // Files under a name with a digest keep it.
        let name = match path.strip_prefix("/assets/") {
            Some(name) if plain(name) == name => name.to_owned(),
            _ => self.new_name(path, ending(media_type)),
        };
        self.taken.insert(name.to_lowercase());
        self.of.insert(path.to_owned(), name);
    }

    fn new_name(&self, path: &str, ending: &str) -> String {
        let stem = match path.trim_start_matches('/') {
            "" => "index".to_owned(),
            rest => plain(rest),
        };
        let whole = format!("{stem}.{ending}");
        if !self.taken.contains(&whole.to_lowercase()) {
            return whole;
        }
        let digest = format!("{:x}", Sha256::digest(path.as_bytes()));
        format!("{stem}-{}.{ending}", &digest[..16])
    }

    /// The name of a path, if there is a file for it.
    pub(super) fn of(&self, path: &str) -> Option<&str> {
        self.of.get(path).map(String::as_str)
    }
}

/// The letters that every disk and every link takes as they are.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let mut plain = String::new();
    let mut letters = text.trim_start_matches('.').chars();
    while let Some(c) = letters.next().filter(|_| plain.len() < LONGEST) {
        if c == '%' {
            // It stands for one letter, with the two after it.
            letters.nth(1);
        }
        plain.push(if is_plain(c) { c } else { '-' });
    }
    plain
}

fn ending(media_type: &str) -> &'static str {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "text/html" => "html",
        "text/css" => "css",
        "text/csv" => "csv",
        "image/svg+xml" => "svg",
        "application/json" => "json",
        _ => "txt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own() {
        let mut names = Names::default();
        let html = "text/html; charset=utf-8";
        let paths = ["/", "/orgs", "/orgs/acme", "/orgs/ACME", "/orgs-acme", "/orgs/a%2Fb"];
        for path in paths.into_iter().chain(["/orgs?tier=pro", "/orgs/a/b"]) {
            names.add(path, html);
        }
        names.add("/assets/app.0123.css", "text/css; charset=utf-8");
        assert_eq!(names.of("/"), Some("index.html"));
        assert_eq!(names.of("/orgs"), Some("orgs.html"));
        assert_eq!(names.of("/orgs/acme"), Some("orgs-acme.html"));
        assert_eq!(names.of("/orgs?tier=pro"), Some("orgs-tier-pro.html"));
        assert_eq!(names.of("/orgs/a%2Fb"), Some("orgs-a-b.html"));
        assert_eq!(names.of("/assets/app.0123.css"), Some("app.0123.css"));
        assert_eq!(names.of("/runs"), None);
        let all: HashSet<String> = names.of.values().map(|name| name.to_lowercase()).collect();
        assert_eq!(all.len(), names.of.len(), "{:?}", names.of);
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        assert!(names.of.values().all(|name| name.chars().all(is_sound)), "{:?}", names.of);
        let long = format!("/orgs/{}", "x".repeat(3_000));
        names.add(&long, html);
        assert!(names.of(&long).is_some_and(|name| name.len() < 100));
    }
}
